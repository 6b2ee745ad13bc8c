"""One complete walk, taken up piece by piece, so that a long history is never held whole.

Pieces are counted as they come, like those of a walk that may still fail. What only the whole
can tell is concluded at the end: which sessions are gone, and whose record it is that bears an
earlier create time than a known session of its id.
"""

from collections.abc import Iterable, Sequence

from exporter.ledger.counting import Row
from exporter.ledger.matching import TOLERANCE_MS, is_created_at
from exporter.model import LivySession


class Walk:
    """What one walk over a gateway has met so far."""

    def __init__(self) -> None:
        self._met: set[int] = set()
        self.deferred: list[LivySession] = []

    def meet(self, session_id: str, serials: Iterable[int]) -> None:
        """Note that the walk has come upon sessions of an id."""
        self._met.update(hash((session_id, serial)) for serial in serials)

    def has_met(self, session_id: str, serial: int) -> bool:
        """Tell whether the walk has come upon a session."""
        return hash((session_id, serial)) in self._met

    def sort(
        self, rows: Sequence[Row], records: Sequence[LivySession]
    ) -> tuple[list[LivySession], list[LivySession]]:
        """Tell the records whose session is known by now from those of older, unknown ones.

        A record that is older than the newest session of its id speaks for that session under
        another create time, or for a session of its own: which of the two depends on whether
        some other record of the walk speaks for it. As long as that is open, it is deferred.
        """
        newest = max(rows, key=_age, default=None)
        older = [each for each in records if newest and _is_older_stranger(each, newest, rows)]
        if newest is None or not older:
            return [*records], []
        rest = [each for each in records if each not in older]
        if self.has_met(newest.session_id, newest.serial):
            return rest, older
        if any(_speaks_for(each, newest) for each in rest):
            return [*records], []
        self.deferred += older
        return rest, []


def _is_older_stranger(record: LivySession, newest: Row, rows: Sequence[Row]) -> bool:
    created, newest_ms = record.created_ms, newest.created_ms
    if created is None or newest_ms is None or created >= newest_ms - TOLERANCE_MS:
        return False
    return not any(_speaks_for(record, row) for row in rows)


def _speaks_for(record: LivySession, row: Row) -> bool:
    return record.created_ms is not None and is_created_at(row, record.created_ms)


def _age(row: Row) -> tuple[float, int]:
    return (float("inf") if row.created_ms is None else row.created_ms, row.serial)
