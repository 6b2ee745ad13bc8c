"""The remembered sessions of one gateway, in the file.

Nearly every row of a long history is as it was. To see that a record changes nothing takes a
glance, a few of a row's columns; only the other rows are read as a whole.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from exporter.ledger.counting import SessionRow, SessionSum
from exporter.model import UNKNOWN_STATE, LivySession

Glance = Sequence[Any]
"""Id, create time, three figures, what is missing, and the serial of a row."""

_COLUMNS = ", ".join(SessionRow._fields)
_SELECT = f"SELECT {_COLUMNS} FROM session WHERE gateway_id = ?"  # noqa: S608 - our own columns
_WRITE = (
    f"INSERT OR REPLACE INTO session (gateway_id, {_COLUMNS})"  # noqa: S608 - our own columns
    f" VALUES ({', '.join('?' * (len(SessionRow._fields) + 1))})"
)
_NO_QUEUE, _NO_USER, _OPEN, _UNLISTED = 1, 2, 4, 8
# Reading whole rows costs more than everything else that happens to them.
_GLANCE = f"""SELECT session_id, created_ms, vcore_seconds, mb_seconds, latest_nano_cu_hours,
    CASE WHEN queue = '' THEN {_NO_QUEUE} ELSE 0 END
    + CASE WHEN proxy_user = '' THEN {_NO_USER} ELSE 0 END
    + CASE WHEN ended IN ('', '{UNKNOWN_STATE}') THEN {_OPEN} ELSE 0 END
    + CASE WHEN unlisted_at IS NOT NULL THEN {_UNLISTED} ELSE 0 END,
    serial FROM session WHERE gateway_id = ? AND session_id IN ({{places}})"""  # noqa: S608 - constants
# Without its create time, a session that comes back could not be recognised.
_IS_DROPPABLE = "unlisted_at < ? AND created_ms IS NOT NULL"
_DROP = f"DELETE FROM session WHERE gateway_id = ? AND {_IS_DROPPABLE}"  # noqa: S608 - constants
_LISTED = "SELECT session_id, serial FROM session WHERE gateway_id = ? AND unlisted_at IS NULL"
_LISTED_COUNT = "SELECT count(*) FROM session WHERE gateway_id = ? AND unlisted_at IS NULL"
_ANY = "SELECT EXISTS (SELECT 1 FROM session WHERE gateway_id = ?)"

_SUMS = f"""SELECT queue, proxy_user, ended, count(*), {
    ", ".join(
        f"sum(({figure}) >> 32), sum(({figure}) & 0xffffffff)"
        for figure in (
            "nano_cu_hours",
            "vcore_seconds",
            "mb_seconds",
            "nano_cu_hours - latest_nano_cu_hours",
        )
    )
} FROM session WHERE gateway_id = ? AND NOT coalesce(created_ms > ?, 0)
    GROUP BY queue, proxy_user, ended"""  # noqa: S608 - constants

_MOST_IDS = 500
"""In one query: SQLite bounds the number of its parameters."""

_by_id = itemgetter(0)


class SessionTable:
    """The rows of one gateway. Everything happens inside the caller's transaction."""

    def __init__(self, db: sqlite3.Connection, gateway_id: int) -> None:
        self._db = db
        self._gateway_id = gateway_id

    def is_empty(self) -> bool:
        """Whether no session is remembered."""
        return not self._db.execute(_ANY, (self._gateway_id,)).fetchone()[0]

    def glances(self, session_ids: Sequence[str]) -> dict[str, list[Glance]]:
        """Return a glance at each row of some ids."""
        found: dict[str, list[Glance]] = {}
        for start in range(0, len(session_ids), _MOST_IDS):
            some = session_ids[start : start + _MOST_IDS]
            query = _GLANCE.format(places=",".join("?" * len(some)))
            for glance in self._db.execute(query, (self._gateway_id, *some)):
                found.setdefault(glance[0], []).append(glance)
        return found

    def rows_of(self, session_id: str) -> list[SessionRow]:
        """Return the rows of an id."""
        return self._select(" AND session_id = ?", session_id)

    def created_after(self, created_ms: int) -> list[SessionRow]:
        """Return the rows of sessions that were created after then."""
        return self._select(" AND created_ms > ?", created_ms)

    def all(self) -> list[SessionRow]:
        """Return every row."""
        return self._select("")

    def listed(self) -> list[tuple[str, int]]:
        """Return id and serial of each session that is listed."""
        return self._db.execute(_LISTED, (self._gateway_id,)).fetchall()

    def count_listed(self) -> int:
        """Return how many sessions are listed."""
        count: int = self._db.execute(_LISTED_COUNT, (self._gateway_id,)).fetchone()[0]
        return count

    def sums(self, *, created_until: int | None = None) -> Iterator[SessionSum]:
        """Sum up all rows exactly: SQLite's own sums end at 2^63.

        With `created_until`, leave out what was created after then (milliseconds since 1970).
        """
        values = (self._gateway_id, created_until)
        for queue, user, ended, count, *halves in self._db.execute(_SUMS, values):
            pairs = zip(halves[::2], halves[1::2], strict=True)
            yield SessionSum(
                queue, user, ended, count, *((high << 32) + low for high, low in pairs)
            )

    def write(self, rows: Iterable[SessionRow]) -> None:
        """Write rows in place of what they were."""
        in_order = sorted(rows, key=_by_id)  # as they lie in the file, which saves a third
        self._db.executemany(_WRITE, ((self._gateway_id, *row) for row in in_order))

    def drop(self, *, unlisted_before: float) -> list[SessionRow]:
        """Delete the rows of sessions that left before then, and return them.

        Those whose create time was never told stay.
        """
        dropped = self._select(f" AND {_IS_DROPPABLE}", unlisted_before)
        if dropped:
            self._db.execute(_DROP, (self._gateway_id, unlisted_before))
        return dropped

    def _select(self, condition: str, *values: object) -> list[SessionRow]:
        found = self._db.execute(_SELECT + condition, (self._gateway_id, *values))
        return [SessionRow._make(row) for row in found]


def is_unchanged(glance: Glance, record: LivySession) -> bool:
    """Whether a record certainly tells nothing new of the session of a row."""
    _, created, vcore, mb, latest, missing, _ = glance
    usage = record.usage
    return (
        latest == usage.nano_cu_hours
        and vcore == usage.vcore_seconds
        and mb == usage.mb_seconds
        and created == record.created_ms
        and (not missing or not _adds(missing, record))
    )


def _adds(missing: int, record: LivySession) -> bool:
    """Whether a record tells what is missing in the row of its session."""
    return bool(
        missing & _UNLISTED
        or (missing & _NO_QUEUE and record.queue)
        or (missing & _NO_USER and record.proxy_user)
        or (missing & _OPEN and record.has_ended)
    )
