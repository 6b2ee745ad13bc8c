"""The machine of `test_crashes` where the ledger is on a server."""

from collections.abc import Callable
from contextlib import suppress

from exporter.errors import LedgerError
from exporter.ledger import GatewayKey, Key
from exporter.ledger.location import Postgres
from tests.ledger.counted_once import COUNTS, INSTANTS, CountedOnce, State, rows_of
from tests.ledger.crashes import Fuse, ServerFuse
from tests.ledger.oracle import GatewayOracle
from tests.support.ledger_stores import current


class CountedOnceOnServer(CountedOnce):
    """The same on PostgreSQL, where the process may also live on and lose its connections."""

    def __init__(self) -> None:
        self.store = current().another()
        super().__init__()

    def new_fuse(self) -> Fuse:
        """Return what ends the process, or its connections."""
        location = self.store.new()
        assert isinstance(location, Postgres)
        return ServerFuse(location)

    def run(
        self, crash: int | None, work: Callable[[], object], after: dict[GatewayKey, GatewayOracle]
    ) -> None:
        """Do a transaction and publish it, die on the way, or be cut off."""
        if crash is None or crash <= INSTANTS:
            super().run(crash, work, after)
            return
        now = self.clock.monotonic()
        before_keys = set(self.ledger.state.counters)
        expected = self.expected_after(after, now)
        self.fuse.arm(crash - INSTANTS, is_cut=True)
        try:
            work()
        except LedgerError as error:
            assert error.is_passing  # noqa: PT017 - it need not be raised
            self.reconnect(work, after, expected, before_keys)
        else:
            self.fuse.arm(None)
            self.settle(after, expected, before_keys, now)
            self.connect()
        self.publish()
        assert self.actual() == self.expected

    def reconnect(
        self,
        work: Callable[[], object],
        after: dict[GatewayKey, GatewayOracle],
        expected: State,
        before_keys: set[Key],
    ) -> None:
        """Connect again: all of the transaction was done, or none of it."""
        COUNTS["cuts"] += 1
        self.connect()
        self.open_scan = self.ledger.open_scan(self.scanned)
        for key in self.ledger.state.counters.keys() - before_keys:
            if key.metric.kind == "counter":
                self.holds.first[key] = None
        actual = self.actual()
        assert actual in (self.expected, expected)
        if self.expected == expected:
            self.run(None, work, after)
        elif actual == expected:
            self.oracles.update(after)
            self.expected = expected
        assert self.rows() == rows_of(self.oracles)

    def connect(self) -> None:
        """Use the ledger until it answers, and its lease was renewed over another connection."""
        for _ in range(3):
            self.clock.advance(5)  # a sixth of the duration of the lease
            with suppress(LedgerError):
                self.ledger.listing_order(self.scanned)
        self.ledger.listing_order(self.scanned)

    def teardown(self) -> None:
        """Give the schema back."""
        assert isinstance(self.fuse, ServerFuse)
        COUNTS["unanswered"] += self.fuse.unanswered
        super().teardown()
        self.store.close()
