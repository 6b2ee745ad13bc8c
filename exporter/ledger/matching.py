"""Which remembered session a record belongs to: ids may be reused, create times may be missing.

Records and rows are those of one session id, in any order.
"""

from collections.abc import Iterator, Sequence

from exporter.ledger.counting import Row
from exporter.model import LivySession

TOLERANCE_MS = 1000
"""Create times that differ by no more than this are those of one session."""

Match = tuple[Row | None, LivySession]


def match(rows: Sequence[Row], records: Sequence[LivySession]) -> Iterator[Match]:
    """Pair each record with its row, or with `None` where it opens a new session.

    A record without a create time belongs to the newest session, or opens one that adopts
    the first create time seen. A create time more than a second later than every known one
    is a new session. An earlier one corrects the newest session's, unless another record of
    the same listing speaks for that session: then it is an older session of the same id.
    """
    dated = sorted((r for r in records if r.created_ms is not None), key=_created)
    newest = max(rows, key=_age, default=None)
    if not dated:
        # Several readings without a create time are readings of one session: the last wins.
        yield newest, records[-1]
        return
    pairs = [(_same(rows, record), record) for record in dated]
    yield from ((row, record) for row, record in pairs if row is not None)
    strangers = [record for row, record in pairs if row is None]
    is_spoken_for = any(row is newest for row, _ in pairs)
    if strangers and newest is not None and not is_spoken_for:
        heir = _heir(newest, strangers)
        if heir is not None:
            strangers.remove(heir)
            yield newest, heir
    yield from ((None, record) for record in strangers)


def _same(rows: Sequence[Row], record: LivySession) -> Row | None:
    """Find the row whose create time is the record's."""
    created = _created(record)
    return next(
        (
            row
            for row in rows
            if row.created_ms is not None and abs(row.created_ms - created) <= TOLERANCE_MS
        ),
        None,
    )


def _heir(newest: Row, strangers: Sequence[LivySession]) -> LivySession | None:
    """Find the record that speaks for `newest` under a create time not known so far."""
    if newest.created_ms is None:
        return strangers[-1]
    earlier = [record for record in strangers if _created(record) < newest.created_ms]
    return earlier[-1] if earlier else None


def _created(record: LivySession) -> int:
    return record.created_ms or 0


def _age(row: Row) -> tuple[float, int]:
    """Order rows from old to new; one without a create time is the newest that is known."""
    return (float("inf") if row.created_ms is None else row.created_ms, row.serial)
