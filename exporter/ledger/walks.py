"""One complete walk, taken up piece by piece, so that a long history is never held whole.

Pieces are counted as they come, like those of a walk that may still fail. What only the whole
can tell is concluded at the end: which sessions are gone, and whose record it is that bears an
earlier create time than a known session of its id.
"""

from collections.abc import Iterable, Sequence

from exporter.ledger.counting import Row
from exporter.ledger.matching import is_created_at, match
from exporter.model import LivySession


class Walk:
    """What one walk over a gateway has met so far: rows known before, and rows it opened."""

    def __init__(self) -> None:
        self._met: set[int] = set()
        self._opened: set[int] = set()
        self.deferred: list[LivySession] = []
        self.began_empty: bool | None = None
        """Whether no session of the gateway was known when the walk began."""

    def __len__(self) -> int:
        """Count the sessions that the walk has come upon."""
        return len(self._met) + len(self._opened)

    def meet(self, session_id: str, serials: Iterable[int]) -> None:
        """Note that the walk has come upon sessions of an id that were known."""
        for serial in serials:
            key = hash((session_id, serial))
            if key not in self._opened:
                self._met.add(key)

    def open(self, session_id: str, serials: Iterable[int]) -> None:
        """Note that the walk has come upon sessions of an id for the first time."""
        for serial in serials:
            self._opened.add(hash((session_id, serial)))

    def may_know(self, session_id: str) -> bool:
        """Tell whether there may be a row of an id; of an id there is one of serial 0."""
        return not self.began_empty or self.has_met(session_id, 0)

    def has_met(self, session_id: str, serial: int) -> bool:
        """Tell whether the walk has come upon a session."""
        key = hash((session_id, serial))
        return key in self._met or key in self._opened

    def sort(
        self, rows: Sequence[Row], records: Sequence[LivySession]
    ) -> tuple[list[LivySession], list[LivySession]]:
        """Tell the records whose session can be found by now from those of sessions without a row.

        A record that is older than the newest session that was known of its id speaks for that
        session under another create time, or for a session of its own: which of the two depends
        on whether some other record of the walk speaks for it. As long as that is open, it is
        deferred.
        """
        if not rows:
            return [*records], []
        newest = self._newest(rows)
        strangers = [each for each in records if _is_stranger(each, rows)]
        rest = [each for each in records if each not in strangers]
        if newest is not None and self._is_open(newest, rest):
            claims = [each for each in strangers if _may_be(each, newest)]
            self.deferred += claims
            strangers = [each for each in strangers if each not in claims]
        return rest, strangers

    def settle(
        self, rows: Sequence[Row], records: Sequence[LivySession]
    ) -> tuple[Row, list[LivySession], list[LivySession]]:
        """Tell whose the deferred `records` of an id are: those of the row, and all others."""
        newest = self._newest(rows) or max(rows, key=_age)
        if not self._is_open(newest, ()):
            return newest, [], [*records]
        found = list(match([newest], records))
        own = [each for row, some in found if row is not None for each in some]
        return newest, own, [each for row, some in found if row is None for each in some]

    def _newest(self, rows: Sequence[Row]) -> Row | None:
        """Give the newest session of an id that was known before the walk."""
        before = [row for row in rows if hash((row.session_id, row.serial)) not in self._opened]
        return max(before, key=_age, default=None)

    def _is_open(self, newest: Row, records: Iterable[LivySession]) -> bool:
        """Tell whether nothing has spoken for a session yet."""
        is_met = self.has_met(newest.session_id, newest.serial)
        return not is_met and not any(_speaks_for(each, newest) for each in records)


def _is_stranger(record: LivySession, rows: Sequence[Row]) -> bool:
    return record.created_ms is not None and not any(_speaks_for(record, row) for row in rows)


def _may_be(record: LivySession, newest: Row) -> bool:
    """Tell whether a record may be of a session whose create time is another, as far as known."""
    created = record.created_ms
    return newest.created_ms is None or (created is not None and created < newest.created_ms)


def _speaks_for(record: LivySession, row: Row) -> bool:
    return record.created_ms is not None and is_created_at(row, record.created_ms)


def _age(row: Row) -> tuple[float, int]:
    return (float("inf") if row.created_ms is None else row.created_ms, row.serial)
