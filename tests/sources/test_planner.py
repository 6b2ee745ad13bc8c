"""The planner of short polls, alone, against a history that changes between any two pages."""

from array import array
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exporter.sources.livy_sessions.front import Surprise
from exporter.sources.livy_sessions.order import Order
from exporter.sources.livy_sessions.planner import SPARE_PAGES, Outcome, ShortPoll
from tests.support.budgets import examples

ORDERS = st.sampled_from(Order)
PAST_END = st.sampled_from(["empty", "repeat"])


@dataclass
class Service:
    """A history of rows 0, 1, 2 …, of which the listing shows those from `start` to `stop`."""

    order: Order
    size: int
    stop: int
    start: int = 0
    has_count: bool = True
    past_end: str = "empty"
    requests: int = 0

    def __len__(self) -> int:
        """Count the rows."""
        return self.stop - self.start

    def place(self, row: int) -> int:
        """Give the place of a row in the listing, from 0."""
        is_newest_first = self.order is Order.NEWEST_FIRST
        return self.stop - 1 - row if is_newest_first else row - self.start

    def read(self, number: int) -> tuple[list[int], int | None]:
        """Serve a page."""
        self.requests += 1
        first = (number - 1) * self.size
        if first >= len(self) and self.past_end == "repeat":
            first = max(len(self) - 1, 0) // self.size * self.size
        places = range(first, min(first + self.size, len(self)))
        is_newest_first = self.order is Order.NEWEST_FIRST
        rows = [self.stop - 1 - at if is_newest_first else self.start + at for at in places]
        return rows, len(self) if self.has_count else None


def known(start: int, stop: int) -> "array[int]":
    """Give the digests of rows that are known."""
    return array("q", range(start, stop))


def listed(known_rows: "array[int]", outcome: Outcome) -> list[int]:
    """Give the rows that an outcome says are listed, from old to new."""
    return [*known_rows[: outcome.kept], *outcome.tail][outcome.gone :]


MOVES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=30)


@examples(4)
@given(
    order=ORDERS,
    size=st.integers(2, 5),
    count=st.integers(60, 90),
    wanted=st.sets(st.integers(0, 59), max_size=12),
    before=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    moves=MOVES,
    has_count=st.booleans(),
    past_end=PAST_END,
)
def test_a_history_that_moves_at_its_ends_is_accounted_for(
    order: Order,
    size: int,
    count: int,
    wanted: set[int],
    before: tuple[int, int],
    moves: list[tuple[int, int]],
    has_count: bool,  # noqa: FBT001
    past_end: str,
) -> None:
    """What is found was listed at an instant, and every wanted row in it was read."""
    rows = known(0, count)
    service = Service(order, size, count, has_count=has_count, past_end=past_end)
    # Without a count, a page past the end that repeats the last one cannot be told from it.
    assume(has_count or past_end == "empty" or order is Order.NEWEST_FIRST)
    service.stop += before[0]
    service.start += before[1]
    at_start = (service.start, service.stop)
    poll = ShortPoll(order, rows, wanted, size=size)
    read: set[int] = set()
    may_give_up = not has_count and (bool(moves) or past_end == "repeat")
    while True:
        try:
            number = poll.next_page()
            if number is None:
                break
            page, total = service.read(number)
            read.update(page)
            poll.take(number, page, total)
        except Surprise:
            # Then a complete walk follows: dearer, but never wrong.
            assert may_give_up
            return
        if moves:
            came, went = moves.pop()
            service.stop += came % 3
            service.start += went % 3
    found = listed(rows, poll.outcome())
    assert found == [*range(found[0], found[-1] + 1)]
    assert at_start[0] <= found[0] <= service.start
    assert at_start[1] <= found[-1] + 1 <= service.stop
    assert {row for row in wanted if row >= found[0]} <= read
    places = poll.outcome().places
    line = [*rows[: poll.outcome().kept], *poll.outcome().tail]
    assert all(line[place] == digest for digest, place in places.items())


@given(order=ORDERS, data=st.data())
def test_a_change_of_the_count_that_the_ends_do_not_explain_is_a_surprise(
    order: Order, data: st.DataObject
) -> None:
    """A row that is gone from, or that came into, the middle of the history is noticed."""
    size, count = data.draw(st.integers(2, 5)), 60
    rows = known(0, count)
    middle = data.draw(st.integers(1, count - 2))
    is_loss = data.draw(st.booleans())
    came = data.draw(st.integers(0, 6))
    # One that left and one that came into the middle leave the count as it was.
    went = data.draw(st.integers(0, 6)) if is_loss else 0
    current = [*range(went, count + came)]
    if is_loss:
        assume(middle > went)
        current.remove(middle)
    else:
        current.insert(max(1, min(middle, count - 2 * size)), -7)
    if order is Order.NEWEST_FIRST:
        current.reverse()
    wanted = data.draw(st.sets(st.integers(0, count - 1), max_size=5))
    poll = ShortPoll(order, rows, wanted, size=size)
    with pytest.raises(Surprise):  # noqa: PT012
        while (number := poll.next_page()) is not None:
            start = (number - 1) * size
            poll.take(number, current[start : start + size], len(current))
        found = listed(rows, poll.outcome())
        # Near the new end a loss is seen as what it is not: then nothing was believed wrongly.
        if found == sorted(current):
            raise Surprise


@given(order=ORDERS, extra=st.integers(0, 5))
def test_another_order_is_noticed_at_once(order: Order, extra: int) -> None:
    """When the listing turns round, a short poll says so."""
    rows = known(0, 60)
    other = next(each for each in Order if each is not order)
    service = Service(other, 5, 60 + extra)
    poll = ShortPoll(order, rows, {30}, size=5)
    with pytest.raises(Surprise):  # noqa: PT012
        while (number := poll.next_page()) is not None:
            poll.take(number, *service.read(number))


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("has_count", [True, False])
def test_rolling_retention_costs_the_ends_and_the_open_pages(
    order: Order, *, has_count: bool
) -> None:
    """100,000 rows with 50 open among the newest 300: at most 6 requests."""
    rows = known(0, 100_000)
    for came in range(120):
        service = Service(order, 100, 100_000 + came, start=came, has_count=has_count)
        poll = ShortPoll(order, rows, range(99_700, 100_000, 6), size=100)
        while (number := poll.next_page()) is not None:
            poll.take(number, *service.read(number))
        assert listed(rows, poll.outcome()) == [*range(came, 100_000 + came)]
        assert service.requests <= 6 + (0 if has_count else 3)


@given(order=ORDERS, wanted=st.sets(st.integers(0, 9_999), max_size=50))
def test_scattered_rows_cost_their_pages_and_four(order: Order, wanted: set[int]) -> None:
    """However rows are scattered, no more is read than their pages and four others."""
    rows = known(0, 10_000)
    service = Service(order, 100, 10_007, start=7)
    poll = ShortPoll(order, rows, wanted, size=100)
    while (number := poll.next_page()) is not None:
        poll.take(number, *service.read(number))
    pages = {service.place(row) // 100 for row in wanted if row >= 7}
    assert service.requests <= len(pages) + 4 <= len(pages) + SPARE_PAGES


def test_late_comers_near_the_new_end_are_taken_up() -> None:
    """A row that is listed a little behind newer ones is found all the same."""
    rows = known(0, 60)
    current = [60, 59, -1, 58, -2, 57, *range(56, -1, -1)]
    poll = ShortPoll(Order.NEWEST_FIRST, rows, {20}, size=5)
    while (number := poll.next_page()) is not None:
        start = (number - 1) * 5
        poll.take(number, current[start : start + 5], len(current))
    assert listed(rows, poll.outcome()) == current[::-1]
