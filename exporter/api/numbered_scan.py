"""The order in which numbered pages are read until a listing is complete. Pure.

Pages shift while they are read. Rows that move to later pages, as others come in before them, are
only read twice. Rows that move to earlier pages, as others go, can slip past a scan that goes up.
But then the service's count falls, and they cannot slip past a scan that goes *down*: so after a
fall pages are read again downwards, as far as the fall can have moved a row. If, with the oldest
row first, more rows come in than go between two pages, the count rises instead: so after a rise
the first page is read again, and all pages if it begins with a later row.

Not noticed are equal numbers of rows that go and come in between two pages, with the oldest first;
rows that move among the others; and all shifts if the service tells no count. The next scan finds
such a row. A row that goes after it was read stays in the listing; the next scan lacks it.
"""

from collections.abc import Generator, Hashable
from contextlib import suppress
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from exporter.errors import IncompleteError, PagingError

P = TypeVar("P")
R = TypeVar("R")

MAX_ROWS: Final = 250_000
"""Rows of one listing that is held in memory, at some 700 bytes a session: the process should stay
below 256 MB."""

MAX_PAGES: Final = 10_000
"""Pages on the way from the first to the last."""

MAX_STALE_PAGES: Final = 10
"""Full pages in a row that bring nothing new, before the scan stops believing in an end."""

MAX_PASSES: Final = 3
"""How often a listing with missing rows is read again before it counts as incomplete."""

REREAD_PASS: Final = 2
"""The pass that reads everything again, where the first one did not find what came in."""


class PageSteps(Generic[P]):
    """Reads pages in the order of a generator, which yields their numbers and is sent the pages.

    It does no I/O: its driver reads the pages. It can be kept, and resumed after an interruption.
    """

    def __init__(self, steps: Generator[int, P, None]) -> None:
        self._steps = steps
        self._next: int | None = next(steps)

    def next_page(self) -> int | None:
        """Return the number of the page to read; `None` at the end, or after an error."""
        return self._next

    def take(self, page: P) -> None:
        """Take the page that was asked for. Raise what the generator raises."""
        self._next = None
        with suppress(StopIteration):
            self._next = self._steps.send(page)


class ReadRows(NamedTuple):
    """The rows of a page, as far as they matter here."""

    keys: tuple[Hashable, ...]
    fresh: int
    """The number of rows that no page before had."""
    is_first_known: bool
    total: int | None
    """The service's count of all rows, if it tells one."""


_Steps: TypeAlias = Generator[int, ReadRows | None, R]


class NumberedScan(PageSteps[ReadRows | None]):
    """One scan over numbered pages; it takes `None` for a page refused as past the end.

    `take` raises `IncompleteError` if rows stay missing by the service's count, `PagingError` if
    the pages do not end. It ends: the way up stops at `max_pages`, or after `MAX_STALE_PAGES` that
    bring nothing new; neither the way down nor any of the `MAX_PASSES` reads a page twice, or goes
    beyond the pages that bring new rows, of which there are at most `max_rows`.
    """

    def __init__(self, size: int, max_pages: int = MAX_PAGES, *, max_rows: int = MAX_ROWS) -> None:
        """`size` is the number of rows asked for."""
        self._size = size
        self._max_pages = max_pages
        self._max_rows = max_rows
        self.pages = 0
        """The number of pages that were read."""
        self.count: int | None = None
        """The service's last count."""
        self._found = 0
        self._last = 0
        self._fallen = 0
        """The sum of all falls of the count; rows that come in move no row back."""
        self._falls: dict[int, int] = {}
        """Page after which the count was seen to have fallen → `_fallen` as of that page."""
        self._rose = False
        self._first: Hashable = None
        """The first row of the listing at the beginning."""
        super().__init__(self._scan())

    def take(self, page: ReadRows | None) -> None:
        """Take the page that was asked for."""
        if page is not None:
            self.pages += 1
            self._found += page.fresh
            if page.total is not None:
                self._fallen += max(0, (self.count or 0) - page.total)
                self.count = page.total
            if self._found > self._max_rows:
                self._next = None
                raise self._endless()
        super().take(page)

    @property
    def expected_pages(self) -> int | None:
        """The number of pages by the service's count."""
        return None if self.count is None else max(1, -(-self.count // self._size))

    @property
    def _is_short(self) -> bool:
        return self.count is not None and self._found < self.count

    def _endless(self) -> PagingError:
        return endless(self.pages, self._found, self.count, self._max_rows)

    def _scan(self) -> _Steps[None]:
        yield from self._go_up()
        yield from self._look_at_first()
        yield from self._go_down()
        for number in range(1, MAX_PASSES + 1):
            if not self._is_short:
                return
            if number == REREAD_PASS and self._rose:  # new rows came in, but not at the ends
                yield from self._go_up()
                yield from self._go_down()
            else:
                yield from self._read_ends()
        if self._is_short:
            raise IncompleteError(
                f"The service counts {self.count} rows, but its {self._last} pages hold "
                f"{self._found} ({self.pages} readings)",
                advice="The next poll tries again. If this persists, the service does not list "
                "everything that it counts.",
            )

    def _go_up(self) -> _Steps[None]:
        """Read from page 1 to the end, noting after which pages the count fell."""
        stale = number = 0
        edges: list[tuple[Hashable, ...]] = []
        while stale < MAX_STALE_PAGES:
            number += 1
            before = self.count
            page = yield number
            if page is None:
                number -= 1
                if self._is_short:  # so it must have fallen since
                    self._falls[number] = self._fallen
                break
            self._note_change(number - 1, before)
            if self._is_end(page, repeats=page.keys in edges):
                break
            if number >= self._max_pages:
                raise self._endless()
            if not edges:
                self._first = page.keys[0]
            edges = [*edges[:1], page.keys]
            stale = 0 if page.fresh else stale + 1
        self._last = number

    def _look_at_first(self) -> _Steps[None]:
        """See whether rows went at the front while more came in, so that the count did not fall.

        If so, rows may have slipped past anywhere.
        """
        if not self._rose or self._last == 1:
            return
        page = yield 1
        if page and page.keys and page.keys[0] != self._first and page.is_first_known:
            self._falls[self._last] = self._fallen - self._last * self._size

    def _note_change(self, after: int, before: int | None) -> None:
        now = self.count
        if before is None or now is None:
            return
        if now < before:
            self._falls.setdefault(after, self._fallen - (before - now))
        self._rose = self._rose or now > before

    def _is_end(self, page: ReadRows, *, repeats: bool) -> bool:
        """Whether this page is the end.

        What a page past the end holds is not documented: nothing, the last page, or the first.
        """
        if len(page.keys) < self._size:
            return True
        if page.fresh:
            return False
        return repeats if self.count is None else not self._is_short

    def _go_down(self) -> _Steps[None]:
        """Read the pages again that rows may have slipped to, from the last to the first.

        Rows skipped after page n lay right behind it. Since then they moved towards the front by
        no more than the count has fallen; going down, no further fall can hide them.
        """
        falls, self._falls = self._falls, {}
        goes_on = False
        for number in range(max(falls, default=0), 0, -1):
            if goes_on or any(
                min(after, self._lowest(after, fallen)) <= number <= after
                for after, fallen in falls.items()
            ):
                page = yield number
                # If a page begins with a new row, those before it may be new, too.
                goes_on = page is None or not page.is_first_known

    def _lowest(self, after: int, fallen: int) -> int:
        return (after * self._size - (self._fallen - fallen)) // self._size + 1

    def _read_ends(self) -> _Steps[None]:
        """Read both ends again, where new rows come in, until nothing is new there."""
        number, at = 0, self._last
        fresh = 1
        while fresh and number < self._last and self._is_short:
            number += 1
            page = yield number
            fresh = page.fresh if page else 0
        while number < at and self._is_short:
            page = yield at
            if page is None or not page.fresh:
                break
            self._last = at
            at += 1


ADVICE: Final = "Nothing of this listing is used. If this persists, report it to the service."


def endless(pages: int, rows: int, count: int | None, max_rows: int = MAX_ROWS) -> PagingError:
    """Return the error of a list that goes on and on."""
    return PagingError(
        f"The list does not end: {read_so_far(pages, rows, count)}, and no more than"
        f" {max_rows:,} rows of one list are read",
        advice=ADVICE,
    )


def read_so_far(pages: int, rows: int, count: int | None) -> str:
    """Return how much of a list was read, of a `count` of rows."""
    counted = "an unknown number" if count is None else count
    return f"{pages} pages with {rows} rows of {counted} were read"
