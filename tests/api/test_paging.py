import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exporter.api.numbered_scan import MAX_PASSES, MAX_ROWS, MAX_STALE_PAGES
from exporter.api.paging import scan_pages, scan_tokens
from exporter.errors import IncompleteError, PagingError, ServerError
from exporter.model import Page

Row = tuple[int, int]
"""A row's identity, and which of its readings this is."""


def identify(row: Row) -> int:
    """Return a row's identity."""
    return row[0]


def ids(listing: tuple[Row, ...]) -> list[int]:
    """Return the identities of a listing."""
    return [row[0] for row in listing]


def ask_pages(
    fetch: Callable[[int], Awaitable[Page[Row]]],
    size: int,
    max_pages: int = 1000,
    max_rows: int = MAX_ROWS,
) -> tuple[Row, ...]:
    """Scan numbered pages."""

    async def scan() -> tuple[Row, ...]:
        return await scan_pages(fetch, size, identify, max_pages=max_pages, max_rows=max_rows)

    return asyncio.run(scan())


def ask_tokens(
    fetch: Callable[[str], Awaitable[Page[Row]]], max_pages: int = 1000
) -> tuple[Row, ...]:
    """Follow tokens."""

    async def scan() -> tuple[Row, ...]:
        return await scan_tokens(fetch, identify, max_pages=max_pages)

    return asyncio.run(scan())


PastEnd = Literal["empty", "last", "first", "error"]


@dataclass
class Shelf:
    """A numbered listing, which `after_read` may change between two requests."""

    rows: list[int]
    size: int
    counts: bool = True
    past_end: PastEnd = "empty"
    after_read: Callable[["Shelf"], None] = lambda _shelf: None
    requests: list[int] = field(default_factory=list)

    async def fetch(self, number: int) -> Page[Row]:
        """Return a page as the listing is now."""
        self.requests.append(number)
        last = max(1, -(-len(self.rows) // self.size))
        if number > last:
            if self.past_end == "error":
                raise ServerError("no such page", status=400)
            number = {"empty": number, "last": last, "first": 1}[self.past_end]
        part = self.rows[(number - 1) * self.size : number * self.size]
        page = Page(
            records=tuple((row, len(self.requests)) for row in part),
            total_count=len(self.rows) if self.counts else None,
        )
        self.after_read(self)
        return page


@dataclass
class Steps:
    """Applies one prepared change after each reading."""

    changes: Iterable[Callable[[Shelf], None]]

    def __post_init__(self) -> None:
        self._left = iter(self.changes)

    def __call__(self, shelf: Shelf) -> None:
        """Apply the next change, if there is one."""
        change = next(self._left, None)
        if change is not None:
            change(shelf)


@given(
    rows=st.integers(0, 60),
    size=st.integers(1, 12),
    counts=st.booleans(),
    past_end=st.sampled_from(["empty", "last", "first", "error"]),
)
def test_numbered_pages_give_each_session_once(
    rows: int,
    size: int,
    counts: bool,  # noqa: FBT001 (given by name)
    past_end: PastEnd,
) -> None:
    """Each session comes exactly once and in order, however the pages end.

    A refusal as the end is told from a failure by the count only.
    """
    assume(counts or past_end != "error")
    shelf = Shelf(list(range(rows)), size, counts=counts, past_end=past_end)

    listing = ask_pages(shelf.fetch, size)

    assert ids(listing) == list(range(rows))
    assert len(shelf.requests) <= rows // size + 1


@given(
    rows=st.integers(1, 40),
    size=st.integers(1, 6),
    drops=st.lists(st.lists(st.integers(0, 40), max_size=8), max_size=30),
    past_end=st.sampled_from(["empty", "last", "first", "error"]),
)
def test_rows_that_go_hide_no_other(
    rows: int, size: int, drops: list[list[int]], past_end: PastEnd
) -> None:
    """Rows that vanish anywhere while the pages are read cost none of those that stay."""

    def drop(places: list[int]) -> Callable[[Shelf], None]:
        def change(shelf: Shelf) -> None:
            for place in places:
                if place < len(shelf.rows):
                    del shelf.rows[place]

        return change

    steps = Steps(map(drop, drops))
    shelf = Shelf(list(range(rows)), size, past_end=past_end, after_read=steps)

    listing = ask_pages(shelf.fetch, size)

    assert set(shelf.rows) <= set(ids(listing))


@given(
    rows=st.integers(0, 40),
    size=st.integers(1, 6),
    changes=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=30),
)
def test_newest_first_hides_nothing(rows: int, size: int, changes: list[tuple[int, int]]) -> None:
    """With the newest first, rows that come in at the front and go at the end hide none."""

    def shift(coming: int, going: int) -> Callable[[Shelf], None]:
        def change(shelf: Shelf) -> None:
            start = min(shelf.rows, default=0)
            kept = shelf.rows[: max(0, len(shelf.rows) - going)]
            shelf.rows = [start - 1 - n for n in range(coming)] + kept

        return change

    steps = Steps(shift(*change) for change in changes)
    shelf = Shelf(list(range(rows)), size, after_read=steps)

    try:
        listing = ask_pages(shelf.fetch, size)
    except IncompleteError:
        assume(False)

    assert {row for row in shelf.rows if row >= 0} <= set(ids(listing))


@given(
    rows=st.integers(0, 40),
    size=st.integers(1, 6),
    places=st.lists(st.lists(st.integers(0, 40), max_size=4), max_size=30),
)
def test_rows_that_come_in_anywhere_hide_nothing(
    rows: int, size: int, places: list[list[int]]
) -> None:
    """Rows that come in anywhere cost none of those that were there from the start."""

    def insert(where: list[int]) -> Callable[[Shelf], None]:
        def change(shelf: Shelf) -> None:
            for place in where:
                shelf.rows.insert(min(place, len(shelf.rows)), 1000 + len(shelf.rows))

        return change

    shelf = Shelf(list(range(rows)), size, after_read=Steps(map(insert, places)))

    try:
        listing = ask_pages(shelf.fetch, size)
    except IncompleteError:
        assume(False)

    assert set(range(rows)) <= set(ids(listing))
    assert len(ids(listing)) == len(set(ids(listing)))


def test_a_row_that_slips_past_is_fetched() -> None:
    """With the oldest first, a row that slipped to the page before is found by reading again."""
    steps = Steps([lambda shelf: shelf.rows.__delitem__(slice(0, 3))])
    shelf = Shelf(list(range(25)), 10, after_read=steps)

    listing = ask_pages(shelf.fetch, 10)

    assert set(ids(listing)) == set(range(25))
    assert shelf.requests == [1, 2, 3, 1]


def test_a_great_fall_is_followed_far_down() -> None:
    """Where the count fell by more than a page, rows are looked for that many pages further up."""
    steps = Steps(
        [
            lambda _: None,
            lambda _: None,
            lambda _: None,
            lambda shelf: shelf.rows.__delitem__(slice(0, 25)),
        ]
    )
    shelf = Shelf(list(range(70)), 10, after_read=steps)

    listing = ask_pages(shelf.fetch, 10)

    assert set(ids(listing)) == set(range(70))


def test_rows_that_come_in_do_not_hide_how_many_went() -> None:
    """With the oldest first, rows that come in at the end move none of the others back."""
    leave = [lambda shelf: shelf.rows.__delitem__(0)] * 4
    steps = Steps([lambda _: None, *leave, lambda shelf: shelf.rows.append(99)])
    shelf = Shelf(list(range(14)), 3, after_read=steps)

    listing = ask_pages(shelf.fetch, 3)

    assert set(range(4, 14)) <= set(ids(listing))


@pytest.mark.parametrize("came", [2, 3, 7])
def test_more_rows_that_come_in_than_go_hide_none(came: int) -> None:
    """With the oldest first, the count rises while every row moves to an earlier page."""

    def change(shelf: Shelf) -> None:
        del shelf.rows[0]
        shelf.rows += range(100, 100 + came)

    shelf = Shelf(list(range(14)), 3, after_read=Steps([lambda _: None, change]))

    listing = ask_pages(shelf.fetch, 3)

    assert set(shelf.rows) <= set(ids(listing))


def splice(start: int, stop: int | None, *rows: int) -> Callable[[Shelf], None]:
    """Return a change that puts `rows` in the place of others."""

    def change(shelf: Shelf) -> None:
        shelf.rows[start:stop] = rows

    return change


def unchanged(_shelf: Shelf) -> None:
    """Leave a listing as it is."""


TRIM, GROW = partial(splice, 0), splice(0, 0, 90, 91)


@pytest.mark.parametrize(
    ("rows", "past_end", "changes", "requests"),
    [
        pytest.param(
            7, "error", [unchanged, unchanged, TRIM(3)], [1, 2, 3, 4, 3, 2], id="refused twice"
        ),
        pytest.param(5, "error", [unchanged, TRIM(1)], [1, 2, 3, 2], id="refused, none counted"),
        pytest.param(
            4,
            "empty",
            [unchanged, splice(2, None), splice(1, 1, 70, 71, 72)],
            [1, 2, 3, 2, 1],
            id="new rows across pages",
        ),
        pytest.param(3, "empty", [GROW], [1, 2, 3, 1], id="known rows on a page are no end"),
        pytest.param(
            4,
            "empty",
            [unchanged, TRIM(1), GROW],
            [1, 2, 3, 2, 1],
            id="nothing more where the count is reached",
        ),
        pytest.param(
            4, "empty", [unchanged, splice(2, 4)], [1, 2, 3, 2], id="a page that is empty by now"
        ),
        pytest.param(
            3, "empty", [splice(2, 3), splice(9, 9, 90, 91)], [1, 2, 1, 1, 2], id="new last rows"
        ),
        pytest.param(
            2,
            "error",
            [splice(1, 1, 80), splice(0, 0, 90, 91, 92, 93), splice(0, 0, 94, 95, 96)],
            [1, 2, 1, 1, 2, 1, 2, 3, 4, 5, 6],
            id="new first rows, then everything",
        ),
    ],
)
def test_pages_are_read_again_where_rows_may_have_moved(
    rows: int,
    past_end: PastEnd,
    changes: list[Callable[[Shelf], None]],
    requests: list[int],
) -> None:
    """These pages and no others; all rows that stay are found."""
    shelf = Shelf(list(range(rows)), 2, past_end=past_end, after_read=Steps(changes))

    listing = ask_pages(shelf.fetch, 2)

    assert set(shelf.rows) <= set(ids(listing))
    assert shelf.requests == requests


def test_steady_trimming_is_not_an_error() -> None:
    """A history that loses its oldest row at every request is still listed completely."""

    def trim(shelf: Shelf) -> None:
        del shelf.rows[0]

    shelf = Shelf(list(range(300)), 10, after_read=trim)

    listing = ask_pages(shelf.fetch, 10)

    assert set(shelf.rows) <= set(ids(listing))
    assert len(shelf.requests) < 3 * 30


def test_new_rows_at_the_front_are_fetched() -> None:
    """With the newest first, rows that came in during the scan are read from the front."""
    steps = Steps([lambda shelf: shelf.rows.insert(0, 99)])
    shelf = Shelf(list(range(25)), 10, after_read=steps)

    listing = ask_pages(shelf.fetch, 10)

    assert set(ids(listing)) == {*range(25), 99}
    assert shelf.requests == [1, 2, 3, 1]


def test_new_rows_in_the_middle_are_fetched() -> None:
    """Rows that come in among the others, behind the scan, are found by a second scan."""
    steps = Steps([lambda _: None, lambda _: None, lambda shelf: shelf.rows.insert(15, 99)])
    shelf = Shelf(list(range(45)), 10, after_read=steps)

    listing = ask_pages(shelf.fetch, 10)

    assert 99 in ids(listing)


def test_equal_coming_and_going_is_the_known_limit() -> None:
    """With the oldest first, one row in for one row out between two pages cannot be noticed."""

    def swap(shelf: Shelf) -> None:
        shelf.rows = [*shelf.rows[1:], 99]

    shelf = Shelf(list(range(25)), 10, after_read=Steps([swap]))

    listing = ask_pages(shelf.fetch, 10)

    assert set(range(25)) - set(ids(listing)) == {10}


def test_the_later_reading_wins_in_the_first_place() -> None:
    """A session that is read twice keeps its place and takes its later figures."""
    steps = Steps([lambda shelf: shelf.rows.insert(0, 99)])
    shelf = Shelf([0, 1, 2, 3], 2, after_read=steps)

    listing = ask_pages(shelf.fetch, 2)

    assert ids(listing) == [0, 1, 2, 3, 99]
    assert dict(listing) == {0: 4, 1: 2, 2: 2, 3: 3, 99: 4}


def test_a_malformed_row_is_a_row() -> None:
    """A record that cannot be read counts where rows are held against the count."""

    async def fetch(_number: int) -> Page[Row]:
        return Page(records=((1, 1),), malformed=("x",), total_count=2)

    listing = ask_pages(fetch, 10)

    assert ids(listing) == [1]


def test_a_full_page_with_a_malformed_row_is_not_the_end() -> None:
    """A page is as long as its rows are many, readable or not."""
    pages = {
        1: Page(records=((1, 1),), malformed=("x",), total_count=3),
        2: Page(records=((2, 1),), total_count=3),
    }

    async def fetch(number: int) -> Page[Row]:
        return pages[number]

    assert ids(ask_pages(fetch, 2)) == [1, 2]


def test_fewer_rows_than_counted_is_an_error() -> None:
    """The vendor's sample taken literally, one row of ten, is an incomplete listing."""
    requests: list[int] = []

    async def fetch(number: int) -> Page[Row]:
        requests.append(number)
        return Page(records=((1, 1),), total_count=10)

    with pytest.raises(IncompleteError, match=r"counts 10 rows, but its 1 pages hold 1 "):
        ask_pages(fetch, 100)

    assert requests == [1] * (1 + MAX_PASSES)


@pytest.mark.parametrize(
    ("rows", "changes", "requests"),
    [
        (5, [], [1, 2, 3, *([1, 3] * MAX_PASSES)]),
        (3, [unchanged, splice(3, 3, 90, 91)], [1, 2, *(1, 2, 3, 4), *(1, 3), *(1, 3)]),
    ],
)
def test_missing_rows_are_looked_for_at_both_ends(
    rows: int, changes: list[Callable[[Shelf], None]], requests: list[int]
) -> None:
    """A count that stays too high does not make each poll read all pages again."""
    shelf = Shelf(list(range(rows)), 2, after_read=Steps(changes))

    async def fetch(number: int) -> Page[Row]:
        return replace(await shelf.fetch(number), total_count=9)

    with pytest.raises(IncompleteError, match="counts 9 rows, but its 3 pages hold 5 "):
        ask_pages(fetch, 2)

    assert shelf.requests == requests


def test_a_server_that_ignores_the_number_is_given_up() -> None:
    """Full pages that bring nothing new end the scan after a while."""
    requests: list[int] = []

    async def fetch(number: int) -> Page[Row]:
        requests.append(number)
        return Page(records=((1, 1), (2, 1)), total_count=10)

    with pytest.raises(IncompleteError):
        ask_pages(fetch, 2)

    assert len(requests) <= 3 * (MAX_STALE_PAGES + 1)


def test_pages_of_known_rows_are_no_end_if_others_between_them_bring_something_new() -> None:
    """With the newest first and no count, while more than a page comes in at every second one."""
    grow = [splice(0, 0, *range(row, row + 3)) for row in range(100, 140, 3)]
    assert len(grow) > MAX_STALE_PAGES
    steps = Steps(change for each in grow for change in (unchanged, each))
    shelf = Shelf(list(range(60)), 2, counts=False, after_read=steps)

    listing = ask_pages(shelf.fetch, 2)

    assert set(range(60)) <= set(ids(listing))


def test_pages_without_end_are_an_error() -> None:
    """A server that makes up rows for ever is stopped by the cap."""

    async def fetch(number: int) -> Page[Row]:
        return Page(records=((2 * number, 1), (2 * number + 1, 1)))

    with pytest.raises(
        PagingError, match="does not end: 12 pages with 24 rows of an unknown number"
    ):
        ask_pages(fetch, 2, max_pages=12)


def test_a_wrong_low_count_costs_nothing() -> None:
    """A count below the truth, as of services that count the page, cuts no listing short."""
    pages = {n: Page(records=((2 * n, 1), (2 * n + 1, 1)), total_count=2) for n in range(1, 5)}

    async def fetch(number: int) -> Page[Row]:
        return pages.get(number, Page(total_count=2))

    assert len(ask_pages(fetch, 2)) == 8


@pytest.mark.parametrize(
    ("page", "status", "is_end"), [(3, 400, True), (3, 404, True), (3, 500, False), (1, 404, False)]
)
def test_which_refusals_are_the_end(page: int, status: int, is_end: bool) -> None:  # noqa: FBT001
    """Those of a page that is not there, as page 1 always is, also when it is read again."""
    read: list[int] = []

    async def fetch(number: int) -> Page[Row]:
        read.append(number)
        if number == 3 or read.count(number) > 1:
            raise ServerError("refused", status=status if number == page else 404)
        return Page(
            records=((2 * number, 1), (2 * number + 1, 1)), total_count=9 if page == 1 else 4
        )

    if is_end:
        assert len(ask_pages(fetch, 2)) == 4
    else:
        with pytest.raises(ServerError, match="refused"):
            ask_pages(fetch, 2)


def test_a_refused_page_without_a_count_is_an_error() -> None:
    """Where no count tells the end, a refusal could hide rows, and is raised."""
    shelf = Shelf([0, 1], 2, counts=False, past_end="error")

    with pytest.raises(ServerError, match="no such page"):
        ask_pages(shelf.fetch, 2)


def test_an_error_of_a_page_ends_the_scan() -> None:
    """What a page's reading raises goes to whoever scans, and nothing is listed."""

    async def fetch(_number: int) -> Page[Row]:
        raise PagingError("no")

    with pytest.raises(PagingError, match="no"):
        ask_pages(fetch, 2)


@given(
    rows=st.integers(0, 60),
    size=st.integers(1, 12),
    counts=st.booleans(),
    last_token=st.sampled_from(["", "again", "new"]),
)
def test_tokens_give_each_session_once(
    rows: int,
    size: int,
    counts: bool,  # noqa: FBT001 (given by name)
    last_token: str,
) -> None:
    """Each session comes exactly once, whatever token the last page has, if there is a count."""
    assume(counts or not last_token)
    requests = []

    async def fetch(token: str) -> Page[Row]:
        requests.append(token)
        start = int(token or 0)
        is_last = start + size >= rows
        after = {"": "", "again": token or "0", "new": str(rows)}[last_token]
        return Page(
            records=tuple((row, 1) for row in range(start, min(start + size, rows))),
            total_count=rows if counts else None,
            next_token=after if is_last else str(start + size),
        )

    listing = ask_tokens(fetch)

    assert ids(listing) == list(range(rows))
    assert len(requests) == max(1, -(-rows // size))


def test_a_repeated_token_is_an_error() -> None:
    """The vendor's sample taken literally, the same token for ever, is an error."""

    async def fetch(_token: str) -> Page[Row]:
        return Page(records=((1, 1),), total_count=200, next_token="1")

    with pytest.raises(
        PagingError, match="repeats a page token at page 2: 2 pages with 1 rows of 200"
    ):
        ask_tokens(fetch)


@pytest.mark.parametrize("counts", [True, False])
def test_an_empty_page_with_a_new_token_does_not_end_the_listing(counts: bool) -> None:  # noqa: FBT001
    """A service that filters after it has cut the pages gives empty ones in the middle."""
    pages = [[1, 2], [], [], [3], [], [4]]

    async def fetch(token: str) -> Page[Row]:
        number = int(token or 0)
        return Page(
            records=tuple((row, 1) for row in pages[number]),
            total_count=4 if counts else None,
            next_token=str(number + 1) if number + 1 < len(pages) else "",
        )

    assert ids(ask_tokens(fetch)) == [1, 2, 3, 4]


def test_an_empty_page_with_an_old_token_is_an_error() -> None:
    """It leads nowhere."""

    async def fetch(_token: str) -> Page[Row]:
        return Page(total_count=3, next_token="x")

    with pytest.raises(PagingError, match="repeats a page token at page 2"):
        ask_tokens(fetch)


def test_empty_pages_without_end_are_an_error() -> None:
    """A new token each time is followed so far and no further, also where the count is exceeded."""

    async def fetch(token: str) -> Page[Row]:
        return Page(records=((1, 1),), total_count=0, next_token=token + "x")

    with pytest.raises(PagingError, match="does not end: 1000 pages"):
        ask_tokens(fetch)


def test_a_list_without_end_is_an_error() -> None:
    """However many rows a page holds, no more than so many of one list are kept in memory."""
    size = 10_000
    read = []

    def rows(number: int) -> tuple[Row, ...]:
        read.append(number)
        return tuple((number * size + place, 1) for place in range(size))

    async def by_number(number: int) -> Page[Row]:
        return Page(records=rows(number), total_count=10**9)

    async def by_token(token: str) -> Page[Row]:
        return Page(records=rows(len(token)), next_token=token + "x")

    for ask in (partial(ask_pages, by_number, size), partial(ask_tokens, by_token)):
        read.clear()
        with pytest.raises(PagingError, match="no more than 250,000 rows"):
            ask()
        assert len(read) == MAX_ROWS // size + 1


def test_a_long_list_is_read_by_who_has_room_for_it() -> None:
    """The limit on rows is that of the caller."""
    total = MAX_ROWS + 10_000

    async def by_number(number: int) -> Page[Row]:
        rows = range((number - 1) * 10_000, min(number * 10_000, total))
        return Page(records=tuple((row, 1) for row in rows), total_count=total)

    assert len(ask_pages(by_number, 10_000, max_rows=total)) == total


def test_tokens_without_end_are_an_error() -> None:
    """A service that always has another token is stopped by the cap."""

    async def fetch(token: str) -> Page[Row]:
        return Page(records=((len(token), 1),), next_token=token + "x")

    with pytest.raises(PagingError, match="does not end: 7 pages with 7 rows"):
        ask_tokens(fetch, max_pages=7)


@pytest.mark.parametrize("counts_each_page", [True, False])
def test_the_last_token_may_lead_to_itself_where_the_count_is_exceeded(
    counts_each_page: bool,  # noqa: FBT001 (given by name)
) -> None:
    """A count of the page, not of all rows, does not tell the end; the repeated token does."""

    async def fetch(token: str) -> Page[Row]:
        number = len(token)
        return Page(
            records=((number, 1),),
            total_count=1 if number == 1 or (counts_each_page and number) else None,
            next_token="x" * min(number + 1, 3),
        )

    assert ids(ask_tokens(fetch)) == [0, 1, 2, 3]


def test_the_last_page_that_is_allowed_may_be_the_end() -> None:
    """The cap is on pages that are read, not on those that would follow."""

    async def fetch(token: str) -> Page[Row]:
        return Page(records=((len(token), 1),), next_token="" if len(token) == 2 else token + "x")

    assert ids(ask_tokens(fetch, max_pages=3)) == [0, 1, 2]


def test_a_count_below_the_rows_ends_no_token_scan() -> None:
    """A count that the rows exceed is wrong, so the tokens are followed to their end."""

    async def fetch(token: str) -> Page[Row]:
        number = len(token)
        rows = ((2 * number, 1), (2 * number + 1, 1))
        return Page(
            records=rows, total_count=0, next_token="x" * (number + 1) if number < 3 else ""
        )

    assert len(ask_tokens(fetch)) == 8
