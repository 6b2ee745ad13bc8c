"""The durable counters: one SQLite file, one transaction for each listing that is applied.

The API's figures are cumulative, so what was not committed is simply read again: a crash at
any instant loses nothing and counts nothing twice. Totals are published only after they
are on the disk.
"""

import sqlite3
import threading
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from exporter.clock import Clock
from exporter.ledger.amounts import (
    Changes,
    GroupedAmounts,
    read_amounts,
    switched_off,
    write_amounts,
)
from exporter.ledger.clusters import WorkspaceBook
from exporter.ledger.counting import Key, is_created_after
from exporter.ledger.file import LedgerFile, translated
from exporter.ledger.gateways import GatewayBook, GatewayKey, GatewayList
from exporter.ledger.holding import Holding
from exporter.ledger.sessions import Reading, SessionKey
from exporter.ledger.walks import Walk
from exporter.model import Gateway, LivySession, Scope, SessionCluster, Source, Target


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The ledger as of the last commit.

    `created_at` is in seconds since 1970, `size_bytes` that of the file; `held_series` do not
    show their increases yet.
    """

    amounts: GroupedAmounts
    created_at: float
    sessions: int
    size_bytes: int
    held_series: int


_CLUSTERS, _GATEWAYS = "session clusters of", "gateways of"
_ENDED_SINCE = """SELECT session_id FROM session JOIN gateway USING (gateway_id)
    WHERE workspace_id = ? AND livy_compute_id = ? AND ended_at > ?"""
_LISTED_SESSIONS = """SELECT count(*) FROM session JOIN gateway USING (gateway_id)
    WHERE workspace_id = ? AND livy_compute_id = ? AND unlisted_at IS NULL"""
_LISTED_CLUSTERS = """SELECT count(*) FROM session_cluster
    WHERE workspace_id = ? AND unlisted_at IS NULL"""
_LISTED_GATEWAYS = "SELECT coalesce(sum(gateways), 0) FROM discovered WHERE workspace_id = ?"
_LISTED_WORKSPACES = """SELECT coalesce(sum(workspaces), 0) FROM region
    WHERE account = ? AND region_id = ?"""
_SET_WORKSPACES = """INSERT OR REPLACE INTO region (account, region_id, workspaces)
    VALUES (?, ?, ?)"""
_FACTS = "SELECT (SELECT created_at FROM ledger), (SELECT count(*) FROM session)"
_SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
_KNOWS_PROMETHEUS = "SELECT knows_prometheus FROM ledger"
_MEET_PROMETHEUS = "UPDATE ledger SET knows_prometheus = 1 WHERE knows_prometheus = 0"


class Ledger:
    """Remembers for each Livy session the highest usage seen, and for each series its total.

    Every method may be called from any thread; those that write wait for one another.
    Whatever goes wrong with the file is a `LedgerError`, after which nothing has changed.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Clock,
        birth_hold: float = 0.0,
        forget_after: float = 400 * 86400.0,
        max_proxy_users: int = 200,
        sources: Collection[Source] = frozenset(Source),
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        """Open the file at `path`, or keep everything in memory where it is `None`.

        `birth_hold` and `forget_after` are in seconds; with a `birth_hold` of 0 nothing is
        held. `max_proxy_users` counts per gateway; at 0 there are no counters by proxy user,
        as there are none of a source that is not among the polled `sources`. What the file
        holds of them stays there as it is.
        """
        self._clock = clock
        self._forget_after = forget_after
        self._max_proxy_users = max_proxy_users
        self._hidden = switched_off(sources, max_proxy_users)
        self._lock = threading.Lock()
        self._path = path
        self._file = LedgerFile(path, created_at=clock.now(), connect=connect)
        with translated(path):
            self._db = self._file.db
            amounts = read_amounts(self._db, self._hidden)
            knows_prometheus = bool(self._db.execute(_KNOWS_PROMETHEUS).fetchone()[0])
            self._holding = Holding(
                birth_hold,
                amounts,
                started_at=clock.monotonic(),
                knows_prometheus=knows_prometheus,
            )
            self._state = self._read_state(amounts)
        self._is_suspect = False
        self._empty_at: dict[tuple[str, str], float] = {}
        """When the first listing of something was empty, until the next one."""

    @property
    def state(self) -> LedgerState:
        """Give the ledger as of the last commit, without waiting for a writer."""
        return self._state

    def apply_sessions(
        self,
        gateway: GatewayKey,
        records: Sequence[LivySession],
        *,
        is_complete: bool,
        unreadable: frozenset[str] = frozenset(),
        left: Sequence[SessionKey] = (),
    ) -> None:
        """Count what `records` say, in one durable transaction.

        Only where `is_complete`, a session of the gateway that is not among them is taken as
        gone (unless its id is `unreadable`); and the first complete listing is what starts
        the counters of a gateway. Those that have `left` are gone in any case.
        """
        with self._transaction() as changes:
            book, at = GatewayBook(self._db, gateway), self._clock.now()
            reading = Reading(at, is_complete, book.has_contact, unreadable)
            book.apply(records, reading, changes)
            book.note_left(left, reading, changes)
            if reading.is_after_contact and (reading.is_complete or left):
                book.forget(changes, unlisted_before=at - self._forget_after)

    def stage_sessions(
        self, gateway: GatewayKey, records: Sequence[LivySession], walk: Walk
    ) -> None:
        """Count what one piece of a walk says, in one durable transaction."""
        with self._transaction() as changes:
            book = GatewayBook(self._db, gateway)
            reading = Reading(
                self._clock.now(), is_complete=False, is_after_contact=book.has_contact
            )
            book.stage(records, walk, reading, changes)

    def finish_walk(
        self,
        gateway: GatewayKey,
        walk: Walk,
        unreadable: frozenset[str] = frozenset(),
        *,
        is_truncated: bool = False,
        is_confirmed: bool = True,
    ) -> None:
        """Conclude what a walk tells that was staged piece by piece and is complete.

        The same as `apply_sessions` with all of its records, where `is_complete`. Where it
        `is_truncated`, it is as complete as can be, but no session is taken as gone. Where it is
        empty and not `is_confirmed`, it is no first contact yet.
        """
        if not is_confirmed:
            self._empty_at[gateway] = self._clock.now()
            return
        with self._transaction() as changes:
            book, at = GatewayBook(self._db, gateway), self._clock.now()
            reading = Reading(
                at,
                is_complete=not is_truncated,
                is_after_contact=book.has_contact,
                unreadable=unreadable,
            )
            book.finish(walk, reading, changes, self._empty_at.pop(gateway, None))
            if reading.is_after_contact:
                book.forget(changes, unlisted_before=at - self._forget_after)

    def apply_session_clusters(
        self, workspace_id: str, clusters: Sequence[SessionCluster], *, is_confirmed: bool = True
    ) -> Mapping[str, float]:
        """Count the states that clusters entered since the last complete listing.

        Gives since when each is in its state: wall-clock seconds by session cluster id. A
        listing that is empty and not `is_confirmed` is no first contact yet.
        """
        key = (_CLUSTERS, workspace_id)
        if not is_confirmed:
            self._empty_at[key] = self._clock.now()
            return {}
        with self._transaction() as changes:
            book, at = WorkspaceBook(self._db, workspace_id), self._clock.now()
            since = book.apply(clusters, at, changes, self._empty_at.pop(key, None))
            book.forget(unlisted_before=at - self._forget_after)
        return since

    def note_workspaces(self, scope: Scope, count: int) -> None:
        """Record how many workspaces a complete list of an account and region holds."""
        with self._transaction():
            self._db.execute(_SET_WORKSPACES, (scope.account, scope.region_id, count))

    def listed(self, work: Target | Scope) -> int:
        """Return how many records the last recorded listing of `work` held."""
        values: tuple[str, ...]
        match work:
            case Scope(account, region_id, ""):
                query, values = _LISTED_WORKSPACES, (account, region_id)
            case Scope():
                query, values = _LISTED_GATEWAYS, (work.workspace_id,)
            case Target(Source.SESSION_CLUSTERS):
                query, values = _LISTED_CLUSTERS, (work.workspace_id,)
            case _:
                query, values = _LISTED_SESSIONS, (work.workspace_id, work.livy_compute_id)
        with self._lock, translated(self._path):
            count: int = self._db.execute(query, values).fetchone()[0]
        return count

    def note_gateways(
        self, workspace_id: str, gateways: Sequence[Gateway], *, is_confirmed: bool = True
    ) -> None:
        """Take note of a complete list of a workspace's gateways.

        One that an earlier such list lacked is new: all that it will ever list are increases.
        A list that is empty and not `is_confirmed` proves that only for gateways that were
        created after it.
        """
        key = (_GATEWAYS, workspace_id)
        if not is_confirmed:
            self._empty_at[key] = self._clock.now()
            return
        with self._transaction() as changes:
            gateway_list = GatewayList(self._db, workspace_id)
            empty_at = self._empty_at.pop(key, None)
            if gateways and empty_at is not None:
                older = [each for each in gateways if not is_created_after(each, empty_at)]
                gateway_list.take(older)
            for gateway in gateway_list.take(gateways):
                book = GatewayBook(self._db, (workspace_id, gateway.livy_compute_id))
                book.start_at_zero(gateway.queue, changes)

    def ended_since(self, gateway: GatewayKey, at: float) -> frozenset[str]:
        """Give the ids of the sessions whose end was first seen after `at` (seconds since 1970)."""
        with self._lock, translated(self._path):
            found = self._db.execute(_ENDED_SINCE, (*gateway, at))
            return frozenset(session_id for (session_id,) in found)

    def scraped(self, keys: Container[Key], *, is_prometheus: bool) -> None:
        """Note that a scrape showed the series `keys`: their hold runs from now on."""
        self._holding.scraped(keys, self._clock.monotonic(), is_prometheus=is_prometheus)

    def has_due(self) -> bool:
        """Tell whether some increases may show from now on, without waiting for a writer."""
        return bool(self._holding.due(self._clock.monotonic()))

    def release(self) -> None:
        """Let the increases show whose hold is over, durably."""
        with self._transaction():
            """What is due is part of every transaction."""

    def close(self) -> None:
        """Close the file; a transaction that runs is finished first."""
        with self._lock:
            self._file.close()

    @contextmanager
    def _transaction(self) -> Iterator[Changes]:
        """Collect changes of counters, write them, and make them visible once they are durable."""
        with self._lock, translated(self._path):
            self._file.check()
            before = self._state_before()
            due = self._holding.due(self._clock.monotonic())
            changes = Changes(
                before.amounts, self._holding, due=due, max_proxy_users=self._max_proxy_users
            )
            self._is_suspect = True
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield changes
                changed = changes.amounts()
                write_amounts(self._db, changed)
                if self._holding.knows_prometheus:
                    self._db.execute(_MEET_PROMETHEUS)
                state = replace(
                    before,
                    amounts=before.amounts.replaced(changed),
                    sessions=before.sessions + changes.sessions,
                    size_bytes=self._read_size(),
                )
                self._db.execute("COMMIT")
            except BaseException:
                # Where the rollback fails too, the file is left as a crash would leave it.
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._is_suspect = False
            self._holding.settle(born=changes.born(), released=due)
            self._state = replace(state, held_series=len(self._holding))

    def _state_before(self) -> LedgerState:
        """Give what is known now: from the file, where the last transaction broke off.

        It may be there all the same; then its new series are as new as they would have been.
        """
        known = self._state
        if not self._is_suspect:
            return known
        found = self._read_state(read_amounts(self._db, self._hidden))
        self._holding.settle(born=found.amounts.keys() - known.amounts.keys(), released=())
        return found

    def _read_state(self, amounts: GroupedAmounts) -> LedgerState:
        created_at, sessions = self._db.execute(_FACTS).fetchone()
        size, held = self._read_size(), len(self._holding)
        return LedgerState(amounts, created_at, sessions, size, held)

    def _read_size(self) -> int:
        size: int = self._db.execute(_SIZE).fetchone()[0]
        return size
