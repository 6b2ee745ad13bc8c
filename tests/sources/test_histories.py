"""Short polls say what full scans would say, whatever happens while pages are read."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from structlog.testing import capture_logs

from exporter import catalog
from exporter.api import PAGE_SIZE
from exporter.demo import (
    Behaviour,
    HistoryOrder,
    PastEnd,
    TotalCount,
)
from exporter.demo.calls import Call
from exporter.demo.faults import FORBIDDEN, Alter, Hang, Hold, Page
from exporter.errors import PollError
from exporter.model import LivySession
from exporter.model import Page as ListedPage
from exporter.sources import ScanTiming
from exporter.sources.livy_sessions.full_scan import SMALL_PAGES, HistoryBuilder
from exporter.sources.livy_sessions.rows import rows_of
from exporter.sources.livy_sessions.trust import MAX_DIVERGENCES
from tests.sources.histories import KEY, Long, Model, flat, polled
from tests.support.worlds import used

pytestmark = pytest.mark.anyio

CHOICE = st.integers(0, 10**6)
ACTIONS = st.sampled_from(["create", "advance", "end", "revise", "trim"])


def act(history: Long, action: str, choice: int) -> None:
    """Let one thing happen."""
    if action == "create":
        history.create()
    else:
        getattr(history, action)(choice)


class Histories(RuleBasedStateMachine):
    """A history with a life, polled now and then; between two pages of a poll anything goes on.

    One thing at most happens during one poll: so a full scan that took no time would have
    shown the listing before it or the one after it, and nothing else.
    """

    @initialize(
        order=st.sampled_from(HistoryOrder),
        rows=st.integers(350, 620),
        open_rows=st.sets(st.integers(0, 619), max_size=6),
    )
    def begin(self, order: HistoryOrder, rows: int, open_rows: set[int]) -> None:
        """Read the history for the first time."""
        self.runner = asyncio.Runner()
        self.order = order
        self.long = Long(order, rows, is_open=lambda number: number in open_rows)
        self.model = Model()
        self.began_at = self.long.clock.now()
        self.poll(None)

    @rule(action=ACTIONS, choice=CHOICE, times=st.integers(1, 4))
    def live(self, action: str, choice: int, times: int) -> None:
        """Let something happen between two polls."""
        for turn in range(times):
            act(self.long, action, choice + turn)

    @rule(seconds=st.sampled_from([0.5, 30, 600, 1500]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.long.clock.advance(seconds)

    @rule(
        meanwhile=st.one_of(st.none(), st.tuples(ACTIONS, CHOICE, st.integers(0, 6))),
    )
    def poll(self, meanwhile: tuple[str, int, int] | None) -> None:
        """Poll; the page and the ledger are those of the listing before or after."""
        long = self.long
        long.clock.advance(0.01)
        before, now = long.listing(), long.clock.now()
        countdown = [meanwhile[2]] if meanwhile else []

        def happen(_call: Call) -> None:
            if countdown and countdown[0] == 0 and meanwhile:
                act(long, meanwhile[0], self.one_thing(*meanwhile[:2]))
                countdown.clear()
            elif countdown:
                countdown[0] -= 1

        long.cloud.before_page = happen
        requests = long.requests
        with capture_logs() as logs:
            result = self.runner.run(long.source.poll(lambda *_: None))
        surprises = [each for each in logs if each["event"] == "history_diverged"]
        assert surprises == []
        assert result.ledger_error is None
        after = long.listing()
        candidates = [
            (self.model.read(before, now), before),
            (self.model.read(after, now), after),
            (self.model.read(before, now).read(after, now), after),
        ]
        found, totals = flat(result.gauges), long.totals()
        fitting = [
            model
            for model, listing in candidates
            if model.totals() == totals and long.expected(model, listing) == found
        ]
        assert fitting, "neither the listing before the poll nor the one after it"
        self.model = fitting[0]
        self.check_requests(long.requests - requests, before)

    @rule(actions=st.lists(st.tuples(ACTIONS, CHOICE), max_size=6))
    def verify(self, actions: list[tuple[str, int]]) -> None:
        """Verify the whole history when that is due, while things happen; then poll."""
        long = self.long
        long.clock.advance(6 * 3600)

        def happen(_call: Call) -> None:
            if actions:
                action, choice = actions.pop()
                act(long, action, self.one_thing(action, choice))

        long.cloud.before_page = happen
        with capture_logs() as logs:
            self.runner.run(long.source.verify(lambda *_: None))
        assert [each for each in logs if each["event"] == "history_diverged"] == []
        for action, choice in actions:
            act(long, action, self.one_thing(action, choice))
        self.poll(None)

    @rule(pages=st.none() | st.integers(0, 8))
    def restart(self, pages: int | None) -> None:
        """Start again, perhaps after a death within a poll.

        The first poll after that is short where the order is known: it reads the ends, and the
        sessions that run or that were seen to end.
        """
        long = self.long
        if pages is not None:
            self.die(pages)
        long.restart()
        rows = len(long.rows)
        ended = [row for row in long.rows if (row.end_time_ms or 0) > self.began_at * 1000]
        unsettled = len(long.open_rows()) + len(ended)
        requests = long.requests
        self.poll(None)
        is_long = rows - unsettled > SMALL_PAGES * PAGE_SIZE
        is_ordered = self.order is not HistoryOrder.SHUFFLED
        if is_ordered and is_long and 2 * unsettled * PAGE_SIZE <= rows:
            assert long.requests - requests <= unsettled + 4

    def die(self, pages: int) -> None:
        """Poll, and end after so many pages, unless the poll is over by then."""
        long, left = self.long, [*range(pages)]
        listing, now = long.listing(), long.clock.now()

        async def poll() -> None:
            task = asyncio.create_task(long.source.poll(lambda *_: None))

            def happen(_call: Call) -> None:
                task.cancel() if not left else left.pop()

            long.cloud.before_page = happen
            with suppress(asyncio.CancelledError):
                await task
                self.model = self.model.read(listing, now)

        self.runner.run(poll())

    def one_thing(self, action: str, choice: int) -> int:
        """Let one session leave where there is no order: several would leave in several places."""
        return 0 if action == "trim" and self.order is HistoryOrder.SHUFFLED else choice

    def check_requests(self, requests: int, before: list[Any]) -> None:
        """Whatever happens, a poll costs its pages and a few.

        Without an order, a row that came in meanwhile may be anywhere: to find it takes them twice.
        """
        pages = len(before) // 100 + 1
        passes = 2 if self.order is HistoryOrder.SHUFFLED else 1
        assert requests <= passes * pages + 5

    @precondition(lambda self: self.order is not HistoryOrder.SHUFFLED)
    @rule()
    def poll_twice(self) -> None:
        """Where nothing is open or settling, a poll reads the two ends at most."""
        self.poll(None)
        unsettled = len(self.long.open_rows()) + len(self.long.settling_rows())
        requests = self.long.requests
        self.poll(None)
        assert self.long.requests - requests <= unsettled + 4

    def teardown(self) -> None:
        """End the loop."""
        if hasattr(self, "runner"):
            self.runner.close()


@pytest.mark.timeout(300)
def test_incremental_poll_equals_full_scan() -> None:
    """In all orders, whatever happens."""
    run_state_machine_as_test(Histories, settings=settings(max_examples=12, stateful_step_count=10))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_incremental_poll_equals_full_scan_for_long() -> None:
    """The same, for minutes."""
    run_state_machine_as_test(
        Histories, settings=settings(max_examples=500, stateful_step_count=40)
    )


ORDERED = [HistoryOrder.NEWEST_FIRST, HistoryOrder.OLDEST_FIRST]


@pytest.mark.parametrize("order", ORDERED)
async def test_session_that_became_unreadable_has_ended_once_it_leaves(
    order: HistoryOrder,
) -> None:
    """The next poll says so, although it reads a few pages only."""
    long = Long(order, 590, is_open=lambda number: number == 0)
    await polled(long)
    [oldest] = long.open_rows()
    has_ended = catalog.LIVY_SESSIONS_ENDED.name, (*KEY, oldest.queue, "unknown")
    long.world.change_session(oldest.key, raw={"cuHours": -1})
    for _ in range(2):
        await polled(long)
        assert has_ended not in long.totals()
    long.trim(0)
    _, requests, events = await polled(long)
    assert (requests < 6, events) == (True, [])
    assert long.totals()[has_ended] == 1


@pytest.mark.parametrize("order", ORDERED)
@pytest.mark.parametrize("total_count", TotalCount)
async def test_rolling_retention_never_causes_a_full_scan(
    order: HistoryOrder, total_count: TotalCount
) -> None:
    """Sessions come and go at the ends for hours; every poll is short and true."""
    long = Long(
        order,
        1000,
        is_open=lambda number: number == 30 or (number > 900 and number % 20 == 0),
        behaviour=Behaviour(total_count=total_count),
    )
    await polled(long)
    for turn in range(40):
        long.clock.advance(300)
        for _ in range(turn % 4):
            long.create(is_open=False)
        long.trim(turn)
        _, requests, events = await polled(long)
        assert requests <= 8
        assert events == []
    long.clock.advance(1000)
    assert (await polled(long))[0] == long.expected(Model(), long.listing())


async def test_polls_that_read_most_pages_read_all_and_leave_nothing_to_verify() -> None:
    """Sessions run on all pages."""
    long = Long(HistoryOrder.NEWEST_FIRST, 990, is_open=lambda number: number % 50 == 0)
    for _ in range(2):
        assert (await polled(long))[1] == 10
        long.clock.advance(4 * 3600)
    before = long.requests
    await long.source.verify(lambda *_: None)
    assert long.requests == before


@pytest.mark.parametrize("order", ORDERED)
async def test_the_order_of_the_listing_may_change(order: HistoryOrder) -> None:
    """It is noticed in the very next poll, which is a full scan then."""
    other = ORDERED[1 - ORDERED.index(order)]
    long = Long(order, 590, is_open=lambda number: number in {3, 103})
    await polled(long)
    long.turn(other)
    long.advance(2)
    found, requests, events = await polled(long)
    assert found == long.expected(Model(), long.listing())
    assert requests <= 6 + 3
    assert events == ["history_diverged"]
    long.create()
    found, requests, events = await polled(long)
    assert found == long.expected(Model(), long.listing())
    assert requests <= 2 + 2
    assert events == []


@pytest.mark.parametrize("order", ORDERED)
async def test_a_violation_that_changes_the_count_is_noticed_within_one_poll(
    order: HistoryOrder,
) -> None:
    """A settled session vanishes from the middle of the history.

    However often, if the polls between find what they expect: these are short.
    """
    long = Long(order, 590)
    await polled(long)
    for _ in range(MAX_DIVERGENCES + 1):
        long.world.remove_session(long.rows[456].key)
        found, _, events = await polled(long)
        assert found == long.expected(Model(), long.listing())
        assert events == ["history_diverged"]
        assert (await polled(long))[1:] == (1, [])


@pytest.mark.parametrize(("days_ahead", "settles_after"), [(None, 0.0), (10, 1801.0)])
async def test_an_ended_session_without_a_credible_end_time_is_not_read_for_ever(
    days_ahead: int | None, settles_after: float
) -> None:
    """One that has none ended long ago; one in the future is that of a clock that is wrong."""
    long = Long(HistoryOrder.NEWEST_FIRST, 950, is_open=lambda number: number == 700)
    (row,) = long.open_rows()
    end = days_ahead and round(long.clock.now() + days_ahead * 86400) * 1000
    long.world.change_session(row.key, state="terminated", end_time_ms=end)
    await polled(long)
    long.clock.advance(settles_after)
    await polled(long)
    assert (await polled(long))[1] == 1


async def test_a_full_scan_goes_on_watching_a_session_that_was_revised_lately() -> None:
    """Its figures settle some time after their last change, not after the session's end."""
    timing = ScanTiming(1600.0, 1800.0)
    long = Long(HistoryOrder.NEWEST_FIRST, 950, is_open=lambda n: n == 700, timing=timing)
    await polled(long)
    (row,) = long.open_rows()
    long.end(0)
    for pause, cu_hours, requests in ((1690, 7, 10), (300, 7, 2), (0, 8, 2)):
        long.clock.advance(pause)
        long.world.change_session(row.key, usage=used(cu_hours))
        assert (await polled(long))[1] == requests
    assert long.totals() == Model().read(long.listing(), 0.0).totals()


@pytest.mark.parametrize("order", ORDERED)
async def test_any_other_violation_is_noticed_at_the_next_full_scan(
    order: HistoryOrder,
) -> None:
    """A settled session changes its state after all; polls beside the scan go on."""
    long = Long(order, 1000, is_open=lambda number: number == 990)
    before, _, _ = await polled(long)
    row = long.rows[456]
    long.world.change_session(row.key, state="error" if row.state == "terminated" else "terminated")
    long.clock.advance(30)
    assert (await polled(long))[0] == before
    await long.source.verify(lambda *_: None)  # not due
    assert (await polled(long))[0] == before
    long.clock.advance(6 * 3600)
    requests = long.requests
    begun, released = asyncio.Event(), asyncio.Event()
    long.cloud.faults.add(Hold(released), page=5)
    # The page before it, in either order.
    long.cloud.before_page = lambda call: begun.set() if call.page in {4, 6} else None
    verifying = asyncio.create_task(long.source.verify(lambda *_: None))
    await begun.wait()
    for _ in range(3):
        long.create(is_open=False)
        long.trim(0)
        long.advance(0)
        _, short, events = await polled(long)
        assert (short <= 3, events) == (True, [])
    released.set()
    await verifying
    assert long.requests - requests >= 10
    # Of the open session the polls have read a later figure than the verification.
    assert catalog.LIVY_OVERCOUNTED.name not in {name for name, _ in long.totals()}
    await polled(long)
    long.clock.advance(1000)
    found, _, _ = await polled(long)
    assert found == long.expected(Model(), long.listing())


async def test_a_verification_that_a_full_scan_overtakes_has_no_say() -> None:
    """It ends with the page that it waits for, whatever that shows."""
    long = Long(HistoryOrder.NEWEST_FIRST, 990)
    await polled(long)
    long.clock.advance(6 * 3600)
    begun, released = asyncio.Event(), asyncio.Event()
    long.cloud.faults.add(Hold(released), page=5, times=1)
    long.cloud.before_page = lambda call: begun.set() if call.page == 4 else None
    verifying = asyncio.create_task(long.source.verify(lambda *_: None))
    await begun.wait()
    long.world.remove_session(long.rows[420].key)
    await polled(long)
    before = long.requests
    released.set()
    await verifying
    assert (await polled(long))[1:] == (1, [])
    assert long.requests - before <= 1 + 1


async def test_nothing_is_verified_while_a_full_scan_waits_to_go_on() -> None:
    """It will have read all that there is."""
    long = Long(HistoryOrder.NEWEST_FIRST, 990)
    await polled(long)
    long.world.remove_session(long.rows[420].key)
    long.cloud.faults.add(FORBIDDEN, page=9, times=1)
    with pytest.raises(PollError):
        await polled(long)
    long.clock.advance(6 * 3600)
    before = long.requests
    await long.source.verify(lambda *_: None)
    assert long.requests == before


async def test_without_a_usable_order_every_poll_is_a_full_scan() -> None:
    """And a warning says so, once."""
    long = Long(HistoryOrder.SHUFFLED, 590)
    assert (await polled(long))[1:] == (6, ["listing_order_unknown"])
    assert (await polled(long))[1:] == (6, [])


@pytest.mark.parametrize(
    ("total_count", "pause", "pages"),
    [
        (TotalCount.ABSENT, 1700.0, 6 + 2),
        (TotalCount.PRESENT, 1801.0, 30),
    ],
)
async def test_a_scan_resumes_where_it_failed(
    total_count: TotalCount, pause: float, pages: int
) -> None:
    """What was read before counts by then; only the new end is read again, as it is old by now.

    Without a count, only the old end tells whether sessions have left. After more than half an
    hour, all is read again.
    """
    long = Long(HistoryOrder.NEWEST_FIRST, 2990, behaviour=Behaviour(total_count=total_count))
    fault = long.cloud.faults.add(FORBIDDEN, page=25)
    with pytest.raises(PollError):
        await polled(long)
    assert long.totals() == {}
    assert long.ledger.state.sessions == 2400
    long.cloud.faults.remove(fault)
    long.clock.advance(pause)
    found, requests, _ = await polled(long)
    assert requests == pages
    assert found == long.expected(Model(), long.listing())
    assert long.totals() == Model().read(long.listing(), 0.0).totals()


class FullOnce(sqlite3.Connection):
    """A connection to a disk that is full when sessions are written for the first time."""

    has_room = False

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Execute a statement for many rows."""
        if "INTO session " in sql and not self.has_room:
            self.has_room = True
            raise sqlite3.OperationalError("database or disk is full")
        return super().executemany(sql, parameters)


async def test_a_scan_that_the_ledger_could_not_count_begins_again() -> None:
    """The disk was full for a moment, and then the poll was given up: nothing is left out."""
    connect = partial(sqlite3.connect, factory=FullOnce)
    long = Long(HistoryOrder.NEWEST_FIRST, 2990, connect=connect)
    begun = asyncio.Event()
    long.cloud.faults.add(Hang(), page=25)
    long.cloud.before_page = lambda call: begun.set() if call.page == 24 else None
    poll = asyncio.create_task(polled(long))
    await begun.wait()
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
    long.cloud.faults.clear()
    found, requests, _ = await polled(long)
    assert requests == 30
    assert found == long.expected(Model(), long.listing())
    assert long.totals() == Model().read(long.listing(), 0.0).totals()


def failing_ledger(order: HistoryOrder, rows: int) -> tuple[Long, Callable[[], None]]:
    """Return a history, and what makes the next writing of sessions fail."""
    opened: list[FullOnce] = []

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401  as sqlite3
        opened.append(sqlite3.connect(*args, factory=FullOnce, **options))
        opened[-1].has_room = True
        return opened[-1]

    def fill_disk() -> None:
        for connection in opened:
            connection.has_room = False

    return Long(order, rows, connect=connect), fill_disk


async def test_what_the_ledger_could_not_count_is_read_again() -> None:
    """Be it in a full scan or in a short poll, before which more than a page came in."""
    long, fill_disk = failing_ledger(HistoryOrder.NEWEST_FIRST, 590)
    for pages in (6, 2):
        fill_disk()
        for _ in range(2):
            assert (await polled(long))[1] == pages
        assert long.totals() == Model().read(long.listing(), 0.0).totals()
        for _ in range(150):
            long.create(age=36_000, is_open=False)


async def test_a_verification_that_the_ledger_could_not_count_begins_again() -> None:
    """Also if it has failed for another reason since: what had settled may have been revised."""
    long, fill_disk = failing_ledger(HistoryOrder.NEWEST_FIRST, 2990)
    await polled(long)
    long.world.change_session(long.rows[950].key, usage=used(9))
    long.clock.advance(6 * 3600)
    fill_disk()
    long.cloud.faults.add(FORBIDDEN, page=25, times=1)
    with pytest.raises(PollError):
        await long.source.verify(lambda *_: None)
    await long.source.verify(lambda *_: None)
    assert long.totals() == Model().read(long.listing(), 0.0).totals()


async def test_a_truncated_history_is_counted_as_far_as_it_is_shown() -> None:
    """After three scans to the same depth, what can be read counts; the rest is unknown."""
    long = Long(
        HistoryOrder.NEWEST_FIRST,
        900,
        is_open=lambda number: number == 890,
        behaviour=Behaviour(reachable_rows=500),
    )
    for _ in range(2):
        with pytest.raises(PollError):
            await polled(long)
        assert long.totals() == {}
    found, _, _ = await polled(long)
    assert not [name for name, _ in found if name == catalog.LIVY_SESSIONS.name]
    assert (catalog.LIVY_SESSION_INFO.name, (*KEY, "livy-000890", "s890", "q0", "demo")) in found
    started = sum(
        long.totals()[catalog.LIVY_SESSIONS_STARTED.name, (*KEY, f"q{n}")] for n in (0, 1)
    )
    assert started == 500
    long.advance(0)
    before = sum(value for (name, _), value in long.totals().items() if "cu_hours_total" in name)
    await polled(long)
    after = sum(value for (name, _), value in long.totals().items() if "cu_hours_total" in name)
    assert after - before == 10**9


@pytest.mark.parametrize("past_end", PastEnd)
async def test_rows_without_anything_in_them_are_rows(past_end: PastEnd) -> None:
    """However many there are, and all the same: the others are read and counted."""

    def put_nothing(page: Page, _call: Call) -> None:
        rows = page["sessions"]
        assert isinstance(rows, list)
        rows[50:53] = [None] * len(rows[50:53])

    behaviour = Behaviour(past_end=past_end)
    long = Long(HistoryOrder.NEWEST_FIRST, 1000, is_open=lambda n: n > 990, behaviour=behaviour)
    long.cloud.faults.add(Alter(put_nothing))
    found, requests, _ = await polled(long)
    assert requests <= 10 + 2
    readable = [each for at, each in enumerate(long.listing()) if at % 100 not in {50, 51, 52}]
    assert found == long.expected(Model(), readable)
    assert long.totals() == Model().read(readable, 0.0).totals()


async def test_a_truncated_history_is_logged_once() -> None:
    """With what to do; and again only after it could be read completely."""
    long = Long(HistoryOrder.NEWEST_FIRST, 500)
    cut_off = Behaviour(reachable_rows=200)

    async def warnings(behaviour: Behaviour, polls: int) -> list[Any]:
        long.cloud.behaviour = behaviour
        with capture_logs() as logs:
            for _ in range(polls):
                long.clock.advance(7 * 3600)
                with suppress(PollError):
                    await long.source.poll(lambda *_: None)
        return [each for each in logs if each["log_level"] == "warning"]

    (told,) = await warnings(cut_off, 5)
    assert (told["event"], told["pages"]) == ("history_truncated", 2)
    assert "poll.interval" in told["advice"]
    assert await warnings(cut_off, 2) == []
    assert await warnings(Behaviour(), 1) == []
    assert await warnings(cut_off, 2) == []
    assert len(await warnings(cut_off, 3)) == 1


async def test_one_page_beyond_the_expected_ones_is_not_logged() -> None:
    """It takes a page more than were expected to see its end; the log says nothing of it."""
    long = Long(HistoryOrder.NEWEST_FIRST, 300, is_open=lambda _: False)
    for _ in range(2):
        _, requests, events = await polled(long)
        assert (requests, events) == (4, [])
        long.clock.advance(60)


def test_as_many_queues_as_sessions() -> None:
    """The kinds of rows are numbered, however many there are."""
    count = 2**16 + 1
    builder = HistoryBuilder()
    sessions = (LivySession(f"s{each}", "running", queue=f"q{each}") for each in range(count))
    builder.add(rows_of(ListedPage(tuple(sessions))), is_late=False)
    assert len(builder.build({}).counts()) == count
