"""The remembered sessions of one gateway: reading them against a listing, and writing them.

Nearly every row of a long history is as it was, so a row that a listing does not change is
passed over with a few comparisons; only the others are matched and counted.
"""

import sqlite3
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from exporter.ledger.counting import Row, Sum, leave, open_row, read_again
from exporter.ledger.matching import is_created_at, match
from exporter.ledger.walks import Walk
from exporter.model import UNKNOWN_STATE, LivySession

Change = tuple[Row | None, Row]
"""A row as it was (`None` where there was none) and as it becomes."""

_COLUMNS = ", ".join(Row._fields)
_SELECT = f"SELECT {_COLUMNS} FROM session WHERE gateway_id = ?"  # noqa: S608 - our own columns
_WRITE = (
    f"INSERT OR REPLACE INTO session (gateway_id, {_COLUMNS})"  # noqa: S608 - our own columns
    f" VALUES ({', '.join('?' * (len(Row._fields) + 1))})"
)
_NO_QUEUE, _NO_USER, _OPEN, _UNLISTED = 1, 2, 4, 8
# What it takes to see that a listing does not change a row: reading whole rows costs more than
# everything else that happens to them.
_GLANCE = f"""SELECT session_id, created_ms, vcore_seconds, mb_seconds, latest_nano_cu_hours,
    CASE WHEN queue = '' THEN {_NO_QUEUE} ELSE 0 END
    + CASE WHEN proxy_user = '' THEN {_NO_USER} ELSE 0 END
    + CASE WHEN ended IN ('', '{UNKNOWN_STATE}') THEN {_OPEN} ELSE 0 END
    + CASE WHEN unlisted_at IS NOT NULL THEN {_UNLISTED} ELSE 0 END
    FROM session WHERE gateway_id = ?"""  # noqa: S608 - our own constants
_GLANCE_AT = (
    _GLANCE.replace("FROM session", ", serial FROM session") + " AND session_id IN ({places})"
)
# Without its create time, a session that comes back could not be known for an old one.
_IS_DROPPABLE = "unlisted_at < ? AND created_ms IS NOT NULL"
_LEFT_BEFORE = f"{_SELECT} AND {_IS_DROPPABLE}"
_DROP = f"DELETE FROM session WHERE gateway_id = ? AND {_IS_DROPPABLE}"  # noqa: S608 - constants
_LISTED = "SELECT session_id, serial FROM session WHERE gateway_id = ? AND unlisted_at IS NULL"
_LISTED_COUNT = "SELECT count(*) FROM session WHERE gateway_id = ? AND unlisted_at IS NULL"
_CREATED_AFTER = f"{_SELECT} AND created_ms > ?"
_ANY = "SELECT EXISTS (SELECT 1 FROM session WHERE gateway_id = ?)"
_REUSED = "SELECT DISTINCT session_id FROM session WHERE gateway_id = ? AND serial > 0"

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

SessionKey = tuple[str, int | None]
"""Id and create time of a session, the time `None` where it is not known."""

_by_id = itemgetter(0)

_MOST_IDS = 500
"""In one query: SQLite bounds the number of its parameters."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a listing is read.

    `at` is when, in wall-clock seconds. Only where `is_complete` is a session that is not
    among the records taken as gone, unless it is among the `unreadable` ids. Before the first
    contact with a gateway, ends are not events.
    """

    at: float
    is_complete: bool
    is_after_contact: bool
    unreadable: frozenset[str] = frozenset()

    @property
    def event_at(self) -> float | None:
        """Give the time of what is seen to happen, `None` where it may have happened before."""
        return self.at if self.is_after_contact else None


class Sessions:
    """The rows of one gateway. Everything happens inside the caller's transaction."""

    def __init__(self, db: sqlite3.Connection, gateway_id: int) -> None:
        self._db = db
        self._gateway_id = gateway_id

    def changed(self, records: Sequence[LivySession], reading: Reading) -> Iterator[Change]:
        """Yield the rows that `records` change."""
        if reading.is_complete:
            yield from self._changed_by_all(records, reading)
            return
        groups = _grouped(records)
        glances = self._glances([*groups])
        for session_id, some in groups.items():
            seen = glances.get(session_id, [])
            if len(seen) != 1 or len(some) != 1 or not _is_unchanged(seen[0][:-1], some[0]):
                rows = self._rows_of(session_id) if seen else []
                yield from _of_one_id(rows, some, reading)

    def staged(
        self, records: Sequence[LivySession], reading: Reading, walk: Walk
    ) -> Iterator[Change]:
        """Yield the rows that one piece of a walk changes."""
        if walk.began_empty is None:
            walk.began_empty = not self._db.execute(_ANY, (self._gateway_id,)).fetchone()[0]
        groups = _grouped(records)
        glances = self._glances([*filter(walk.may_know, groups)])
        for session_id, some in groups.items():
            seen = glances.get(session_id, [])
            if not seen and len(some) == 1:
                walk.open(session_id, (0,))
                yield None, open_row(some[0], 0, reading.event_at)
                continue
            if len(seen) == len(some) == 1 and _is_unchanged(seen[0][:-1], some[0]):
                walk.meet(session_id, (seen[0][-1],))
                continue
            known = self._rows_of(session_id) if seen else []
            surely, older = walk.sort(known, some)
            yield from _met(known, surely, older, reading, walk)

    def finished(self, reading: Reading, walk: Walk) -> Iterator[Change]:
        """Yield the rows that change because a walk is complete now."""
        # All that was met is listed, so where no more than that is listed, nothing has left.
        if not walk.deferred and self._count_listed() == len(walk):
            return
        for session_id, some in _grouped(walk.deferred).items():
            known = self._rows_of(session_id)
            newest, own, older = walk.settle(known, some)
            yield from _met([newest], own, [], reading, walk)
            yield from _met(known, [], older, reading, walk)
        if not reading.is_complete:
            return
        for session_id, serial in self._db.execute(_LISTED, (self._gateway_id,)).fetchall():
            if not walk.has_met(session_id, serial) and session_id not in reading.unreadable:
                rows = self._rows_of(session_id)
                yield from ((row, leave(row, reading.at)) for row in rows if row.serial == serial)

    def left(self, keys: Iterable[SessionKey], reading: Reading) -> Iterator[Change]:
        """Yield the rows of sessions that are known to have left."""
        for session_id, created_ms in keys:
            for row in self._rows_of(session_id):
                if row.unlisted_at is None and is_created_at(row, created_ms):
                    yield row, leave(row, reading.at)

    def write(self, rows: Iterable[Row]) -> None:
        """Write `rows` in place of what they were."""
        in_order = sorted(rows, key=_by_id)  # as they lie in the file, which saves a third
        self._db.executemany(_WRITE, ((self._gateway_id, *row) for row in in_order))

    def all(self) -> Iterator[Row]:
        """Give every row of the gateway."""
        return map(Row._make, self._db.execute(_SELECT, (self._gateway_id,)))

    def created_after(self, created_ms: int) -> Iterator[Row]:
        """Give the rows of sessions that were created after then."""
        return map(Row._make, self._db.execute(_CREATED_AFTER, (self._gateway_id, created_ms)))

    def sums(self, *, created_until: int | None = None) -> Iterator[Sum]:
        """Sum up all rows of the gateway, exactly: SQLite's own sums end at 2^63.

        With `created_until`, leave out what was created after then (milliseconds since 1970).
        """
        values = (self._gateway_id, created_until)
        for queue, user, ended, count, *halves in self._db.execute(_SUMS, values):
            pairs = zip(halves[::2], halves[1::2], strict=True)
            yield Sum(queue, user, ended, count, *((high << 32) + low for high, low in pairs))

    def drop(self, *, unlisted_before: float) -> list[Row]:
        """Delete the rows of sessions that left before then; give them as they were.

        Those whose create time was never told stay.
        """
        where = (self._gateway_id, unlisted_before)
        dropped = [Row._make(row) for row in self._db.execute(_LEFT_BEFORE, where)]
        if dropped:
            self._db.execute(_DROP, where)
        return dropped

    def _changed_by_all(self, records: Sequence[LivySession], reading: Reading) -> Iterator[Change]:
        """Yield the changes by a complete listing, ids with a history of reuse at the end."""
        single = {record.session_id: record for record in records}
        reused = {row[0] for row in self._db.execute(_REUSED, (self._gateway_id,))}
        if len(single) < len(records):
            reused.update(_repeated(records))
        for glance in self._db.execute(_GLANCE, (self._gateway_id,)):
            session_id = glance[0]
            if session_id in reused:
                continue
            record = single.pop(session_id, None)
            if record is not None and _is_unchanged(glance, record):
                continue
            met = () if record is None else (record,)
            yield from _of_one_id(self._rows_of(session_id), met, reading)
        groups = _grouped([record for record in records if record.session_id in reused])
        for session_id in reused:
            single.pop(session_id, None)
            yield from _of_one_id(self._rows_of(session_id), groups.get(session_id, ()), reading)
        for record in single.values():
            yield from _of_one_id([], (record,), reading)

    def _glances(self, session_ids: Sequence[str]) -> dict[str, list[Sequence[Any]]]:
        """Glance at the rows of some ids; the serial comes last."""
        found: dict[str, list[Sequence[Any]]] = {}
        for start in range(0, len(session_ids), _MOST_IDS):
            some = session_ids[start : start + _MOST_IDS]
            query = _GLANCE_AT.format(places=",".join("?" * len(some)))
            for glance in self._db.execute(query, (self._gateway_id, *some)):
                found.setdefault(glance[0], []).append(glance)
        return found

    def _count_listed(self) -> int:
        count: int = self._db.execute(_LISTED_COUNT, (self._gateway_id,)).fetchone()[0]
        return count

    def _rows_of(self, session_id: str) -> list[Row]:
        found = self._db.execute(f"{_SELECT} AND session_id = ?", (self._gateway_id, session_id))
        return [Row._make(values) for values in found]


def _grouped(records: Sequence[LivySession]) -> dict[str, list[LivySession]]:
    groups: dict[str, list[LivySession]] = {}
    for record in records:
        groups.setdefault(record.session_id, []).append(record)
    return groups


def _repeated(records: Sequence[LivySession]) -> set[str]:
    counts = Counter(record.session_id for record in records)
    return {session_id for session_id, count in counts.items() if count > 1}


def _is_unchanged(glance: Sequence[Any], record: LivySession) -> bool:
    """Tell, from a glance at a row, that a record says nothing new of its session.

    Never wrong where it says yes; a no is looked at again.
    """
    _, created, vcore, mb, latest, gaps = glance
    usage = record.usage
    return (
        latest == usage.nano_cu_hours
        and vcore == usage.vcore_seconds
        and mb == usage.mb_seconds
        and created == record.created_ms
        and (not gaps or not _fills(gaps, record))
    )


def _fills(gaps: int, record: LivySession) -> bool:
    """Tell whether a record says what was not known of its session so far."""
    return bool(
        gaps & _UNLISTED
        or (gaps & _NO_QUEUE and record.queue)
        or (gaps & _NO_USER and record.proxy_user)
        or (gaps & _OPEN and record.has_ended)
    )


def _of_one_id(
    rows: Sequence[Row], records: Sequence[LivySession], reading: Reading
) -> Iterator[Change]:
    """Yield the rows of one session id that change."""
    was, now = _read(rows, records, reading)
    yield from ((was.get(serial), row) for serial, row in now.items() if row != was.get(serial))
    if reading.is_complete:
        yield from _left(rows, now, reading)


def _met(
    rows: Sequence[Row],
    records: Sequence[LivySession],
    older: Sequence[LivySession],
    reading: Reading,
    walk: Walk,
) -> Iterator[Change]:
    """Yield the rows of one id that change; `older` are sessions of their own, without a row."""
    was, now = _read(rows, records, reading)
    _, new = _read((), older, reading)
    first = max((*was, *now), default=-1) + 1
    now.update((first + serial, row._replace(serial=first + serial)) for serial, row in new.items())
    if now:
        session_id = (*records, *older)[0].session_id
        walk.meet(session_id, now.keys() & was.keys())
        walk.open(session_id, now.keys() - was.keys())
    yield from ((was.get(serial), row) for serial, row in now.items() if row != was.get(serial))


def _read(
    rows: Sequence[Row], records: Sequence[LivySession], reading: Reading
) -> tuple[dict[int, Row], dict[int, Row]]:
    """Give the rows of one session id as they were, and as those that were met become."""
    was = {row.serial: row for row in rows}
    now: dict[int, Row] = {}
    for known, some in match(rows, records) if records else ():
        serial = known.serial if known else max((*was, *now), default=-1) + 1
        row = known or open_row(some.pop(0), serial, reading.event_at)
        for record in some:
            row = read_again(row, record, reading.event_at)
        now[serial] = row
    return was, now


def _left(rows: Sequence[Row], met: Container[int], reading: Reading) -> Iterator[Change]:
    for row in rows:
        is_readable = row.session_id not in reading.unreadable
        if row.serial not in met and row.unlisted_at is None and is_readable:
            yield row, leave(row, reading.at)
