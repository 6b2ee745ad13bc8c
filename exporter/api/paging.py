"""Complete listings, read page by page from a callable; this module knows nothing of HTTP.

A listing is *complete* if it has every row that was listed during the whole scan.
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
from exporter.model import Page

T = TypeVar("T")

MAX_TOKEN_PAGES: Final = 1_000

PAST_END_STATUSES: Final = frozenset({400, 404})
"""By these the service may refuse a page past the end; its behaviour is not documented."""


class _Rows(Generic[T]):
    """The rows read so far: each at its first position, as it was last read."""

    def __init__(self, key: Callable[[T], Hashable]) -> None:
        self._key = key
        self._records: dict[Hashable, T] = {}
        self._malformed: set[str] = set()

    def add(self, page: Page[T]) -> ReadRows:
        """Add a page; return its rows as a scan takes them."""
        before = len(self)
        keys = [*map(self._key, page.records)]
        is_first_known = not keys or keys[0] in self._records
        self._records.update(zip(keys, page.records, strict=True))
        self._malformed.update(page.malformed)
        fresh = len(self) - before
        return ReadRows((*keys, *page.malformed), fresh, is_first_known, page.total_count)

    def __len__(self) -> int:
        return len(self._records) + len(self._malformed)

    def records(self) -> tuple[T, ...]:
        """Return the records that could be read."""
        return tuple(self._records.values())


async def scan_tokens(
    fetch: Callable[[str], Awaitable[Page[T]]],
    key: Callable[[T], Hashable],
    *,
    max_pages: int = MAX_TOKEN_PAGES,
) -> tuple[T, ...]:
    """Follow tokens from `""` until there is none, or the count is reached.

    Raise `PagingError` if a token is repeated, or after `max_pages`. An empty page with a new token
    is not the end. If there are more rows than counted (some services count the page), the count
    is wrong and ignored.
    """
    rows, count, token = _Rows(key), None, ""
    seen = {token}
    while True:
        page = await fetch(token)
        rows.add(page)
        count = count if page.total_count is None else page.total_count
        token = page.next_token
        is_end = not token or len(rows) == count
        if len(rows) > MAX_ROWS or (not is_end and len(seen) >= max_pages):
            raise endless(len(seen), len(rows), count)
        if is_end:
            return rows.records()
        if token in seen:
            if count is not None and len(rows) > count:
                return rows.records()
            so_far = read_so_far(len(seen), len(rows), count)
            raise PagingError(
                f"The service repeats a page token at page {len(seen)}: {so_far}", advice=ADVICE
            )
        seen.add(token)


async def scan_pages(
    fetch: Callable[[int], Awaitable[Page[T]]],
    size: int,
    key: Callable[[T], Hashable],
    *,
    max_pages: int = MAX_PAGES,
    max_rows: int = MAX_ROWS,
) -> tuple[T, ...]:
    """Read numbered pages from 1 on to the end, and again where they shifted meanwhile.

    `size` is the number of rows asked for. Raise `IncompleteError` if rows stay missing by the
    service's count, `PagingError` if the pages do not end.
    """
    rows, scan = _Rows(key), NumberedScan(size, max_pages, max_rows=max_rows)
    while (number := scan.next_page()) is not None:
        page = await fetch_page(fetch, number, scan.count)
        scan.take(None if page is None else rows.add(page))
    return rows.records()


async def fetch_page(
    fetch: Callable[[int], Awaitable[Page[T]]], number: int, count: int | None
) -> Page[T] | None:
    """Fetch a page; return `None` if the service refuses it as one past the end.

    A refusal is an error if no `count` tells whether rows are missing.
    """
    try:
        return await fetch(number)
    except ServerError as error:
        if number == 1 or count is None or error.status not in PAST_END_STATUSES:
            raise
        return None
