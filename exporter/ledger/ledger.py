"""The durable counters: one SQLite file, one transaction for each listing that is applied.

The API's figures are cumulative, so what was not committed is simply read again: a crash at
any instant loses nothing and counts nothing twice. Totals are published only after they
are on the disk.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from exporter.clock import Clock
from exporter.ledger.amounts import Amount, Changes, read_amounts, write_amounts
from exporter.ledger.counting import Key, increments, starting_values
from exporter.ledger.file import open_file, translated
from exporter.ledger.holding import Holding
from exporter.ledger.sessions import Reading, Sessions
from exporter.model import LivySession

GatewayKey = tuple[str, str]
"""Workspace id and Livy compute id."""


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """What there is to tell of the ledger itself: seconds since 1970, rows, bytes."""

    created_at: float
    sessions: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Gateway:
    gateway_id: int
    has_contact: bool


_ENDED_SINCE = """SELECT session_id FROM session JOIN gateway USING (gateway_id)
    WHERE workspace_id = ? AND livy_compute_id = ? AND ended_at > ?"""
_FACTS = """SELECT (SELECT created_at FROM ledger), (SELECT count(*) FROM session),
    (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)"""


class Ledger:
    """Remembers for each Livy session the highest usage seen, and for each series its total.

    Every method may be called from any thread; they wait for one another. Whatever goes
    wrong with the file is a `LedgerError`, after which nothing has changed.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Clock,
        birth_hold: float = 0.0,
        max_proxy_users: int = 200,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        """Open the file at `path`, or keep everything in memory where it is `None`.

        `birth_hold` is in seconds; at 0 nothing is held. `max_proxy_users` counts per
        gateway; at 0 there are no counters by proxy user.
        """
        self._clock = clock
        self._max_proxy_users = max_proxy_users
        self._lock = threading.Lock()
        self._path = path
        with translated(path):
            self._db = open_file(path, created_at=clock.now(), connect=connect)
            self._amounts: Mapping[Key, Amount] = read_amounts(self._db)
            self._facts = self._read_facts()
        self._holding = Holding(birth_hold, self._amounts)
        self._has_seen_prometheus = False

    def apply(
        self,
        gateway: GatewayKey,
        records: Sequence[LivySession],
        *,
        is_complete: bool,
        unreadable: frozenset[str] = frozenset(),
    ) -> None:
        """Count what `records` say, in one durable transaction.

        Only where `is_complete`, a session of the gateway that is not among them is taken as
        gone (unless its id is `unreadable`); and the first complete listing is what starts
        the counters of a gateway.
        """
        with self._transaction() as changes:
            known = self._gateway(gateway)
            sessions = Sessions(self._db, known.gateway_id)
            reading = Reading(self._clock.now(), is_complete, known.has_contact, unreadable)
            changed = list(sessions.changed(records, reading))
            sessions.write(after for _, after in changed)
            if known.has_contact:
                changes.add(*(increments(gateway, *change) for change in changed))
            elif is_complete:
                changes.start(starting_values(gateway, sessions.all()))
                self._db.execute(
                    "UPDATE gateway SET contacted = 1 WHERE gateway_id = ?", (known.gateway_id,)
                )

    def ended_since(self, gateway: GatewayKey, at: float) -> frozenset[str]:
        """Give the ids of the sessions whose end was first seen after `at` (seconds since 1970)."""
        with self._lock, translated(self._path):
            found = self._db.execute(_ENDED_SINCE, (*gateway, at))
            return frozenset(session_id for (session_id,) in found)

    def scraped(self, keys: Iterable[Key], *, is_prometheus: bool) -> None:
        """Note that a scrape showed the series `keys`: their hold runs from now on.

        Once Prometheus was seen, other readers of the page do not count as scrapes.
        """
        self._has_seen_prometheus |= is_prometheus
        if is_prometheus or not self._has_seen_prometheus:
            self._holding.scraped(keys, self._clock.monotonic())

    def has_due(self) -> bool:
        """Tell whether some increases may show from now on, without waiting for a writer."""
        return bool(self._holding.due(self._clock.monotonic()))

    def release(self) -> None:
        """Let the increases show whose hold is over, durably."""
        with self._transaction():
            """What is due is part of every transaction."""

    def amounts(self) -> Mapping[Key, Amount]:
        """Give every counter, as last committed."""
        return self._amounts

    def facts(self) -> LedgerFacts:
        """Give what there is to say of the file itself, as of the last commit."""
        return self._facts

    def close(self) -> None:
        """Close the file; a transaction that runs is finished first."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[Changes]:
        """Collect changes of counters, write them, and make them visible once they are durable."""
        with self._lock, translated(self._path):
            due = self._holding.due(self._clock.monotonic())
            changes = Changes(
                self._amounts, self._holding, due=due, max_proxy_users=self._max_proxy_users
            )
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield changes
                amounts = changes.amounts()
                write_amounts(self._db, amounts)
                self._db.execute("COMMIT")
            except BaseException:
                # Where the rollback fails too, the file is left as a crash would leave it.
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            if amounts:
                self._amounts = {**self._amounts, **amounts}
                self._facts = self._read_facts()
            self._holding.settle(born=changes.born(), released=due)

    def _read_facts(self) -> LedgerFacts:
        return LedgerFacts(*self._db.execute(_FACTS).fetchone())

    def _gateway(self, key: GatewayKey) -> _Gateway:
        found = self._db.execute(
            "SELECT gateway_id, contacted FROM gateway"
            " WHERE workspace_id = ? AND livy_compute_id = ?",
            key,
        ).fetchone()
        if found:
            return _Gateway(found[0], bool(found[1]))
        cursor = self._db.execute(
            "INSERT INTO gateway (workspace_id, livy_compute_id) VALUES (?, ?)", key
        )
        return _Gateway(int(cursor.lastrowid or 0), has_contact=False)
