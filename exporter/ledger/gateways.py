"""What the ledger knows of one gateway: its sessions, and what they add to the counters."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Self

from exporter.ledger.counting import (
    GatewayKey,
    SessionRow,
    increments,
    readmission,
    starting_values,
    unlisted_row,
    zeros,
)
from exporter.ledger.listing_order import Place, PlaceTable
from exporter.ledger.matching import TOLERANCE_MS, is_created_at
from exporter.ledger.scans import (
    RowChange,
    ScanTracker,
    rows_changed_by,
    rows_gone,
    rows_resolved,
)
from exporter.ledger.session_table import SessionTable
from exporter.ledger.store import Transaction
from exporter.model import UNKNOWN_STATE, LivySession

SessionKey = tuple[str, int | None]
"""Id and create time of a session, the time `None` where it is not known."""

FIND_GATEWAY = """SELECT gateway_id, contacted, dropped_ms FROM gateway
    WHERE workspace_id = ? AND livy_compute_id = ?"""
_INSERT = "INSERT INTO gateway (workspace_id, livy_compute_id) VALUES (?, ?)"
_SET_CONTACTED = "UPDATE gateway SET contacted = 1 WHERE gateway_id = ?"
_SET_DROPPED = "UPDATE gateway SET dropped_ms = ? WHERE gateway_id = ?"
_FORGOTTEN_AT = f"""SELECT max(created_ms) FROM forgotten
    WHERE gateway_id = ? AND session_id = ?
    AND (? IS NULL OR abs(created_ms - ?) <= {TOLERANCE_MS})"""  # noqa: S608 - a constant
_SET_FORGOTTEN = """INSERT INTO forgotten (gateway_id, session_id, created_ms)
    VALUES (?, ?, ?) ON CONFLICT DO NOTHING"""
_GET_REMAINDER = "SELECT nano_cu_hours FROM remainder WHERE gateway_id = ? AND queue = ?"
_SET_REMAINDER = """INSERT OR REPLACE INTO remainder (gateway_id, queue, nano_cu_hours)
    VALUES (?, ?, ?)"""


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
        """Return a gateway, which is entered in the file if it is new."""
        found = transaction.db.execute(FIND_GATEWAY, key).fetchone()
        if found is None:
            transaction.db.execute(_INSERT, key)
            found = transaction.db.execute(FIND_GATEWAY, key).fetchone()
        gateway_id, contacted, dropped_ms = found
        return cls(transaction, key, gateway_id, has_contact=bool(contacted), dropped_ms=dropped_ms)

    def add(self, records: Sequence[LivySession], tracker: ScanTracker) -> None:
        """Count what a batch of records adds."""
        self._count(rows_changed_by(records, self._sessions, tracker, self._event_at))

    def conclude(
        self, tracker: ScanTracker, *, unreadable: Collection[str], is_complete: bool
    ) -> None:
        """Count what only a whole scan tells; sessions are gone only where it `is_complete`."""
        self._count(rows_resolved(self._sessions, tracker, self._event_at))
        if is_complete:
            self._count(rows_gone(self._sessions, tracker, unreadable, self._transaction.at))

    def note_left(self, keys: Iterable[SessionKey]) -> None:
        """Count sessions that are known to have left the listing."""
        self._count(
            (row, unlisted_row(row, self._transaction.at))
            for session_id, created_ms in keys
            for row in self._sessions.rows_of(session_id)
            if row.unlisted_at is None and is_created_at(row, created_ms)
        )

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
        self._transaction.sessions -= len(dropped)
        for row in dropped:
            self._keep_remainder(row.queue, row.latest_nano_cu_hours)
            self._db.execute(_SET_FORGOTTEN, (self._gateway_id, row.session_id, row.created_ms))
        if dropped:
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
        return {
            (session_id, row.serial): place
            for (session_id, created_ms), place in places.items()
            for row in self._sessions.rows_of(session_id)
            if is_created_at(row, created_ms)
        }

    @property
    def _event_at(self) -> float | None:
        """The time of ends that are seen now, `None` where they may be older."""
        return self._transaction.at if self.has_contact else None

    def _set_contact(self) -> None:
        self._db.execute(_SET_CONTACTED, (self._gateway_id,))
        self.has_contact = True

    def _count(self, changes: Iterable[RowChange]) -> None:
        """Write rows; from the first contact on, let the counters follow."""
        returned: list[SessionRow] = []
        written: list[RowChange] = []
        for before, after in changes:
            is_new = before is None
            self._transaction.sessions += is_new
            if is_new and self.has_contact and self._was_forgotten(after):
                returned.append(after)
            else:
                written.append((before, after))
        self._sessions.write(after for _, after in written)
        if not self.has_contact:
            return
        self._transaction.counters.add(*(increments(self._key, *change) for change in written))
        for before, after in written:
            if before is not None and before.queue != after.queue:
                # What was counted before the queue was known stays where it was counted.
                self._keep_remainder(before.queue, before.latest_nano_cu_hours)
                self._keep_remainder(after.queue, -before.latest_nano_cu_hours)
        for row in returned:
            self._readmit(row)

    def _was_forgotten(self, row: SessionRow) -> bool:
        """Whether the row of a session, which is new, was dropped at some time."""
        if self._dropped_ms is None:
            return False
        if row.created_ms is not None and row.created_ms <= self._dropped_ms:
            return True
        return self._forgotten_at(row) is not None

    def _forgotten_at(self, row: SessionRow) -> int | None:
        """Return the create time under which a session was forgotten."""
        values = (self._gateway_id, row.session_id, row.created_ms, row.created_ms)
        created_ms: int | None = self._db.execute(_FORGOTTEN_AT, values).fetchone()[0]
        return created_ms

    def _readmit(self, row: SessionRow) -> None:
        """Remember a session again that was counted, its end too, before it was forgotten."""
        created_ms = self._forgotten_at(row) if row.created_ms is None else row.created_ms
        ended = row.ended or UNKNOWN_STATE
        self._sessions.write([row._replace(created_ms=created_ms, ended=ended, ended_at=None)])
        self._keep_remainder(row.queue, -row.latest_nano_cu_hours)
        self._transaction.counters.add(readmission(self._key))

    def _keep_remainder(self, queue: str, nano_cu_hours: int) -> None:
        found = self._db.execute(_GET_REMAINDER, (self._gateway_id, queue)).fetchone()
        total = (int(found[0]) if found else 0) + nano_cu_hours
        self._db.execute(_SET_REMAINDER, (self._gateway_id, queue, str(total)))


def _created_at_most(row: SessionRow) -> int:
    """Return when a forgotten session was created: not after it left, whatever its record says."""
    return min(row.created_ms or 0, int((row.unlisted_at or 0) * 1000))
