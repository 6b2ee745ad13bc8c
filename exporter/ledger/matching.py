"""Which remembered session a record belongs to: ids may be reused, create times may be missing.

Records and rows are those of one session id; rows in any order, records in the order in which
they were read. A scan may read a session more than once.
"""

from collections.abc import Iterator, Sequence

from exporter.ledger.counting import SessionRow
from exporter.model import LivySession

TOLERANCE_MS = 1000
"""Create times that differ by no more than this are those of one session."""

SessionKey = tuple[str, int | None]
"""Id and create time of a session, the time `None` if it is not known."""

Match = tuple[SessionRow | None, list[LivySession]]
"""A session, `None` if it is a new one, and the readings of it: at least one."""


def match(rows: Sequence[SessionRow], records: Sequence[LivySession]) -> Iterator[Match]:
    """Yield each session that `records` are of, known or new, with its records.

    A record without a create time belongs to the newest session, or opens one that adopts
    the first create time seen. A create time more than a second later than every known one
    is a new session. An earlier one corrects the newest session's, unless another record of
    the same listing belongs to that session: then it is an older session of the same id.
    """
    if not rows and len(records) == 1:
        yield None, [*records]
        return
    matches = _dated(rows, [record for record in records if record.created_ms is not None])
    undated = [record for record in records if record.created_ms is None]
    if undated:
        _give_to_newest(undated, matches, rows)
    position = {id(record): position for position, record in enumerate(records)}
    for row, readings in matches:
        yield row, sorted(readings, key=lambda record: position[id(record)])


def is_created_at(row: SessionRow, created_ms: int | None) -> bool:
    """Whether a create time is that of a row."""
    if row.created_ms is None or created_ms is None:
        return row.created_ms == created_ms
    return abs(row.created_ms - created_ms) <= TOLERANCE_MS


def age(row: SessionRow) -> tuple[float, int]:
    """Return what sorts rows from old to new; one without a create time is the newest known."""
    return (float("inf") if row.created_ms is None else row.created_ms, row.serial)


def _dated(rows: Sequence[SessionRow], records: Sequence[LivySession]) -> list[Match]:
    """Match the records that have a create time; new sessions come last, from old to new."""
    known: dict[int, Match] = {}
    unmatched: list[list[LivySession]] = []
    for record in sorted(records, key=_created):
        row = next((row for row in rows if is_created_at(row, record.created_ms)), None)
        if row is not None:
            known.setdefault(row.serial, (row, []))[1].append(record)
        elif unmatched and _created(record) - _created(unmatched[-1][0]) <= TOLERANCE_MS:
            unmatched[-1].append(record)
        else:
            unmatched.append([record])
    newest = max(rows, key=age, default=None)
    if newest is not None and newest.serial not in known:
        corrected = _corrected(newest, unmatched)
        if corrected is not None:
            unmatched.remove(corrected)
            known[newest.serial] = (newest, corrected)
    return [*known.values(), *((None, readings) for readings in unmatched)]


def _give_to_newest(
    undated: list[LivySession], matches: list[Match], rows: Sequence[SessionRow]
) -> None:
    """Let records without a create time be readings of the newest session there is."""
    row = max(rows, key=age, default=None)
    latest = max(matches, key=lambda match: _created(match[1][-1]), default=None)
    if latest is None or (row is not None and age(row)[0] > _created(latest[1][-1])):
        latest = next((match for match in matches if match[0] is row), None)
    if latest is None:
        matches.append((row, undated))
    else:
        latest[1].extend(undated)


def _corrected(
    newest: SessionRow, unmatched: Sequence[list[LivySession]]
) -> list[LivySession] | None:
    """Return the records that belong to `newest` under a create time not known so far."""
    if newest.created_ms is None:
        return unmatched[-1] if unmatched else None
    earlier = [readings for readings in unmatched if _created(readings[0]) < newest.created_ms]
    return earlier[-1] if earlier else None


def _created(record: LivySession) -> int:
    return record.created_ms or 0
