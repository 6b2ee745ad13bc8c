"""Complete listings out of pages. Knows nothing of HTTP: a page comes from a callable.

A listing is *complete* when every session that was listed during the whole walk is in it.

Numbered pages shift while they are walked. Rows that move to later pages (new rows before them)
are only read twice. Rows that move to earlier pages (rows before them are gone) can slip past a
walk that goes up, but then the service's count falls, and such a row cannot slip past a walk that
goes *down*: so from the page before each fall on, pages are read again downwards, as far as the
fall can have moved a row.

A row that goes after it was read stays in the listing: the next walk lacks it.

What cannot be noticed: rows that go and rows that come in equal number between two pages, in an
order with the oldest first (the count stays, while rows move to earlier pages); rows that move
among the others; and any of it where the service tells no count. The next walk finds such a row.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from exporter.errors import IncompleteError, PagingError, ServerError
from exporter.model import Listing, Page

T = TypeVar("T")

OnPage = Callable[[Page[T], int, int | None], None]
"""Told of each page read: the page, its number, how many are expected (`None`: not known)."""

MAX_ROWS: Final = 250_000
"""Rows of one listing: two and a half times the longest history that is known. A session in memory
takes some 700 bytes, and the process should stay below 256 MB."""

MAX_TOKEN_PAGES: Final = 1_000
MAX_NUMBERED_PAGES: Final = 10_000
"""Pages of one walk, those that are read again included."""

MAX_STALE_PAGES: Final = 10
"""Full pages in a row that bring nothing new, before the walk stops believing in an end."""

MAX_PASSES: Final = 3
"""How often a listing with missing rows is read again before it counts as incomplete."""

PAST_END_STATUSES: Final = frozenset({400, 404})
"""With these the service may refuse a page past the end; what it does is not documented."""

_ADVICE: Final = "Nothing of this listing is used. If this stays, report it to the service."

REWALK_PASS: Final = 2
"""The pass that reads everything again, where the first one did not find what came in."""


def ignore_page(_page: Page[object], _number: int, _expected: int | None) -> None:
    """Let a page pass by."""


class _Rows(Generic[T]):
    """What a walk has read so far. Duplicates collapse: first position, latest reading."""

    def __init__(self, key: Callable[[T], Hashable]) -> None:
        self._key = key
        self._records: dict[Hashable, T] = {}
        self._malformed: set[str] = set()
        self.pages = 0
        self.count: int | None = None
        """The last count that the service told."""

    def add(self, page: Page[T]) -> int:
        """Take a page; return the number of rows that were not known before.

        Raises `PagingError` where there are more rows than `MAX_ROWS`.
        """
        before = len(self)
        self._records.update(zip(map(self._key, page.records), page.records, strict=True))
        self._malformed.update(page.malformed)
        self.pages += 1
        if page.total_count is not None:
            self.count = page.total_count
        if len(self) > MAX_ROWS:
            raise _endless(self)
        return len(self) - before

    def knows_first(self, page: Page[T]) -> bool:
        """Tell whether the page begins with a row that is known."""
        return not page.records or self._key(page.records[0]) in self._records

    def keys(self, page: Page[T]) -> tuple[Hashable, ...]:
        """Give the identities of a page's rows."""
        return (*map(self._key, page.records), *page.malformed)

    def __len__(self) -> int:
        return len(self._records) + len(self._malformed)

    @property
    def is_short(self) -> bool:
        """Tell whether rows are missing by the service's count, as far as it tells one."""
        return self.count is not None and len(self) < self.count

    def listing(self) -> Listing[T]:
        """Give what was read as a complete listing."""
        return Listing(
            records=tuple(self._records.values()),
            pages=self.pages,
            malformed=frozenset(self._malformed),
        )


def count_rows(page: Page[T]) -> int:
    """Give the number of rows on a page, readable or not."""
    return len(page.records) + len(page.malformed)


async def walk_tokens(
    fetch: Callable[[str], Awaitable[Page[T]]],
    key: Callable[[T], Hashable],
    on_page: OnPage[T] = ignore_page,
    *,
    max_pages: int = MAX_TOKEN_PAGES,
) -> Listing[T]:
    """Follow tokens from `""` until there is none, or the count is reached.

    Raise `PagingError` where a token is repeated, or more than `max_pages` pages follow one
    another. An empty page with a new token is no end. More rows than counted prove the count wrong
    (some services count the page), so it ends nothing then.
    """
    rows = _Rows(key)
    token = ""
    seen: set[str] = set()
    while True:
        page = await fetch(token)
        rows.add(page)
        on_page(page, rows.pages, None)
        token = page.next_token
        if not token or len(rows) == rows.count:
            return rows.listing()
        if rows.pages >= max_pages:
            raise _endless(rows)
        if token in seen:
            if rows.count is not None and len(rows) > rows.count:
                return rows.listing()
            raise PagingError(
                f"The service repeats a page token at page {rows.pages}: {_read_so_far(rows)}",
                advice=_ADVICE,
            )
        seen.add(token)


async def walk_pages(
    fetch: Callable[[int], Awaitable[Page[T]]],
    size: int,
    key: Callable[[T], Hashable],
    on_page: OnPage[T] = ignore_page,
    *,
    max_pages: int = MAX_NUMBERED_PAGES,
) -> Listing[T]:
    """Read numbered pages from 1 on to the end, and again where they shifted meanwhile.

    `size` is the number of rows asked for. Raise `IncompleteError` where rows stay missing by
    the service's count, `PagingError` where the pages do not end.
    """
    walk = _NumberedWalk(fetch, size, key, on_page, max_pages)
    await walk.go_up()
    await walk.repair()
    return walk.rows.listing()


class _NumberedWalk(Generic[T]):
    """One walk over numbered pages."""

    def __init__(
        self,
        fetch: Callable[[int], Awaitable[Page[T]]],
        size: int,
        key: Callable[[T], Hashable],
        on_page: OnPage[T],
        max_pages: int,
    ) -> None:
        self._fetch = fetch
        self._size = size
        self._on_page = on_page
        self._max_pages = max_pages
        self.rows = _Rows(key)
        self._last = 0
        self._falls: dict[int, int] = {}
        """Page after which the count was seen to have fallen → the count as of that page."""
        self._rose = False

    async def _look(self, number: int) -> Page[T] | None:
        """Fetch a page; `None` where the service refuses it as one past the end.

        That is believed only where a count tells afterwards whether rows are missing.
        """
        try:
            return await self._fetch(number)
        except ServerError as error:
            if number == 1 or self.rows.count is None or error.status not in PAST_END_STATUSES:
                raise
            return None

    def _take(self, page: Page[T], number: int) -> int:
        fresh = self.rows.add(page)
        count = self.rows.count
        self._on_page(page, number, None if count is None else max(1, -(-count // self._size)))
        return fresh

    async def go_up(self) -> None:
        """Read from page 1 to the end, noting after which pages the count fell."""
        stale = number = 0
        edges: list[tuple[Hashable, ...]] = []
        while stale < MAX_STALE_PAGES:
            number += 1
            before = self.rows.count
            page = await self._look(number)
            if page is None:
                number -= 1
                if self.rows.is_short and before is not None:  # so it must have fallen since
                    self._falls[number] = before
                break
            fresh = self._take(page, number)
            self._note_change(number - 1, before)
            keys = self.rows.keys(page)
            if self._is_end(page, fresh, repeats=keys in edges):
                break
            if number >= self._max_pages:
                raise _endless(self.rows)
            edges = [*edges[:1], keys]
            stale = 0 if fresh else stale + 1
        self._last = number

    def _note_change(self, after: int, before: int | None) -> None:
        now = self.rows.count
        if before is None or now is None:
            return
        if now < before:
            self._falls[after] = max(before, self._falls.get(after, 0))
        self._rose = self._rose or now > before

    def _is_end(self, page: Page[T], fresh: int, *, repeats: bool) -> bool:
        """Tell whether this page is the end.

        What a page past the end holds is not documented: nothing, the last page, the first.
        """
        if count_rows(page) < self._size:
            return True
        if fresh:
            return False
        return repeats if self.rows.count is None else not self.rows.is_short

    async def repair(self) -> None:
        """Read again what may have shifted; raise `IncompleteError` if rows stay missing."""
        await self._go_down()
        for number in range(1, MAX_PASSES + 1):
            if not self.rows.is_short:
                return
            if number == REWALK_PASS and self._rose:  # new rows came in, but not at the ends
                await self.go_up()
                await self._go_down()
            else:
                await self._read_ends()
        if self.rows.is_short:
            raise _incomplete(self.rows, self._last)

    async def _go_down(self) -> None:
        """Read the pages again that rows may have slipped to, from the last to the first.

        Rows skipped after page n lay right behind it. Since then they moved to the front by at
        most what the count has fallen by; going down, no further fall can hide them.
        """
        falls, self._falls = self._falls, {}
        goes_on = False
        for number in range(max(falls, default=0), 0, -1):
            if goes_on or any(
                min(after, self._lowest(after, count)) <= number <= after
                for after, count in falls.items()
            ):
                page = await self._look(number)
                # Where a page begins with news, the rows above it may be news, too.
                goes_on = page is None or not self.rows.knows_first(page)
                if page is not None:
                    self._take(page, number)

    def _lowest(self, after: int, count: int) -> int:
        fallen = count - (self.rows.count or 0)
        return (after * self._size - fallen) // self._size + 1

    async def _read_ends(self) -> None:
        """Read both ends again, where new rows come in, until nothing is new there."""
        number = 0
        fresh = 1
        while fresh and number < self._last and self.rows.is_short:
            number += 1
            fresh = await self._reread(number)
        at = self._last
        while at != number and self.rows.is_short and await self._reread(at):
            self._last = at
            at += 1

    async def _reread(self, number: int) -> int:
        """Give the number of new rows on a page, which may be gone by now."""
        page = await self._look(number)
        return 0 if page is None else self._take(page, number)


def _endless(rows: _Rows[T]) -> PagingError:
    return PagingError(
        f"The list does not end: {_read_so_far(rows)}, and no more than {MAX_ROWS:,} rows of one"
        " list are read",
        advice=_ADVICE,
    )


def _read_so_far(rows: _Rows[T]) -> str:
    counted = "an unknown number" if rows.count is None else rows.count
    return f"{rows.pages} pages with {len(rows)} rows of {counted} were read"


def _incomplete(rows: _Rows[T], last: int) -> IncompleteError:
    return IncompleteError(
        f"The service counts {rows.count} rows, but its {last} pages hold {len(rows)} "
        f"({rows.pages} readings)",
        advice="The next poll tries again; if it stays, the service does not show all of it.",
    )
