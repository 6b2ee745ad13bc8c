"""Scans as values, driven in a plain loop, while the listing changes between any two pages."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from exporter.errors import IncompleteError
from exporter.model import LivySession, Page
from exporter.sources.livy_sessions.alignment import ListingDiverged
from exporter.sources.livy_sessions.driver import Scan
from exporter.sources.livy_sessions.full_scan import FullScan
from exporter.sources.livy_sessions.history import Change, History, Order
from exporter.sources.livy_sessions.incremental_scan import (
    SPARE_PAGES,
    IncrementalScan,
    Verification,
)
from tests.sources.listings import POLICY, Service, drive, history_of, listed, page_of
from tests.support.budgets import examples

ORDERS = st.sampled_from(Order)
PAST_END = st.sampled_from(["empty", "last", "first"])


MOVES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=30)


def moving(service: Service, moves: list[tuple[int, int]], most: int) -> Callable[[], None]:
    """Let up to `most` rows come and go at each call, as long as there are `moves`."""

    def move() -> None:
        if moves:
            came, went = moves.pop()
            service.stop += came % (most + 1)
            service.start += went % (most + 1)

    return move


@examples(4)
@given(
    order=ORDERS,
    size=st.integers(2, 5),
    count=st.integers(60, 90),
    wanted=st.one_of(st.none(), st.sets(st.integers(0, 59), max_size=12)),
    before=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    moves=MOVES,
    has_count=st.booleans(),
    past_end=PAST_END,
)
@example(  # the end has moved to just before the last page, which shows the first one instead
    order=Order.NEWEST_FIRST,
    size=3,
    count=60,
    wanted={0, 40},
    before=(0, 0),
    moves=[(0, 1), (0, 2)],
    has_count=True,
    past_end="first",
)
@example(  # more came in than had left, and the old end is read on a page that had room
    order=Order.NEWEST_FIRST,
    size=5,
    count=62,
    wanted=set(),
    before=(0, 1),
    moves=[(2, 0)],
    has_count=True,
    past_end="empty",
)
def test_a_history_that_moves_at_its_ends_is_accounted_for(
    order: Order,
    size: int,
    count: int,
    wanted: set[int] | None,
    before: tuple[int, int],
    moves: list[tuple[int, int]],
    has_count: bool,  # noqa: FBT001
    past_end: str,
) -> None:
    """What is found was listed at an instant, and every wanted row in it was read.

    A verification wants all of them.
    """
    history = history_of(order, count, size)
    service = Service(order, size, count, has_count=has_count, past_end=past_end)
    # Without a count, a page past the end that repeats another one cannot be told from it.
    assume(has_count or past_end == "empty" or order is Order.NEWEST_FIRST)
    service.stop += before[0]
    service.start += before[1]
    at_start = (service.start, service.stop)
    scan: IncrementalScan
    if wanted is None:
        scan = Verification(history, POLICY, size=size)
    else:
        scan = IncrementalScan(history, wanted, size=size)
    may_give_up = not has_count and (bool(moves) or past_end != "empty")
    try:
        drive(scan, service.page, moving(service, moves, most=min(2, size - 1)))
    except ListingDiverged:
        # Then a full scan follows: dearer, but never wrong.
        assert may_give_up
        return
    found = listed(scan.result(POLICY))
    assert found == [*range(found[0], found[-1] + 1)]
    assert at_start[0] <= found[0] <= service.start
    assert at_start[1] <= found[-1] + 1 <= service.stop
    expected = range(count) if wanted is None else wanted
    assert {row for row in expected if row >= found[0]} <= service.read
    assert [name for name, _ in scan.left()] == [str(row) for row in range(found[0])]


@examples(2)
@given(
    order=ORDERS,
    size=st.integers(2, 5),
    is_verification=st.booleans(),
    data=st.data(),
)
def test_every_scan_ends(
    order: Order,
    size: int,
    is_verification: bool,  # noqa: FBT001
    data: st.DataObject,
) -> None:
    """Whatever a service answers, a scan ends within a number of pages known beforehand."""
    history = history_of(order, 60, size)
    rows = st.lists(st.integers(0, 70), max_size=size, unique=True)
    if is_verification:
        scan: IncrementalScan = Verification(history, POLICY, size=size)
    else:
        scan = IncrementalScan(history, {0, 30}, size=size)
    pages = 2 * (60 // size + 1) + SPARE_PAGES + 60 // size // 2

    def answer(number: int) -> Page[LivySession]:
        places = range((number - 1) * size, min(number * size, 60))
        usual = [59 - at if order is Order.NEWEST_FIRST else at for at in places]
        count = data.draw(st.one_of(st.none(), st.sampled_from([60, 60, 61, 900])))
        return page_of(data.draw(st.one_of(st.just(usual), rows)), count)

    requests: list[int] = []
    with pytest.raises(ListingDiverged):  # noqa: PT012
        while (number := scan.next_page()) is not None:
            requests.append(number)
            assert len(requests) <= pages + 1
            scan.take(number, answer(number))
        raise ListingDiverged("it was as it was expected")


@examples(1)
@given(order=ORDERS, came=st.integers(4, 9))
def test_a_listing_that_grows_faster_than_it_is_read_is_given_up(order: Order, came: int) -> None:
    """More rows come in with each page than are on it."""
    history = history_of(order, 60, 3)
    service = Service(order, 3, 60)
    scan = Verification(history, POLICY, size=3)

    def grow() -> None:
        service.stop += came

    if order is Order.OLDEST_FIRST:
        drive(scan, service.page, grow)  # which moves no row that it has to read
        assert listed(scan.result(POLICY))[:60] == [*range(60)]
        return
    with pytest.raises(ListingDiverged, match="too many pages"):
        drive(scan, service.page, grow)


@examples(1)
@given(order=ORDERS, data=st.data())
def test_a_change_of_the_count_that_the_ends_do_not_explain_diverges(
    order: Order, data: st.DataObject
) -> None:
    """A row that is gone from, or that came into, the middle of the history is noticed."""
    size, count = data.draw(st.integers(2, 5)), 60
    history = history_of(order, count, size)
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
    scan = IncrementalScan(history, wanted, size=size)
    arrivals = [count + came] * data.draw(st.integers(0, 1))

    def arrive() -> None:
        """Let a row come in after the first page, which hides a loss from the places behind it."""
        if arrivals:
            current.insert(0 if order is Order.NEWEST_FIRST else len(current), arrivals.pop())

    with pytest.raises(ListingDiverged):  # noqa: PT012
        drive(
            scan,
            lambda number: page_of(current[(number - 1) * size :][:size], len(current)),
            arrive,
        )
        # Near the new end a loss is seen as what it is not: then nothing was believed wrongly.
        if listed(scan.result(POLICY)) == [row for row in sorted(current) if row < count + came]:
            raise ListingDiverged("nothing was believed wrongly")


@examples(0.3)
@given(
    order=ORDERS,
    wanted=st.sets(st.integers(0, 59), max_size=5),
    told=st.lists(st.sampled_from([60, 60, *range(40, 60)]), max_size=5),
)
@example(order=Order.NEWEST_FIRST, wanted={7}, told=[52, 60])
def test_a_count_that_is_too_low_makes_no_listed_session_leave(
    order: Order, wanted: set[int], told: list[int]
) -> None:
    """A page that shows more rows than the service counts is not believed."""
    history, size = history_of(order, 60, 7), 7
    service = Service(order, size, 60)
    scan = IncrementalScan(history, wanted, size=size)

    def page(number: int) -> Page[LivySession]:
        count = told.pop() if told else 60
        assume(count % size or count == 60)
        return replace(service.page(number), total_count=count)

    with suppress(ListingDiverged):
        drive(scan, page)
        assert listed(scan.result(POLICY)) == [*range(60)]


@examples(4)
@given(
    order=ORDERS,
    has_count=st.booleans(),
    gap=st.tuples(st.integers(0, 50), st.integers(1, 20)),
    gone=st.integers(0, 50),
)
@example(order=Order.NEWEST_FIRST, has_count=False, gap=(20, 20), gone=35)
def test_a_history_with_a_gap_is_never_taken_for_empty(
    order: Order,
    has_count: bool,  # noqa: FBT001
    gap: tuple[int, int],
    gone: int,
) -> None:
    """Rows that slipped past the full scan are listed, and perhaps at the old end by now."""
    first, rows = gap
    known = [row for row in range(60) if not first <= row < first + rows]
    assume(len(known) > 5)
    # A gap that leaves the count as it was is noticed at the next full scan.
    assume(not has_count or len(known) != 60 - gone)
    full, listed_now = FullScan({}, size=5), [*range(gone, 60)]
    if order is Order.NEWEST_FIRST:
        known.reverse()
        listed_now.reverse()
    drive(full, lambda number: page_of(known[(number - 1) * 5 :][:5], len(known)))
    scan = IncrementalScan(full.result(), {1}, size=5)
    count = len(listed_now) if has_count else None
    with suppress(ListingDiverged):
        drive(scan, lambda number: page_of(listed_now[(number - 1) * 5 :][:5], count))
        assert {*listed(scan.result(POLICY))} <= {*listed_now}
        assert scan.result(POLICY)
        assert {int(name) for name, _ in scan.left()}.isdisjoint(listed_now)


@examples(1)
@given(order=ORDERS, extra=st.integers(0, 5))
def test_another_order_is_noticed_at_once(order: Order, extra: int) -> None:
    """When the listing turns round, an incremental scan says so."""
    history = history_of(order, 60, 5)
    other = next(each for each in Order if each is not order)
    service = Service(other, 5, 60 + extra)
    with pytest.raises(ListingDiverged):
        drive(IncrementalScan(history, {30}, size=5), service.page)


@cache
def scattered(order: Order) -> History:
    """Return a history of 10,000 rows."""
    return history_of(order, 10_000, 100)


@pytest.mark.parametrize("behind", [901, 950])
def test_an_unknown_row_in_the_middle_is_noticed_where_it_is_read(behind: int) -> None:
    """Without a count, too: no other page is read in search of the known rows beside it.

    It is the last row of a page, or one in its middle.
    """
    scan = IncrementalScan(scattered(Order.NEWEST_FIRST), {900}, size=100)
    current = [*range(9_999, behind - 1, -1), -1, *range(behind - 1, -1, -1)]
    asked = asked_until_diverged(scan, lambda n: page_of(current[(n - 1) * 100 :][:100], None))
    assert asked == [1, 91]


@pytest.mark.parametrize("has_count", [True, False])
@pytest.mark.parametrize(("order", "requests"), [*zip(Order, ([1, 2], [2, 1]), strict=True)])
def test_a_listing_of_other_sessions_is_read_to_its_end_only(
    order: Order, requests: list[int], *, has_count: bool
) -> None:
    """No known session is found, and no page before the first one is asked for."""
    service = Service(order, 5, 108, start=100, has_count=has_count)
    scan = IncrementalScan(history_of(order, 60, 5), size=5)
    asked = asked_until_diverged(scan, service.page)
    assert asked[-2:] == requests


def asked_until_diverged(
    scan: IncrementalScan, page: Callable[[int], Page[LivySession]]
) -> list[int]:
    """Return the pages that a scan asks for until it finds the listing changed."""
    asked: list[int] = []
    with pytest.raises(ListingDiverged):  # noqa: PT012
        for number in numbers(scan):
            asked.append(number)
            scan.take(number, page(number))
    return asked


def test_a_listing_that_ends_behind_an_unknown_row_is_given_up() -> None:
    """On a full page, so that only an empty one shows the end."""
    full = page_of([59, 58, 57, 56, -1], None)
    scan = IncrementalScan(history_of(Order.NEWEST_FIRST, 60, 5), size=5)
    assert asked_until_diverged(scan, lambda number: full if number == 1 else Page()) == [1, 2]


@pytest.mark.parametrize("has_count", [True, False])
@pytest.mark.parametrize("order", Order)
def test_a_listing_that_is_emptied_while_it_is_read_is_given_up(
    order: Order, *, has_count: bool
) -> None:
    """No page is asked for again and again."""
    service = Service(order, 5, 60, has_count=has_count)

    def page(number: int) -> Page[LivySession]:
        found = service.page(number)
        service.start = service.stop
        return found

    asked = asked_until_diverged(IncrementalScan(history_of(order, 60, 5), {30}, size=5), page)
    assert min(asked) >= 1
    assert len(asked) <= 1 + len({*asked})


def test_a_page_that_is_repeated_past_the_end_is_noticed_at_once() -> None:
    """With the oldest first and no count, where the new end is looked for page by page."""
    service = Service(Order.OLDEST_FIRST, 100, 10_000, has_count=False, past_end="last")
    with pytest.raises(ListingDiverged):
        drive(IncrementalScan(scattered(Order.OLDEST_FIRST), {5000}, size=100), service.page)
    assert service.requests == 2


@examples(1)
@given(order=ORDERS, wanted=st.sets(st.integers(0, 9_999), max_size=50))
def test_scattered_rows_cost_their_pages_and_four(order: Order, wanted: set[int]) -> None:
    """However rows are scattered, no more is read than their pages and four others."""
    service = Service(order, 100, 10_007, start=7)
    scan = IncrementalScan(scattered(order), wanted, size=100)
    drive(scan, service.page)
    pages = {service.place(row) // 100 for row in wanted if row >= 7}
    assert service.requests <= len(pages) + 4 <= len(pages) + SPARE_PAGES


@pytest.mark.parametrize("order", Order)
def test_many_new_rows_cost_their_pages_only(order: Order) -> None:
    """As after a long pause: half as many as there were are not too many."""
    service = Service(order, 100, 15_000)
    scan = IncrementalScan(scattered(order), {9_900}, size=100)
    drive(scan, service.page)
    assert len(scan.result(POLICY)) == 15_000
    assert service.requests <= 50 + 2


def test_late_comers_near_the_new_end_are_taken_up() -> None:
    """A row that is listed a little behind newer ones is found all the same."""
    history = history_of(Order.NEWEST_FIRST, 60, 5)
    current = [60, 59, -1, 58, -2, 57, *range(56, -1, -1)]
    scan = IncrementalScan(history, {20}, size=5)
    drive(scan, lambda number: page_of(current[(number - 1) * 5 :][:5], len(current)))
    assert listed(scan.result(POLICY)) == current[::-1]


@examples(2)
@given(order=ORDERS, size=st.integers(2, 5), rows=st.integers(0, 60), moves=MOVES)
def test_a_full_scan_holds_every_row_that_was_listed_all_the_time(
    order: Order, size: int, rows: int, moves: list[tuple[int, int]]
) -> None:
    """While rows come and go at the ends, but by turns; what came in is at its place, too."""
    service = Service(order, size, rows)
    scan = FullScan({}, size=size)
    turns = iter([moves[at : at + 1] for at in range(len(moves))])

    def move() -> None:
        (came, went), *_ = next(turns, None) or [(0, 0)]
        if came % 2:
            service.stop += min(came, size - 1) // 2
        elif len(service) > 1:
            service.start += min(went, size - 1) // 2

    try:
        drive(scan, service.page, move)
    except IncompleteError:
        return  # rows kept slipping past it
    found = listed(scan.result())
    assert found == sorted(found)
    assert {*range(service.start, rows)} <= {*found}
    assert {*found} <= {*range(service.stop)}


@pytest.mark.parametrize("order", Order)
def test_a_create_time_that_is_told_once_stays_known(order: Order) -> None:
    """An open session that is listed without it later on leaves as the session that it is."""
    running, others = LivySession("r", "running", created_ms=10**7), page_of([*range(59)], None)

    def listing(newest: LivySession) -> Callable[[int], Page[LivySession]]:
        rows = [*others.records, newest][:: -1 if order is Order.NEWEST_FIRST else 1]
        return lambda number: Page(tuple(rows[(number - 1) * 5 :][:5]), total_count=len(rows))

    full = FullScan({}, size=5)
    drive(full, listing(running))
    scan = IncrementalScan(full.result(), size=5)
    drive(scan, listing(LivySession("r", "running")))
    history = scan.result(POLICY)
    assert history.left(Change(60, 60, (), {}))[-1] == ("r", 10**7)


@pytest.mark.parametrize("told", [10**7 - 500, 10**7 + 500])
@pytest.mark.parametrize("order", Order)
def test_a_create_time_that_changes_by_half_a_second_makes_no_session_a_former_one(
    order: Order, told: int
) -> None:
    """An open session keeps its series, also when it is told as before again."""
    others = page_of([*range(59)], None).records

    def listing(created_ms: int) -> Callable[[int], Page[LivySession]]:
        rows = [*others, LivySession("r", "running", created_ms=created_ms)]
        rows = rows[:: -1 if order is Order.NEWEST_FIRST else 1]
        return lambda number: Page(tuple(rows[(number - 1) * 5 :][:5]), total_count=len(rows))

    full = FullScan({}, size=5)
    drive(full, listing(10**7))
    history = full.result()
    for created_ms in (told, 10**7):
        scan = IncrementalScan(history, size=5)
        drive(scan, listing(created_ms))
        history = scan.result(POLICY)
        assert [each.session_id for each in history.records()].count("r") == 1


@pytest.mark.parametrize(("untold", "between"), [(0, 0), (1, 0), (1, 40)])
@pytest.mark.parametrize("order", Order)
def test_of_two_sessions_with_one_id_either_may_be_listed_without_its_create_time(
    order: Order, untold: int, between: int
) -> None:
    """It is the newer one, unless that is listed beside it."""
    others = page_of([*range(58)], None).records
    older = 58 - between
    times = (10_000 * (older + 9) - 5_000, 10**7)
    twins = [LivySession("r", "running", created_ms=at) for at in times]

    def listing() -> Callable[[int], Page[LivySession]]:
        rows = [*others[:older], twins[0], *others[older:], twins[1]]
        rows = rows[:: -1 if order is Order.NEWEST_FIRST else 1]
        return lambda number: Page(tuple(rows[(number - 1) * 5 :][:5]), total_count=len(rows))

    full = FullScan({}, size=5)
    drive(full, listing())
    twins[untold] = LivySession("r", "running")
    scan = IncrementalScan(full.result(), size=5)
    assert drive(scan, listing()) <= 2
    gone = scan.result(POLICY).left(Change(60, 60, (), {}))
    assert [at for name, at in gone if name == "r"] == [*times]


def test_a_create_time_that_a_full_scan_was_told_once_stays_known() -> None:
    """A session that is read three times, as others come in, and has it the second time only."""
    oldest = page_of([2, 1, 0], None).records
    scan = FullScan({}, size=1)
    for turn, number in enumerate(numbers(scan)):
        running = LivySession("r", "running", created_ms=10**7 if turn == 1 else None)
        newest = page_of([*range(min(turn, 2) + 2, 2, -1)], None).records
        listing = [*newest, running, *oldest]
        scan.take(number, Page(tuple(listing[number - 1 : number]), total_count=len(listing)))
    rows = {row.session for row in scan.result().rows.between(0, 6)}
    assert len(rows) == 6
    assert ("r", 10**7) in rows


def test_a_record_is_held_as_long_as_the_session_has_series() -> None:
    """Whether or not its page is read again."""
    service = Service(Order.NEWEST_FIRST, 5, 60)
    while_shown = replace(POLICY, recently_ended={"30"})
    full = FullScan({}, size=5)
    for number in numbers(full):
        full.take(number, service.page(number))
        full.settle(while_shown)
    scan = IncrementalScan(full.result(), size=5)
    assert drive(scan, service.page) == 1
    assert [*scan.result(while_shown).records()] == [*page_of([30], None).records]
    assert [*scan.result(POLICY).records()] == []


def numbers(scan: Scan) -> Iterator[int]:
    """Yield the numbers that a scan asks for."""
    while (number := scan.next_page()) is not None:
        yield number


def test_a_kept_full_scan_resumes_where_it_stopped() -> None:
    """It asks for the same page until it is given one."""
    service = Service(Order.NEWEST_FIRST, 5, 32)
    scan = FullScan({}, size=5)
    asked = []
    for turn, number in enumerate(numbers(scan)):
        asked.append(number)
        if turn % 3:
            scan.take(number, service.page(number))
            scan.settle(POLICY)
    assert asked == [1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7]
    assert listed(scan.result()) == [*range(32)]
