"""What a short poll reads, page by page, until everything is accounted for. Pure: no I/O.

It reads the new end; the pages where wanted rows are expected (their known rank plus the
drift observed so far); and, where the count is lower than what is known explains, the old end.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from exporter.sources.livy_sessions.aligning import Aligned, Line
from exporter.sources.livy_sessions.front import Front, Page, Surprise, check_news
from exporter.sources.livy_sessions.order import Order

SPARE_PAGES = 12
"""Pages beyond those that are planned that a short poll may read before it gives up."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the known rows: the line without its first `gone` is what is listed.

    The line is the first `kept` of the known rows and then `tail`; `places` are the indices
    in the line of all rows that were read.
    """

    gone: int
    kept: int
    tail: Sequence[int]
    places: dict[int, int] = field(default_factory=dict)


class ShortPoll:
    """One short poll; ask `next_page`, `take` the page, until it is `None`: all accounted for."""

    def __init__(
        self, order: Order, known: "array[int]", wanted: Iterable[int], *, size: int
    ) -> None:
        """`known` are digests from old to new, `wanted` the indices of rows to be seen."""
        self._order = order
        self._known = known
        self._size = size
        self._front = Front(order, known, size)
        self._rest: _Rest | None = None
        self._wanted = sorted(wanted)
        planned = {index // size for index in self._wanted}
        self._limit = 2 * len(planned) + SPARE_PAGES + len(known) // size // 2
        self._pages = 0

    def next_page(self) -> int | None:
        """Give the number of the page to read next. Raises `Surprise`."""
        number = self._rest.next_page() if self._rest else self._front.next_page
        if number is not None and self._pages >= self._limit:
            raise Surprise("too many pages were needed")
        return number

    def take(self, number: int, rows: Sequence[int], count: int | None) -> None:
        """Take a page: its digests in order of listing, and the count it tells."""
        self._pages += 1
        page = Page(number, self._size, rows, count)
        if self._rest is not None:
            self._rest.take(page)
            return
        self._front.take(page)
        if self._front.next_page is None:
            self._rest = _Rest(self._order, self._known, self._front, self._wanted)

    def outcome(self) -> Outcome:
        """Give what was found, once all is accounted for."""
        if self._rest is None:
            raise Surprise("the new end was not reached")
        return self._rest.outcome()


class _Rest:
    """What is behind the new end."""

    def __init__(
        self, order: Order, known: "array[int]", front: Front, wanted: Sequence[int]
    ) -> None:
        first, last = front.first, front.last
        if first is None or last is None:
            raise Surprise("nothing was read")
        self._kept, self._tail = front.kept, front.tail
        self._line = Line(order, known[: front.kept] + array("q", front.tail))
        self._wanted = [index for index in wanted if index < front.kept]
        self._places = {digest: front.kept + at for at, digest in enumerate(front.tail)}
        self._size = first.size
        self._drift = 0 if self._line.is_newest_first else front.kept - last.start
        self._missing = None if first.count is None else len(self._line) - first.count
        """How many of the line were gone by the count when the newest row was read."""
        self._old_end: int | None = None
        """Index of the oldest row that is still listed, once it was seen at the old end."""
        self._probe: int | None = None
        self._end: int | None = last.count
        """No row is at this place or behind it, as far as it is known."""
        self._before: Page | None = None
        self._lowest = front.kept
        self._check_count(is_one_page=first is last)
        if last.is_last if self._line.is_newest_first else last.number == 1:
            self._old_end = front.kept

    def _check_count(self, *, is_one_page: bool) -> None:
        if self._missing is not None and self._missing < 0:
            raise Surprise("the service counts more sessions than are accounted for")
        if self._line.is_newest_first:
            return
        missing = self._missing or 0
        is_off = is_one_page and self._missing is not None and self._drift != missing
        if self._drift < missing or is_off:
            raise Surprise("the count does not fit the places of the sessions")

    def next_page(self) -> int | None:
        """Give the number of the page to read next, `None` when all is accounted for."""
        while self._wanted and self._is_gone(self._wanted[0]):
            self._wanted.pop(0)
        if self._wanted:
            place = self._line.place(self._wanted[-1], self._drift)
            is_past_end = self._end is not None and place >= self._end
            return self._old_page() if place < 0 or is_past_end else place // self._size + 1
        if self._old_end is None:
            return None if self._missing == 0 else self._old_page()
        if self._old_end < (self._missing or 0):
            raise Surprise("sessions are missing that are not the oldest")
        return None

    def take(self, page: Page) -> None:
        """Take the page that was asked for."""
        if page.count is not None:
            self._end = page.count
        check_news(self._before, page)
        if page.is_past_end:
            self._take_void(page)
            return
        self._before = page
        found = self._line.align(page, self._drift)
        self._drift, self._lowest = found.drift, found.first
        if page.count is None and not page.is_last:
            # What was void may hold rows by now that came in meanwhile pushed there.
            is_probe = page.number == self._probe or page.start + page.size == self._end
            self._probe = page.number + 1 if is_probe else self._probe
            self._end = None if is_probe else self._end
        self._places.update((digest, found.first + at) for at, digest in enumerate(found.rows))
        self._wanted = [each for each in self._wanted if not found.first <= each < found.stop]
        self._look_for_old_end(page, found)

    def outcome(self) -> Outcome:
        """Give what was found."""
        return Outcome(self._old_end or 0, self._kept, self._tail, self._places)

    def _is_gone(self, index: int) -> bool:
        return self._old_end is not None and index < self._old_end

    def _old_page(self) -> int:
        """Give the page where the old end is to be seen."""
        if not self._line.is_newest_first:
            return 1
        if self._end is not None:
            if self._end <= 0:
                raise Surprise("the listing is empty")
            return (self._end - 1) // self._size + 1
        if self._probe is None:
            self._probe = self._line.place(0, self._drift) // self._size + 1
        return self._probe

    def _take_void(self, page: Page) -> None:
        """Take a page past the end: without a count, the one before it is looked at."""
        if not self._line.is_newest_first:
            raise Surprise("the listing ends where known sessions were expected")
        if page.count is None:
            self._end = page.start
            if self._before is not None and self._before.number == page.number - 1:
                self._old_end = max(self._old_end or 0, self._lowest)

    def _look_for_old_end(self, page: Page, found: Aligned) -> None:
        if self._line.is_newest_first:
            is_end = page.is_last
            listed = len(self._line) + found.drift - found.first
            if is_end and page.count is not None and listed != page.count:
                raise Surprise("the count does not fit the places of the sessions")
        else:
            is_end = page.number == 1
        if is_end:
            self._old_end = max(self._old_end or 0, found.first)
