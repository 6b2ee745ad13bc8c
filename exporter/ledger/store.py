"""Transactions that change rows and counters together, and the state that the last one left.

Counters become visible only after the transaction that changed them is durable.
"""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from exporter.catalog import Metric
from exporter.clock import Clock
from exporter.errors import LedgerError, LedgerFailure
from exporter.ledger.counters import CounterBatch, CounterGroups, read_counters, write_counters
from exporter.ledger.database import Database, Reader
from exporter.ledger.release_gate import ReleaseGate


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The ledger as of the last commit; `created_at` is `None` while it could not be read yet.

    `created_at` is in seconds since 1970; the increases of `held_series` are not published yet.
    """

    counters: CounterGroups
    created_at: float | None
    sessions: int
    size_bytes: int
    held_series: int
    unconfirmed: frozenset[tuple[str, ...]] = frozenset()
    """Groups of counters that may be lower than what was shown, and are not shown until a complete
    listing confirms them."""
    term: int = 0
    """The number of the term in which it holds; 0 while the ledger could not be read yet."""


UNREAD = LedgerState(CounterGroups({}), None, 0, 0, 0)


@dataclass(slots=True)
class Transaction:
    """A transaction in progress: the database, the changes of counters, and the time of all events.

    `at` is in wall-clock seconds; `sessions` is by how many the number of rows grows.
    """

    db: Database
    counters: CounterBatch
    at: float
    sessions: int = 0


_FACTS = """SELECT created_at, knows_prometheus, (SELECT count(*) FROM main.session)
    FROM main.ledger"""
_HEALING_SECONDS = 3600.0
"""After which no complete listing of a group is expected any more."""
_MEET_PROMETHEUS = "UPDATE main.ledger SET knows_prometheus = 1"


class Store:
    """A database and its last committed state. Threads that write wait for one another."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        birth_hold: float,
        max_proxy_users: int,
        hidden: Collection[Metric],
    ) -> None:
        """Read what the database holds; it keeps counters that are `hidden`.

        Raises `LedgerError`. If the database `is_patient` and the error may pass, the state stays
        `UNREAD` until it has.
        """
        self.clock = clock
        self.state = UNREAD
        self.lease = database.lease
        self._database = database
        self._birth_hold = birth_hold
        self._max_proxy_users = max_proxy_users
        self._hidden = hidden
        self._lock = threading.Lock()
        self.gate = self._new_gate(CounterGroups({}), knows_prometheus=False)
        self._is_suspect = False
        self._revision = 0
        """That of the database when it was used last: what the state equals."""
        self._has_met_prometheus = False
        self._has_failed = False
        self._loaded_at = clock.monotonic()
        self.on_commit: Callable[[float], None] = lambda _: None
        """Called with the seconds that each transaction took."""
        try:
            with self.reading():
                pass  # the first use reads everything
        except LedgerError as error:
            if not (database.is_patient and error.is_passing):
                database.close()
                raise

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Give the database for reading, outside of a transaction."""
        with self._using():
            yield self._database

    @property
    def term(self) -> int:
        """The number of the term in which the state was read; 0 if it is not known."""
        return self.state.term

    @property
    def is_up(self) -> bool:
        """Whether the last use succeeded."""
        return not self._has_failed and self.state is not UNREAD

    @contextmanager
    def transaction(
        self, *, term: int | None = None, confirms: tuple[str, ...] | None = None
    ) -> Iterator[Transaction]:
        """Collect changes, write them, and make them visible once they are durable.

        Counters whose hold is over are released with it. What was begun in an earlier `term` must
        not be written: another process may have written since. A complete listing `confirms` its
        group of counters.
        """
        with self._using():
            before = self.state
            if before is UNREAD or term not in {None, before.term}:
                raise _taken_over()
            begun_at = self.clock.monotonic()
            due = self.gate.due(begun_at)
            confirmed = confirms if confirms in before.unconfirmed else None
            batch = CounterBatch(
                before.counters,
                self.gate,
                due=due,
                confirmed=confirmed,
                max_proxy_users=self._max_proxy_users,
            )
            self._is_suspect = True
            with self._database.transaction():
                transaction = Transaction(self._database, batch, self.clock.now())
                yield transaction
                state = self._written(before, transaction)
            self._is_suspect = False
            self._has_met_prometheus = self.gate.knows_prometheus
            begun_anew = state.counters.groups[confirmed] if confirmed else ()
            self.gate.settle(new=[*batch.new_keys(), *begun_anew], released=due)
            unconfirmed = self._unconfirmed_after(before, state, confirms)
            self.state = replace(state, held_series=len(self.gate), unconfirmed=unconfirmed)
            if self._database.is_rewound:
                self._heal(confirms)
            self.on_commit(self.clock.monotonic() - begun_at)

    def close(self) -> None:
        """Close the database; a transaction that is under way is finished first."""
        if self.lease:
            self.lease.close()
        with self._lock:
            self._database.close()

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Use the database alone, with a state that equals what it holds."""
        with self._lock:
            try:
                with self._database.translated():
                    term = self._database.ready()
                    if term != self.term:
                        self._load(term)
                    elif self._is_suspect or self._database.revision != self._revision:
                        self._reload()
                    yield
                    self._revision = self._database.revision
            except LedgerError as error:
                self._has_failed = True
                if error.is_lost:
                    self.forget()
                raise
            self._has_failed = False

    def forget(self) -> None:
        """Discard the state, since another process may write from now on."""
        self.state = UNREAD

    def _unconfirmed_after(
        self, before: LedgerState, after: LedgerState, confirmed: tuple[str, ...] | None
    ) -> frozenset[tuple[str, ...]]:
        """Return which groups are not shown yet after a commit.

        While commits may be lost, a group that is new may have been shown before as well.
        """
        if not self._database.is_rewound:
            return before.unconfirmed - {confirmed}
        new = after.counters.groups.keys() - before.counters.groups.keys()
        return (before.unconfirmed | new) - {confirmed}

    def _heal(self, confirmed: tuple[str, ...] | None) -> None:
        """Let later owners show everything, once every group was `confirmed` or time is up.

        A group whose gateway or workspace was deleted is never confirmed.
        """
        is_late = self.clock.monotonic() - self._loaded_at >= _HEALING_SECONDS
        if is_late or (confirmed and not self.state.unconfirmed):
            self._database.end_rewind()

    def _load(self, term: int) -> None:
        """Begin with what the database holds; all series are held as they were last published."""
        state, knows_prometheus = self._read()
        if self._database.ready() != term:
            raise _taken_over()  # and what was read may be partly that owner's
        self.gate = self._new_gate(state.counters, knows_prometheus=knows_prometheus)
        self._has_met_prometheus, self._is_suspect = knows_prometheus, False
        self._loaded_at = self.clock.monotonic()
        unconfirmed = frozenset(state.counters.groups) if self._database.is_rewound else frozenset()
        self.state = replace(state, held_series=len(self.gate), unconfirmed=unconfirmed, term=term)

    def _reload(self) -> None:
        """Read the state again where the last transaction broke off.

        It may have been committed all the same; then its new series are held.
        """
        state, self._has_met_prometheus = self._read()
        new = state.counters.keys() - self.state.counters.keys()
        self.gate.settle(new=new, released=())
        unconfirmed, term = self._unconfirmed_after(self.state, state, None), self.term
        self.state = replace(state, held_series=len(self.gate), unconfirmed=unconfirmed, term=term)
        self._is_suspect = False

    def _written(self, before: LedgerState, transaction: Transaction) -> LedgerState:
        """Write the counters, and return the state that a commit leads to."""
        changed = transaction.counters.changed()
        write_counters(self._database, changed)
        if self.gate.knows_prometheus and not self._has_met_prometheus:
            self._database.execute(_MEET_PROMETHEUS)
        return replace(
            before,
            counters=before.counters.replaced(changed),
            sessions=before.sessions + transaction.sessions,
            size_bytes=self._database.size_bytes(),
        )

    def _read(self) -> tuple[LedgerState, bool]:
        counters = read_counters(self._database, self._hidden)
        ((created_at, knows_prometheus, sessions),) = self._database.query(_FACTS)
        size = self._database.size_bytes()
        return LedgerState(counters, created_at, sessions, size, 0), bool(knows_prometheus)

    def _new_gate(self, counters: CounterGroups, *, knows_prometheus: bool) -> ReleaseGate:
        return ReleaseGate(
            self._birth_hold,
            counters,
            started_at=self.clock.monotonic(),
            knows_prometheus=knows_prometheus,
        )


def _taken_over() -> LedgerError:
    return LedgerError(
        "another replica owned the ledger in the meantime",
        advice="nothing to do: this replica has read the ledger again, and the next poll counts",
        kind=LedgerFailure.LOCKED,  # by now it is ours, and the loaded state is right
        is_passing=True,
    )
