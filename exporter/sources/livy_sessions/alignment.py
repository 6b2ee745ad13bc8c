"""Where the rows of a page stand among those that are known. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.sources.livy_sessions.columns import Columns
from exporter.sources.livy_sessions.history import Order
from exporter.sources.livy_sessions.rows import Row


class ListingDiverged(Exception):  # noqa: N818 - no error: the history is read completely then
    """The listing is not what it would be if it had only grown and shrunk at its two ends."""


@dataclass(frozen=True, slots=True)
class ReadPage:
    """The rows of a page in order of listing, and the total count it tells."""

    number: int
    size: int
    rows: Sequence[Row]
    count: int | None

    @property
    def start(self) -> int:
        """The place of the first row in the listing, from 0."""
        return (self.number - 1) * self.size

    @property
    def is_past_end(self) -> bool:
        """Whether there should be no such page; what the service put on it is void."""
        return not self.rows or (self.count is not None and self.start >= self.count)

    @property
    def is_last(self) -> bool:
        """Whether the listing ends on this page."""
        if self.count is not None:
            return self.start < self.count <= self.start + len(self.rows)
        return 0 < len(self.rows) < self.size

    def refuse_repeated(self, before: "ReadPage | None") -> None:
        """Raise `ListingDiverged` if this is the page before it again, and no count tells why."""
        if self.count is not None or before is None or self.number != before.number + 1:
            return
        if self.rows and [row.key for row in self.rows] == [row.key for row in before.rows]:
            raise ListingDiverged("a page is repeated, and no count tells whether it is the last")


@dataclass(frozen=True, slots=True)
class Aligned:
    """Where a page stands: `rows` are those of the line (from old to new) from `first` on.

    `drift` is by how many places rows have moved: towards later pages by what came in where
    the newest is first, towards earlier ones by what left where the oldest is.
    """

    first: int
    rows: Sequence[Row]
    drift: int


class Line:
    """The rows of a history from old to new, and where in the listing they are expected."""

    def __init__(self, order: Order, rows: Columns) -> None:
        self.is_newest_first = order is Order.NEWEST_FIRST
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def place(self, index: int, drift: int) -> int:
        """Return the place of a row in the listing, from 0."""
        return len(self) - 1 - index + drift if self.is_newest_first else index - drift

    def align(self, page: ReadPage, drift: int) -> Aligned:
        """Find the rows of a page that is not empty; rows newer than the line may be on it.

        Rows drift in one direction only. Raises `ListingDiverged` if the page is not one piece
        of the line.
        """
        if self.is_newest_first:
            rows = page.rows[::-1]
            expected = len(self) - page.start - len(rows) + drift
        else:
            rows = page.rows
            expected = page.start + drift
        first = self._rows.index(rows[0].key, max(expected, 0))
        if first is None:
            # Where new rows push others on, all of a page may be newer than the line.
            if not self.is_newest_first or any(row in self._rows for row in rows):
                raise ListingDiverged("sessions moved against the order")
            first = len(self)
        rows = rows[: len(self) - first]
        if any(self._rows.key(index) != row.key for index, row in enumerate(rows, first)):
            raise ListingDiverged("sessions came or went in the middle of the history")
        return Aligned(first, rows, drift + first - expected)
