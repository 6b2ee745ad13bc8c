"""The new end of a history: which rows came in since it was last read. Pure.

Pages are read from the new end inwards until the known part begins. Read in this direction
no row can slip past: with the newest row first, what comes in meanwhile pushes rows towards
the pages still to be read; with the oldest first, what leaves meanwhile pulls them there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.sources.livy_sessions.order import Order

if TYPE_CHECKING:
    from array import array


class Surprise(Exception):  # noqa: N818 - no error: the history is not as it was expected
    """The history is not what it would be if it had only grown and shrunk at its two ends."""


@dataclass(frozen=True, slots=True)
class Page:
    """What was read: the digests of a page's rows in order of listing, and the total count."""

    number: int
    size: int
    rows: Sequence[int]
    count: int | None

    @property
    def start(self) -> int:
        """Give the place of the first row, from 0."""
        return (self.number - 1) * self.size

    @property
    def is_past_end(self) -> bool:
        """Tell whether there should be no such page; what the service put on it is void."""
        return not self.rows or (self.count is not None and self.start >= self.count)

    @property
    def is_last(self) -> bool:
        """Tell whether the listing ends on this page."""
        if self.count is not None:
            return self.start < self.count <= self.start + len(self.rows)
        return 0 < len(self.rows) < self.size


class Front:
    """Reads the new end: says which page comes next, and takes it.

    When `next_page` is `None`, `fresh` are the rows that came in (newest first), `kept` the
    number of known rows that were not read, and `tail` all that was read, from old to new.
    """

    def __init__(self, order: Order, known: "array[int]", size: int) -> None:
        self._is_newest_first = order is Order.NEWEST_FIRST
        self._known = known
        is_newest_first = order is Order.NEWEST_FIRST
        self.next_page: int | None = 1 if is_newest_first else (len(known) - 1) // size + 1
        self._has_begun = is_newest_first
        self._scout: Page | None = None
        self._void = 0
        self._read: dict[int, None] = {}
        self.fresh: list[int] = []
        self.kept = len(known)
        self.first: Page | None = None
        """The page that holds the newest row: its count belongs to what is found here."""
        self.last: Page | None = None

    @property
    def tail(self) -> list[int]:
        """Give all rows that were read, from old to new."""
        return [*reversed(self._read)]

    def take(self, page: Page) -> None:
        """Take the page that was asked for. Raises `Surprise`."""
        if not self._has_begun and not self._begin(page):
            return
        if page.is_past_end:
            raise Surprise("the listing ends where known sessions were expected")
        self.first = self.first or page
        self.last = page
        rows = page.rows if self._is_newest_first else page.rows[::-1]
        # What is newer than the first reading came in since, and is left to the next poll.
        overlap = next((at for at, digest in enumerate(rows) if digest in self._read), 0)
        for digest in rows[overlap:]:
            if digest not in self._read:
                self._add(digest)
        self._go_on(page, oldest=rows[-1])

    def _begin(self, page: Page) -> bool:
        """Tell whether a page is the last one; with the oldest row first it has to be found.

        Where no count tells, the last page is one before an empty one, read after that: rows
        may have moved there meanwhile.
        """
        scout, self._scout = self._scout, page
        check_news(scout, page)
        is_void = page.is_past_end
        is_before_void = page.count is None and page.number + 1 == self._void
        if not is_void and (page.is_last or is_before_void):
            self._has_begun = True
            return True
        if page.count is not None:
            self.next_page = _last(page)
        elif not is_void:
            self.next_page = page.number + 1
        elif page.number == 1:
            raise Surprise("the listing is empty")
        else:
            self._void = page.number
            self.next_page = page.number - 1
        return False

    def _add(self, digest: int) -> None:
        self._read[digest] = None
        if self.kept and self._known[self.kept - 1] == digest:
            self.kept -= 1
        else:
            self.fresh.append(digest)

    def _go_on(self, page: Page, oldest: int) -> None:
        self._check_fresh()
        if self.kept < len(self._known) and self._known[self.kept] == oldest:
            self.next_page = None
            return
        is_end = page.is_last if self._is_newest_first else page.number == 1
        if is_end:
            raise Surprise("no known session is where it was")
        self.next_page = page.number + (1 if self._is_newest_first else -1)

    def _check_fresh(self) -> None:
        if self.fresh and set(self.fresh).intersection(self._known):
            raise Surprise("known sessions are listed in another order")


def check_news(before: Page | None, page: Page) -> None:
    """Refuse a page that shows the one before it once more, where no count tells why."""
    if before is None or page.number != before.number + 1:
        return
    if page.count is None and page.rows and [*page.rows] == [*before.rows]:
        raise Surprise("a page is repeated, and no count tells whether it is the last")


def _last(page: Page) -> int:
    """Give the last page by the count."""
    if not page.count:
        raise Surprise("the listing is empty")
    return (page.count - 1) // page.size + 1
