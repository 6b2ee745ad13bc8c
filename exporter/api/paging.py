"""Complete listings out of pages. Knows nothing of HTTP: a page comes from a callable.

A listing is *complete* when every session that was listed during the whole scan is in it.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from exporter.api.numbered_scan import (
    ADVICE,
    MAX_PAGES,
    MAX_ROWS,
    NumberedScan,
    ReadRows,
    endless,
    read_so_far,
)
from exporter.errors import PagingError, ServerError
from exporter.model import Listing, Page

T = TypeVar("T")

OnPage = Callable[[Page[T], int, int | None], None]
"""Told of each page read: the page, its number, how many are expected (`None`: not known)."""

MAX_TOKEN_PAGES: Final = 1_000

PAST_END_STATUSES: Final = frozenset({400, 404})
"""With these the service may refuse a page past the end; what it does is not documented."""


def ignore_page(_page: Page[object], _number: int, _expected: int | None) -> None:
    """Let a page pass by."""


class _Rows(Generic[T]):
    """What a scan has read so far. Duplicates collapse: first position, latest reading."""

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
            raise endless(self.pages, len(self), self.count)
        return len(self) - before

    def read(self, page: Page[T]) -> ReadRows:
        """Take a page; tell what matters of it to a scan."""
        keys = (*map(self._key, page.records), *page.malformed)
        is_first_known = not page.records or keys[0] in self._records
        return ReadRows(keys, self.add(page), is_first_known, page.total_count)

    def __len__(self) -> int:
        return len(self._records) + len(self._malformed)

    def listing(self) -> Listing[T]:
        """Give what was read as a complete listing."""
        return Listing(
            records=tuple(self._records.values()),
            pages=self.pages,
            malformed=frozenset(self._malformed),
        )


async def scan_tokens(
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
            raise endless(rows.pages, len(rows), rows.count)
        if token in seen:
            if rows.count is not None and len(rows) > rows.count:
                return rows.listing()
            so_far = read_so_far(rows.pages, len(rows), rows.count)
            raise PagingError(
                f"The service repeats a page token at page {rows.pages}: {so_far}",
                advice=ADVICE,
            )
        seen.add(token)


async def scan_pages(
    fetch: Callable[[int], Awaitable[Page[T]]],
    size: int,
    key: Callable[[T], Hashable],
    on_page: OnPage[T] = ignore_page,
    *,
    max_pages: int = MAX_PAGES,
) -> Listing[T]:
    """Read numbered pages from 1 on to the end, and again where they shifted meanwhile.

    `size` is the number of rows asked for. Raise `IncompleteError` where rows stay missing by
    the service's count, `PagingError` where the pages do not end.
    """
    rows, scan = _Rows(key), NumberedScan(size, max_pages)
    while (number := scan.next_page()) is not None:
        page = await fetch_page(fetch, number, scan.count)
        scan.take(None if page is None else rows.read(page))
        if page is not None:
            on_page(page, number, scan.expected_pages)
    return rows.listing()


async def fetch_page(
    fetch: Callable[[int], Awaitable[Page[T]]], number: int, count: int | None
) -> Page[T] | None:
    """Fetch a page; return `None` where the service refuses it as one past the end.

    That is believed only where a `count` tells whether rows are missing.
    """
    try:
        return await fetch(number)
    except ServerError as error:
        if number == 1 or count is None or error.status not in PAST_END_STATUSES:
            raise
        return None
