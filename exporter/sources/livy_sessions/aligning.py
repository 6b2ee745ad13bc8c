"""Where the rows of a page stand among those that are known. Pure."""

from array import array
from dataclasses import dataclass

from exporter.sources.livy_sessions.front import Page, Surprise
from exporter.sources.livy_sessions.order import Order


@dataclass(frozen=True, slots=True)
class Aligned:
    """Rows `first` up to `stop` of the line (from old to new) are on the page, in `rows`.

    `drift` is by how many places rows have moved: towards later pages by what came in where
    the newest is first, towards earlier ones by what left where the oldest is.
    """

    first: int
    rows: "array[int]"
    drift: int

    @property
    def stop(self) -> int:
        """Give the index behind the newest row."""
        return self.first + len(self.rows)


class Line:
    """The rows of a history from old to new, and where in the listing they are expected."""

    def __init__(self, order: Order, digests: "array[int]") -> None:
        self.is_newest_first = order is Order.NEWEST_FIRST
        self.digests = digests

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.digests)

    def place(self, index: int, drift: int) -> int:
        """Give the place of a row in the listing, from 0."""
        return len(self) - 1 - index + drift if self.is_newest_first else index - drift

    def align(self, page: Page, drift: int) -> Aligned:
        """Find the rows of a page that is not empty; rows newer than the line may be on it.

        Rows drift in one direction only. Raises `Surprise` where the page is not one piece
        of the line.
        """
        rows = array("q", page.rows)
        if self.is_newest_first:
            rows.reverse()
            expected = len(self) - page.start - len(rows) + drift
        else:
            expected = page.start + drift
        first = self._find(rows[0], max(expected, 0))
        if first is None:
            # All of it is newer than the line.
            return Aligned(len(self), array("q"), drift + len(self) - expected)
        known = rows[: len(self) - first]
        if self.digests[first : first + len(known)] != known:
            raise Surprise("sessions came or went in the middle of the history")
        return Aligned(first, known, drift + first - expected)

    def _find(self, digest: int, start: int) -> int | None:
        try:
            return self.digests.index(digest, start)
        except ValueError:
            pass
        if digest in self.digests[:start]:
            raise Surprise("sessions moved against the order")
        return None
