"""The remembered sessions of one gateway: reading them against a listing, and writing them.

Nearly every row of a long history is as it was, so a row that a listing does not change is
passed over with a few comparisons; only the others are matched and counted.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from exporter.ledger.counting import Row, leave, open_row, read_again
from exporter.ledger.matching import match
from exporter.model import LivySession

Change = tuple[Row | None, Row]
"""A row as it was (`None` where there was none) and as it becomes."""

_COLUMNS = ", ".join(Row._fields)
_SELECT = f"SELECT {_COLUMNS} FROM session WHERE gateway_id = ?"  # noqa: S608 - our own columns
_WRITE = (
    f"INSERT OR REPLACE INTO session (gateway_id, {_COLUMNS})"  # noqa: S608 - our own columns
    f" VALUES ({', '.join('?' * (len(Row._fields) + 1))})"
)
_REUSED = "SELECT DISTINCT session_id FROM session WHERE gateway_id = ? AND serial > 0"


class Sessions:
    """The rows of one gateway. Everything happens inside the caller's transaction."""

    def __init__(self, db: sqlite3.Connection, gateway_id: int) -> None:
        self._db = db
        self._gateway_id = gateway_id

    def changed(self, records: Sequence[LivySession], *, left_at: float | None) -> Iterator[Change]:
        """Yield the rows that `records` change.

        With `left_at` (wall-clock seconds) the records are a complete listing, and a session
        that is not among them has left.
        """
        by_id = _by_id(records)
        if left_at is None:
            for session_id, some in by_id.items():
                yield from _of_one_id(self._rows_of(session_id), some, None)
        else:
            yield from self._changed_by_all(by_id, left_at)

    def write(self, rows: Iterable[Row]) -> None:
        """Write `rows` in place of what they were."""
        self._db.executemany(_WRITE, ((self._gateway_id, *row) for row in rows))

    def all(self) -> Iterator[Row]:
        """Give every row of the gateway."""
        return map(Row._make, self._db.execute(_SELECT, (self._gateway_id,)))

    def _changed_by_all(
        self, by_id: dict[str, list[LivySession]], left_at: float
    ) -> Iterator[Change]:
        reused = {row[0] for row in self._db.execute(_REUSED, (self._gateway_id,))}
        for values in self._db.execute(_SELECT, (self._gateway_id,)):
            session_id = values[0]
            if session_id in reused:
                continue
            records = by_id.pop(session_id, ())
            if len(records) == 1 and _is_unchanged(values, records[0]):
                continue
            yield from _of_one_id([Row._make(values)], records, left_at)
        for session_id in reused:
            records = by_id.pop(session_id, ())
            yield from _of_one_id(self._rows_of(session_id), records, left_at)
        for records in by_id.values():
            yield from _of_one_id([], records, left_at)

    def _rows_of(self, session_id: str) -> list[Row]:
        found = self._db.execute(f"{_SELECT} AND session_id = ?", (self._gateway_id, session_id))
        return [Row._make(values) for values in found]


def _by_id(records: Sequence[LivySession]) -> dict[str, list[LivySession]]:
    by_id: dict[str, list[LivySession]] = {}
    for record in records:
        by_id.setdefault(record.session_id, []).append(record)
    return by_id


def _is_unchanged(values: Sequence[object], record: LivySession) -> bool:
    """Tell, from a row's bare values, that a record says nothing new of its session.

    Never wrong where it says yes; a no is looked at again.
    """
    _, _, created, queue, user, _, vcore, mb, latest, ended, unlisted_at = values
    usage = record.usage
    return (
        created == record.created_ms
        and latest == usage.nano_cu_hours
        and vcore == usage.vcore_seconds
        and mb == usage.mb_seconds
        and queue == record.queue
        and user == record.proxy_user
        and unlisted_at is None
        and bool(ended) >= record.has_ended
    )


def _of_one_id(
    rows: Sequence[Row], records: Sequence[LivySession], left_at: float | None
) -> Iterator[Change]:
    was = {row.serial: row for row in rows}
    now: dict[int, Row] = {}
    for row, record in match(rows, records) if records else ():
        if row is None:
            serial = max((*was, *now), default=-1) + 1
            now[serial] = open_row(record, serial)
        else:
            now[row.serial] = read_again(now.get(row.serial, row), record)
    for serial, after in now.items():
        if after != was.get(serial):
            yield was.get(serial), after
    if left_at is not None:
        for row in rows:
            if row.serial not in now and row.unlisted_at is None:
                yield row, leave(row, left_at)
