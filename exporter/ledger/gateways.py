"""One gateway's part of the ledger: its sessions, and what they add to the counters.

Everything here happens inside the caller's transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from exporter.ledger.amounts import Changes
from exporter.ledger.counting import Row, increments, readmission, starting_values, zeros
from exporter.ledger.matching import TOLERANCE_MS
from exporter.ledger.sessions import Change, Reading, SessionKey, Sessions
from exporter.ledger.walks import Walk
from exporter.model import UNKNOWN_STATE, Gateway, LivySession

GatewayKey = tuple[str, str]
"""Workspace id and Livy compute id."""

_FIND = """SELECT gateway_id, contacted, dropped_ms FROM gateway
    WHERE workspace_id = ? AND livy_compute_id = ?"""
_INSERT = "INSERT INTO gateway (workspace_id, livy_compute_id) VALUES (?, ?)"
_SET_CONTACTED = "UPDATE gateway SET contacted = 1 WHERE gateway_id = ?"
_SET_DROPPED = "UPDATE gateway SET dropped_ms = ? WHERE gateway_id = ?"
_IS_DISCOVERED = "SELECT 1 FROM discovered WHERE workspace_id = ?"
_SET_DISCOVERED = "INSERT OR REPLACE INTO discovered (workspace_id, gateways) VALUES (?, ?)"
_FORGOTTEN_AT = f"""SELECT max(created_ms) FROM forgotten
    WHERE gateway_id = ? AND session_id = ?
    AND (? IS NULL OR abs(created_ms - ?) <= {TOLERANCE_MS})"""  # noqa: S608 - a constant
_SET_FORGOTTEN = """INSERT OR IGNORE INTO forgotten (gateway_id, session_id, created_ms)
    VALUES (?, ?, ?)"""
_GET_REMAINDER = "SELECT nano_cu_hours FROM remainder WHERE gateway_id = ? AND queue = ?"
_SET_REMAINDER = """INSERT OR REPLACE INTO remainder (gateway_id, queue, nano_cu_hours)
    VALUES (?, ?, ?)"""


class GatewayBook:
    """What is known of one gateway."""

    def __init__(self, db: sqlite3.Connection, key: GatewayKey) -> None:
        """Find the gateway, or enter it as one that there was no contact with so far."""
        self._db = db
        self._key = key
        found = db.execute(_FIND, key).fetchone()
        if found is None:
            db.execute(_INSERT, key)
            found = db.execute(_FIND, key).fetchone()
        self._gateway_id: int = found[0]
        self.has_contact = bool(found[1])
        self._dropped_ms: int | None = found[2]
        self._sessions = Sessions(db, self._gateway_id)

    def apply(self, records: Sequence[LivySession], reading: Reading, changes: Changes) -> None:
        """Take up what `records` say."""
        self._take(list(self._sessions.changed(records, reading)), changes)
        if reading.is_complete and not self.has_contact:
            self._start(changes)

    def stage(
        self, records: Sequence[LivySession], walk: Walk, reading: Reading, changes: Changes
    ) -> None:
        """Take up one piece of a walk."""
        self._take(list(self._sessions.staged(records, reading, walk)), changes)

    def finish(
        self, walk: Walk, reading: Reading, changes: Changes, empty_at: float | None = None
    ) -> None:
        """Conclude what a walk tells that is complete now.

        Where an empty listing was read before the first contact, `empty_at`, sessions created
        since then are increases.
        """
        self._take(list(self._sessions.finished(reading, walk)), changes)
        if not self.has_contact:
            self._start(changes, empty_at)

    def note_left(self, keys: Iterable[SessionKey], reading: Reading, changes: Changes) -> None:
        """Take note of sessions that are known to have left the listing."""
        self._take(list(self._sessions.left(keys, reading)), changes)

    def _take(self, changed: Sequence[Change], changes: Changes) -> None:
        changes.sessions += sum(before is None for before, _ in changed)
        if not self.has_contact:
            self._sessions.write(after for _, after in changed)
            return
        returned, news = [], []
        for before, after in changed:
            if before is None and self._was_forgotten(after):
                returned.append(after)
            else:
                news.append((before, after))
        self._sessions.write(after for _, after in news)
        changes.add(*(increments(self._key, *change) for change in news))
        for before, after in news:
            if before is not None and before.queue != after.queue:
                # What was counted before the queue was known stays where it was counted.
                self._keep_remainder(before.queue, before.latest_nano_cu_hours)
                self._keep_remainder(after.queue, -before.latest_nano_cu_hours)
        for row in returned:
            self._readmit(row, changes)

    def forget(self, changes: Changes, *, unlisted_before: float) -> None:
        """Drop the rows of sessions that left before then (wall-clock seconds).

        What they added to the counters stays.
        """
        dropped = self._sessions.drop(unlisted_before=unlisted_before)
        changes.sessions -= len(dropped)
        for row in dropped:
            self._keep_remainder(row.queue, row.latest_nano_cu_hours)
        created = [(row, row.created_ms) for row in dropped if row.created_ms is not None]
        self._db.executemany(
            _SET_FORGOTTEN, ((self._gateway_id, row.session_id, at) for row, at in created)
        )
        if created:
            # No session was created after it left, whatever its record says.
            newest = max(min(at, int((row.unlisted_at or 0) * 1000)) for row, at in created)
            newest = newest if self._dropped_ms is None else max(self._dropped_ms, newest)
            self._db.execute(_SET_DROPPED, (newest, self._gateway_id))

    def start_at_zero(self, queue: str, changes: Changes) -> None:
        """Note that the gateway is new, so that all it ever lists is an increase.

        The series of `queue`, its own, are there from now on.
        """
        if self.has_contact:
            return
        changes.add(zeros(self._key, queue))
        for row in self._sessions.all():
            changes.add(increments(self._key, None, row))
        self._db.execute(_SET_CONTACTED, (self._gateway_id,))
        self.has_contact = True

    def _start(self, changes: Changes, empty_at: float | None = None) -> None:
        """Give the series their starting values: all that is known of the gateway by now."""
        until = None if empty_at is None else int(empty_at * 1000)
        changes.start(starting_values(self._key, self._sessions.sums(created_until=until)))
        if until is not None:
            for row in self._sessions.created_after(until):
                changes.add(increments(self._key, None, row))
        self._db.execute(_SET_CONTACTED, (self._gateway_id,))

    def _was_forgotten(self, row: Row) -> bool:
        """Whether the row of a session, which is new, was dropped at some time."""
        if self._dropped_ms is None:
            return False
        if row.created_ms is not None and row.created_ms <= self._dropped_ms:
            return True
        return self._forgotten_at(row) is not None

    def _forgotten_at(self, row: Row) -> int | None:
        """Return the create time under which a session was forgotten."""
        values = (self._gateway_id, row.session_id, row.created_ms, row.created_ms)
        created_ms: int | None = self._db.execute(_FORGOTTEN_AT, values).fetchone()[0]
        return created_ms

    def _readmit(self, row: Row, changes: Changes) -> None:
        """Remember a session again that was counted, its end too, before it was forgotten."""
        created_ms = self._forgotten_at(row) if row.created_ms is None else row.created_ms
        row = row._replace(created_ms=created_ms, ended=row.ended or UNKNOWN_STATE, ended_at=None)
        self._sessions.write([row])
        self._keep_remainder(row.queue, -row.latest_nano_cu_hours)
        changes.add(readmission(self._key))

    def _keep_remainder(self, queue: str, nano_cu_hours: int) -> None:
        found = self._db.execute(_GET_REMAINDER, (self._gateway_id, queue)).fetchone()
        total = (int(found[0]) if found else 0) + nano_cu_hours
        self._db.execute(_SET_REMAINDER, (self._gateway_id, queue, str(total)))


class GatewayList:
    """Which gateways of a workspace there are, by successful discoveries."""

    def __init__(self, db: sqlite3.Connection, workspace_id: str) -> None:
        self._db = db
        self._workspace_id = workspace_id

    def take(self, gateways: Iterable[Gateway]) -> list[Gateway]:
        """Take note of a complete list; give those that an earlier one lacked."""
        gateways = [*gateways]
        unknown = [each for each in gateways if not self._is_known(each)]
        is_first = self._db.execute(_IS_DISCOVERED, (self._workspace_id,)).fetchone() is None
        for gateway in unknown:
            self._db.execute(_INSERT, (self._workspace_id, gateway.livy_compute_id))
        self._db.execute(_SET_DISCOVERED, (self._workspace_id, len(gateways)))
        return [] if is_first else unknown

    def _is_known(self, gateway: Gateway) -> bool:
        key = (self._workspace_id, gateway.livy_compute_id)
        return self._db.execute(_FIND, key).fetchone() is not None
