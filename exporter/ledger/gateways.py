"""One gateway's part of the ledger: its sessions, and what they add to the counters.

Everything here happens inside the caller's transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from exporter.ledger.amounts import Changes
from exporter.ledger.counting import Row, increments, readmission, starting_values, zeros
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
_SET_DISCOVERED = "INSERT INTO discovered (workspace_id) VALUES (?)"
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

    def finish(self, walk: Walk, reading: Reading, changes: Changes) -> None:
        """Conclude what a walk tells that is complete now."""
        self._take(list(self._sessions.finished(reading, walk)), changes)
        if not self.has_contact:
            self._start(changes)

    def note_left(self, keys: Iterable[SessionKey], reading: Reading, changes: Changes) -> None:
        """Take note of sessions that are known to have left the listing."""
        self._take(list(self._sessions.left(keys, reading)), changes)

    def _take(self, changed: Sequence[Change], changes: Changes) -> None:
        changes.sessions += sum(before is None for before, _ in changed)
        if not self.has_contact:
            self._sessions.write(after for _, after in changed)
            return
        known_of_old = [after for before, after in changed if self._is_of_old(before, after)]
        news = [change for change in changed if not self._is_of_old(*change)]
        self._sessions.write(after for _, after in news)
        changes.add(*(increments(self._key, *change) for change in news))
        for before, after in news:
            if before is not None and before.queue != after.queue:
                # What was counted before the queue was known stays where it was counted.
                self._keep_remainder(before.queue, before.latest_nano_cu_hours)
                self._keep_remainder(after.queue, -before.latest_nano_cu_hours)
        for row in known_of_old:
            self._readmit(row, changes)

    def forget(self, changes: Changes, *, unlisted_before: float) -> None:
        """Drop the rows of sessions that left before then (wall-clock seconds).

        What they added to the counters stays.
        """
        dropped = self._sessions.drop(unlisted_before=unlisted_before)
        changes.sessions -= len(dropped)
        for row in dropped:
            self._keep_remainder(row.queue, row.latest_nano_cu_hours)
        created = [row.created_ms for row in dropped if row.created_ms is not None]
        if created:
            newest = max(created) if self._dropped_ms is None else max(self._dropped_ms, *created)
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

    def _start(self, changes: Changes) -> None:
        """Give the series their starting values: all that is known of the gateway by now."""
        changes.start(starting_values(self._key, self._sessions.sums()))
        self._db.execute(_SET_CONTACTED, (self._gateway_id,))

    def _is_of_old(self, before: Row | None, after: Row) -> bool:
        """Tell whether a session without a row may be one whose row was dropped."""
        return (
            before is None
            and after.created_ms is not None
            and self._dropped_ms is not None
            and after.created_ms <= self._dropped_ms
        )

    def _readmit(self, row: Row, changes: Changes) -> None:
        """Remember a session again that was counted, its end too, before it was forgotten."""
        self._sessions.write([row._replace(ended=row.ended or UNKNOWN_STATE, ended_at=None)])
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
        unknown = [each for each in gateways if not self._is_known(each)]
        is_first = self._db.execute(_IS_DISCOVERED, (self._workspace_id,)).fetchone() is None
        for gateway in unknown:
            self._db.execute(_INSERT, (self._workspace_id, gateway.livy_compute_id))
        if is_first:
            self._db.execute(_SET_DISCOVERED, (self._workspace_id,))
        return [] if is_first else unknown

    def _is_known(self, gateway: Gateway) -> bool:
        key = (self._workspace_id, gateway.livy_compute_id)
        return self._db.execute(_FIND, key).fetchone() is not None
