"""What the ledger knows of one gateway: its sessions, and what they add to the counters."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Self

from exporter.ledger.counting import (
    GatewayKey,
    SessionRow,
    increments,
    readmission,
    starting_values,
    zeros,
)
from exporter.ledger.database import Table
from exporter.ledger.listing_order import Place, PlaceTable
from exporter.ledger.matching import SessionKey, is_created_at
from exporter.ledger.scans import (
    RowChange,
    ScanTracker,
    rows_changed_by,
    rows_gone,
    rows_left,
    rows_resolved,
)
from exporter.ledger.session_table import SessionTable
from exporter.ledger.store import Transaction
from exporter.model import UNKNOWN_STATE, LivySession

FIND_GATEWAY = """SELECT gateway_id, contacted, dropped_ms FROM main.gateway
    WHERE workspace_id = ? AND livy_compute_id = ?"""
_SET_CONTACTED = "UPDATE main.gateway SET contacted = 1 WHERE gateway_id = ?"
_SET_DROPPED = "UPDATE main.gateway SET dropped_ms = ? WHERE gateway_id = ?"
_FORGOTTEN_OF = """SELECT session_id, created_ms FROM main.forgotten
    WHERE gateway_id = ? AND session_id IN ({ids})"""
FIND_REMAINDERS = """SELECT queue, CAST(nano_cu_hours AS text) FROM main.remainder
    WHERE gateway_id = ?"""
GATEWAY = Table("gateway", ("workspace_id", "livy_compute_id"))
FORGOTTEN = Table("forgotten", ("gateway_id", "session_id", "created_ms"))
REMAINDERS = Table("remainder", ("gateway_id", "queue"), ("nano_cu_hours",))


class GatewayLedger:
    """One gateway, inside one transaction."""

    def __init__(
        self,
        transaction: Transaction,
        key: GatewayKey,
        gateway_id: int,
        *,
        has_contact: bool,
        dropped_ms: int | None,
    ) -> None:
        self.has_contact = has_contact
        self._transaction = transaction
        self._db = transaction.db
        self._key = key
        self._gateway_id = gateway_id
        self._dropped_ms = dropped_ms
        self._sessions = SessionTable(transaction.db, gateway_id)
        self._places = PlaceTable(transaction.db, gateway_id)

    @classmethod
    def entered(cls, transaction: Transaction, key: GatewayKey) -> Self:
        """Return a gateway, which is entered if it is new."""
        found = transaction.db.query(FIND_GATEWAY, key)
        if not found:
            transaction.db.upsert(GATEWAY, [key])
            found = transaction.db.query(FIND_GATEWAY, key)
        ((gateway_id, contacted, dropped_ms),) = found
        return cls(transaction, key, gateway_id, has_contact=bool(contacted), dropped_ms=dropped_ms)

    def add(self, records: Sequence[LivySession], tracker: ScanTracker) -> None:
        """Count what a batch of records adds."""
        self._count(rows_changed_by(records, self._sessions, tracker, self._event_at))

    def conclude(
        self,
        tracker: ScanTracker,
        *,
        left: Collection[SessionKey],
        unreadable: Collection[str],
        is_complete: bool,
    ) -> None:
        """Count what only a whole scan tells.

        Sessions are gone that `left`; where it `is_complete`, all that it has not seen.
        """
        at = self._transaction.at
        self._count(rows_resolved(self._sessions, tracker, self._event_at))
        if is_complete:
            self._count(rows_gone(self._sessions, tracker, unreadable, at))
        self._count(rows_left(self._sessions, tracker, left, at))

    def start(self, empty_at: float | None) -> None:
        """Give the counters their starting values: all that is known of the gateway by now.

        Where an empty listing was read before, `empty_at`, sessions created since are increases.
        """
        until = None if empty_at is None else int(empty_at * 1000)
        counters = self._transaction.counters
        counters.start(starting_values(self._key, self._sessions.sums(created_until=until)))
        if until is not None:
            later = self._sessions.created_after(until)
            counters.add(*(increments(self._key, None, row) for row in later))
        self._set_contact()

    def start_at_zero(self, queue: str) -> None:
        """Note that the gateway is new, so that all it ever lists is an increase.

        The series of `queue`, its own, exist from now on.
        """
        if self.has_contact:
            return
        counters = self._transaction.counters
        counters.add(zeros(self._key, queue))
        counters.add(*(increments(self._key, None, row) for row in self._sessions.all()))
        self._set_contact()

    def forget(self, *, unlisted_before: float) -> None:
        """Drop the rows of sessions that left before then (wall-clock seconds).

        What they added to the counters stays.
        """
        dropped = self._sessions.drop(unlisted_before=unlisted_before)
        if not dropped:
            return
        self._transaction.sessions -= len(dropped)
        self._keep_remainders((row.queue, row.latest_nano_cu_hours) for row in dropped)
        forgotten = [(self._gateway_id, row.session_id, row.created_ms) for row in dropped]
        self._db.upsert(FORGOTTEN, forgotten)
        newest = max(self._dropped_ms or 0, *map(_created_at_most, dropped))
        self._db.execute(_SET_DROPPED, (newest, self._gateway_id))

    def forget_order(self) -> None:
        """Note that the order of the listing is not known, until the next complete reading."""
        self._places.set_order("")

    def record_order(self, order: str, places: Mapping[SessionKey, Place]) -> None:
        """Record the order of a complete reading, and all sessions with a place of their own."""
        self._places.set_order(order)
        self._places.replace(self._by_serial(places))

    def record_places(self, places: Mapping[SessionKey, Place]) -> None:
        """Record some more sessions with a place of their own."""
        self._places.write(self._by_serial(places))

    def _by_serial(self, places: Mapping[SessionKey, Place]) -> dict[tuple[str, int], Place]:
        rows_by_id = self._sessions.rows_of({session_id for session_id, _ in places})
        return {
            (session_id, row.serial): place
            for (session_id, created_ms), place in places.items()
            for row in rows_by_id[session_id]
            if is_created_at(row, created_ms)
        }

    @property
    def _event_at(self) -> float | None:
        """The time of ends that are seen now, `None` if they may be older."""
        return self._transaction.at if self.has_contact else None

    def _set_contact(self) -> None:
        self._db.execute(_SET_CONTACTED, (self._gateway_id,))
        self.has_contact = True

    def _count(self, changes: Iterable[RowChange]) -> None:
        """Write rows; from the first contact on, let the counters follow."""
        written = [*changes]
        self._transaction.sessions += sum(before is None for before, _ in written)
        returned = self._returned(written) if self.has_contact else {}
        if returned:
            written = [change for change in written if change[1] not in returned]
        rows = [after for _, after in written] + [*returned.values()]
        if rows:
            self._sessions.write(rows)
        if not self.has_contact:
            return
        counters = self._transaction.counters
        counters.add(*(increments(self._key, *change) for change in written))
        counters.add(*(readmission(self._key) for _ in returned))
        self._keep_remainders(
            chain(
                _moved_between_queues(written),
                ((row.queue, -row.latest_nano_cu_hours) for row in returned),
            )
        )

    def _returned(self, changes: Iterable[RowChange]) -> dict[SessionRow, SessionRow]:
        """Return the rows of new sessions that were forgotten, and as what they are kept.

        Such a session was counted, its end too, before its row was dropped.
        """
        new = [after for before, after in changes if before is None]
        if not new or self._dropped_ms is None:
            return {}
        forgotten: dict[str, list[int]] = {row.session_id: [] for row in new}
        for session_id, created_ms in self._db.query_ids(
            _FORGOTTEN_OF, (self._gateway_id,), [*forgotten]
        ):
            forgotten[session_id].append(created_ms)
        returned = {}
        for row in new:
            created_ms = self._created_before(row, forgotten[row.session_id])
            if created_ms is not None:
                ended = row.ended or UNKNOWN_STATE
                returned[row] = row._replace(created_ms=created_ms, ended=ended, ended_at=None)
        return returned

    def _created_before(self, row: SessionRow, forgotten: Sequence[int]) -> int | None:
        """Return when a session was created that is known to have been forgotten."""
        if row.created_ms is None:
            return max(forgotten, default=None)
        is_old = row.created_ms <= (self._dropped_ms or 0)
        return row.created_ms if is_old or any(is_created_at(row, at) for at in forgotten) else None

    def _keep_remainders(self, amounts: Iterable[tuple[str, int]]) -> None:
        """Add up what counters hold beyond the remembered sessions, by queue."""
        added = Counter[str]()
        for queue, nano_cu_hours in amounts:
            added[queue] += nano_cu_hours
        if added:
            known: dict[str, str] = dict(self._db.query(FIND_REMAINDERS, (self._gateway_id,)))
            self._db.upsert(
                REMAINDERS,
                [
                    (self._gateway_id, queue, str(int(known.get(queue, 0)) + amount))
                    for queue, amount in added.items()
                ],
            )


def _moved_between_queues(changes: Iterable[RowChange]) -> Iterator[tuple[str, int]]:
    """Yield what was counted before a queue was known: it stays where it was counted."""
    for before, after in changes:
        if before is not None and before.queue != after.queue:
            yield before.queue, before.latest_nano_cu_hours
            yield after.queue, -before.latest_nano_cu_hours


def _created_at_most(row: SessionRow) -> int:
    """Return when a forgotten session was created: not after it left, whatever its record says."""
    return min(row.created_ms or 0, int((row.unlisted_at or 0) * 1000))
