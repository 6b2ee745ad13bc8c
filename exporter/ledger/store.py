"""One database with one writer: transactions that change rows and counters together.

Counters become visible only after the transaction that changed them is durable.
"""

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from exporter.catalog import Metric
from exporter.clock import Clock
from exporter.ledger.counters import CounterBatch, CounterGroups, read_counters, write_counters
from exporter.ledger.file import LedgerFile, translated
from exporter.ledger.release_gate import ReleaseGate


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The ledger as of the last commit.

    `created_at` is in seconds since 1970; the increases of `held_series` are not published yet.
    """

    counters: CounterGroups
    created_at: float
    sessions: int
    size_bytes: int
    held_series: int


@dataclass(slots=True)
class Transaction:
    """What is under way: the database, the counters that change, and the time of all that happens.

    `at` is in wall-clock seconds, `sessions` how many more are remembered.
    """

    db: sqlite3.Connection
    counters: CounterBatch
    at: float
    sessions: int = 0


_FACTS = "SELECT (SELECT created_at FROM ledger), (SELECT count(*) FROM session)"
_SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
_KNOWS_PROMETHEUS = "SELECT knows_prometheus FROM ledger"
_MEET_PROMETHEUS = "UPDATE ledger SET knows_prometheus = 1 WHERE knows_prometheus = 0"


class Store:
    """The open file and its last committed state. Threads that write wait for one another."""

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Clock,
        birth_hold: float,
        max_proxy_users: int,
        hidden: Collection[Metric],
        connect: Callable[..., sqlite3.Connection],
    ) -> None:
        """Open the file at `path` (in memory where `None`); it keeps counters that are `hidden`."""
        self.clock = clock
        self._max_proxy_users = max_proxy_users
        self._hidden = hidden
        self._lock = threading.Lock()
        self._path = path
        self._file = LedgerFile(path, created_at=clock.now(), connect=connect)
        with translated(path):
            self._db = self._file.db
            counters = read_counters(self._db, hidden)
            self.gate = ReleaseGate(
                birth_hold,
                counters,
                started_at=clock.monotonic(),
                knows_prometheus=bool(self._db.execute(_KNOWS_PROMETHEUS).fetchone()[0]),
            )
            self.state = self._read_state(counters)
        self._is_suspect = False

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the database for reading, outside of a transaction."""
        with self._lock, translated(self._path):
            yield self._db

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Collect changes, write them, and make them visible once they are durable.

        Counters whose hold is over are released with it.
        """
        with self._lock, translated(self._path):
            self._file.check()
            before = self._state_before()
            due = self.gate.due(self.clock.monotonic())
            batch = CounterBatch(
                before.counters, self.gate, due=due, max_proxy_users=self._max_proxy_users
            )
            self._is_suspect = True
            self._db.execute("BEGIN IMMEDIATE")
            try:
                transaction = Transaction(self._db, batch, self.clock.now())
                yield transaction
                state = self._written(before, transaction)
                self._db.execute("COMMIT")
            except BaseException:
                # Where the rollback fails too, the file is left as a crash would leave it.
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._is_suspect = False
            self.gate.settle(new=batch.new_keys(), released=due)
            self.state = replace(state, held_series=len(self.gate))

    def close(self) -> None:
        """Close the file; a transaction that is under way is finished first."""
        with self._lock:
            self._file.close()

    def _written(self, before: LedgerState, transaction: Transaction) -> LedgerState:
        """Write the counters, and return the state that a commit leads to."""
        changed = transaction.counters.changed()
        write_counters(self._db, changed)
        if self.gate.knows_prometheus:
            self._db.execute(_MEET_PROMETHEUS)
        return replace(
            before,
            counters=before.counters.replaced(changed),
            sessions=before.sessions + transaction.sessions,
            size_bytes=self._read_size(),
        )

    def _state_before(self) -> LedgerState:
        """Return the last state, read again from the file where the last transaction broke off.

        That transaction may have been committed all the same; then its new series are held.
        """
        known = self.state
        if not self._is_suspect:
            return known
        state = self._read_state(read_counters(self._db, self._hidden))
        self.gate.settle(new=state.counters.keys() - known.counters.keys(), released=())
        return state

    def _read_state(self, counters: CounterGroups) -> LedgerState:
        created_at, sessions = self._db.execute(_FACTS).fetchone()
        return LedgerState(counters, created_at, sessions, self._read_size(), len(self.gate))

    def _read_size(self) -> int:
        size: int = self._db.execute(_SIZE).fetchone()[0]
        return size
