"""The remembered sessions of one gateway, in the database.

Nearly every row of a long history is as it was. To see that a record changes nothing takes a
glance, a few of a row's columns; only the other rows are read as a whole.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from exporter.ledger.counting import SessionRow, SessionSum
from exporter.ledger.database import Database, Reader, Table
from exporter.model import UNKNOWN_STATE, LivySession

Glance = Sequence[Any]
"""Id, create time, three figures, what is missing, and the serial of a row."""

_COLUMNS = ", ".join(SessionRow._fields)
TABLE = Table("session", ("gateway_id", *SessionRow._fields[:2]), SessionRow._fields[2:])
_SELECT = f"SELECT {_COLUMNS} FROM main.session WHERE gateway_id = ?"  # noqa: S608 - our own columns
_OF_IDS = _SELECT + " AND session_id IN ({ids})"
_NO_QUEUE, _NO_USER, _OPEN, _UNLISTED = 1, 2, 4, 8
# Reading whole rows costs more than everything else that happens to them.
_GLANCE = f"""SELECT session_id, created_ms, vcore_seconds, mb_seconds, latest_nano_cu_hours,
    CASE WHEN queue = '' THEN {_NO_QUEUE} ELSE 0 END
    + CASE WHEN proxy_user = '' THEN {_NO_USER} ELSE 0 END
    + CASE WHEN ended IN ('', '{UNKNOWN_STATE}') THEN {_OPEN} ELSE 0 END
    + CASE WHEN unlisted_at IS NOT NULL THEN {_UNLISTED} ELSE 0 END,
    serial FROM main.session WHERE gateway_id = ? AND session_id IN ({{ids}})"""  # noqa: S608 - constants
# Without its create time, a session that comes back could not be recognised.
_IS_DROPPABLE = "unlisted_at < ? AND created_ms IS NOT NULL"
_DROPPABLE = f" AND {_IS_DROPPABLE} ORDER BY unlisted_at, session_id, serial LIMIT 5000"
_DROP = f"""DELETE FROM main.session WHERE gateway_id = ? AND (session_id, serial) IN (
    SELECT session_id, serial FROM main.session WHERE gateway_id = ?{_DROPPABLE})"""  # noqa: S608 - constants
_LISTED = "SELECT session_id, serial FROM main.session WHERE gateway_id = ? AND unlisted_at IS NULL"
_LISTED_COUNT = "SELECT count(*) FROM main.session WHERE gateway_id = ? AND unlisted_at IS NULL"
_ANY = "SELECT EXISTS (SELECT 1 FROM main.session WHERE gateway_id = ?)"

_SUMS = f"""SELECT queue, proxy_user, ended, count(*), {
    ", ".join(
        f"CAST(sum(({figure}) >> 32) AS bigint), CAST(sum(({figure}) & 4294967295) AS bigint)"
        for figure in (
            "nano_cu_hours",
            "vcore_seconds",
            "mb_seconds",
            "nano_cu_hours - latest_nano_cu_hours",
        )
    )
} FROM main.session WHERE gateway_id = ? AND NOT coalesce(created_ms > ?, FALSE)
    GROUP BY queue, proxy_user, ended"""  # noqa: S608 - constants

_by_id = itemgetter(0)


class SessionRows:
    """The rows of one gateway, as they can be read."""

    def __init__(self, db: Reader, gateway_id: int) -> None:
        self._reader = db
        self._gateway_id = gateway_id

    def is_empty(self) -> bool:
        """Whether no session is remembered."""
        return not self._reader.query(_ANY, (self._gateway_id,))[0][0]

    def glances(self, session_ids: Sequence[str]) -> dict[str, list[Glance]]:
        """Return a glance at each row of some ids."""
        found: dict[str, list[Glance]] = {}
        for glance in self._reader.query_ids(_GLANCE, (self._gateway_id,), session_ids):
            found.setdefault(glance[0], []).append(glance)
        return found

    def rows_of(self, session_ids: Collection[str]) -> dict[str, list[SessionRow]]:
        """Return the rows of some ids: a list for each, which may be empty."""
        found: dict[str, list[SessionRow]] = {session_id: [] for session_id in session_ids}
        if found:
            for values in self._reader.query_ids(_OF_IDS, (self._gateway_id,), [*found]):
                found[values[0]].append(SessionRow._make(values))
        return found

    def created_after(self, created_ms: int) -> list[SessionRow]:
        """Return the rows of sessions that were created after then."""
        return self._select(" AND created_ms > ?", created_ms)

    def all(self) -> list[SessionRow]:
        """Return every row."""
        return self._select("")

    def listed(self) -> list[tuple[str, int]]:
        """Return id and serial of each session that is listed."""
        return [(row[0], row[1]) for row in self._reader.query(_LISTED, (self._gateway_id,))]

    def count_listed(self) -> int:
        """Return how many sessions are listed."""
        count: int = self._reader.query(_LISTED_COUNT, (self._gateway_id,))[0][0]
        return count

    def sums(self, *, created_until: int | None = None) -> Iterator[SessionSum]:
        """Sum up all rows exactly: a sum of whole figures could pass 2^63.

        With `created_until`, leave out what was created after then (milliseconds since 1970).
        """
        values = (self._gateway_id, created_until)
        for queue, user, ended, count, *halves in self._reader.query(_SUMS, values):
            pairs = zip(halves[::2], halves[1::2], strict=True)
            yield SessionSum(
                queue, user, ended, count, *((high << 32) + low for high, low in pairs)
            )

    def _select(self, condition: str, *values: object) -> list[SessionRow]:
        found = self._reader.query(_SELECT + condition, (self._gateway_id, *values))
        return [SessionRow._make(row) for row in found]


class SessionTable(SessionRows):
    """The rows of one gateway. Everything happens inside the caller's transaction."""

    def __init__(self, db: Database, gateway_id: int) -> None:
        super().__init__(db, gateway_id)
        self._db = db

    def write(self, rows: Iterable[SessionRow]) -> None:
        """Write rows in place of what they were."""
        in_order = sorted(rows, key=_by_id)  # as they lie in the file, which saves a third
        self._db.upsert(TABLE, [(self._gateway_id, *row) for row in in_order])

    def drop(self, *, unlisted_before: float) -> list[SessionRow]:
        """Delete the rows of some sessions that left before then, the first ones first.

        Returns them. Those whose create time was never told stay.
        """
        dropped = self._select(_DROPPABLE, unlisted_before)
        if dropped:
            self._db.execute(_DROP, (self._gateway_id, self._gateway_id, unlisted_before))
        return dropped


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
    return bool(
        missing & _UNLISTED
        or (missing & _NO_QUEUE and record.queue)
        or (missing & _NO_USER and record.proxy_user)
        or (missing & _OPEN and record.has_ended)
    )
