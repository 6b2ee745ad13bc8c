"""Scans that are interrupted, repeated or held up: what the page shows while and after they are."""

from itertools import count
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.demo import Call, HistoryOrder, SessionKey, World, faults
from tests.support.harness import Harness
from tests.support.worlds import GATEWAY, WORKSPACE, empty_world, key, session

pytestmark = pytest.mark.anyio

LIVY = {"source": "livy_sessions"}


def world_with(
    rows: int, *, open_rows: int = 3, order: HistoryOrder = HistoryOrder.NEWEST_FIRST
) -> World:
    """Make a world with one history; its newest sessions are still running."""
    world = empty_world(order)
    for age in range(rows):
        state = "running" if age < open_rows else "terminated"
        ended = None if age < open_rows else 1_779_000_000_000
        world.put_session(
            session(f"livy-{age}", 1, age=86_400 + 60 * age, state=state, end_time_ms=ended)
        )
    return world


def row(age: int) -> SessionKey:
    """Return the key of a session that `world_with` made."""
    return key(f"livy-{age}", age=86_400 + 60 * age)


async def verify(h: Harness) -> None:
    """Run the verification of the whole history, if it is due."""
    for job in h.exporter.targets.jobs.values():
        await h.exporter.polling.verify(job.source)


def stop_after(h: Harness, requests: int) -> None:
    """Refuse every request after so many more, so that an endless loop ends."""
    served = count(1)

    def refuse(_call: Call) -> None:
        if next(served) == requests:
            h.cloud.faults.add(faults.FORBIDDEN)

    h.cloud.before_page = refuse


@pytest.mark.parametrize("came", [99, 100, 250])
async def test_a_verification_ends_although_polls_missed_many_new_sessions(came: int) -> None:
    """Each page that it reads brings it forward, whether or not polls take up what came."""
    async with Harness(world_with(700)) as h:
        await h.poll()
        h.clock.advance(6 * 3600)
        for number in range(came):
            h.world.put_session(session(f"new-{number}", 1, age=-number))
        before = len(h.cloud.calls)
        stop_after(h, 40)
        await verify(h)
        requests = len(h.cloud.calls) - before
        await h.poll()
        page = h.peek()
    assert requests <= (700 + came) // 100 + 2
    assert page.value("exporter_target_up", **LIVY) == 1
    assert page.value("livy_sessions_started_total") == 700 + came


async def test_a_verification_that_keeps_failing_is_logged_once() -> None:
    """Polls that succeed begin it again and again; in the end it says that it has recovered."""
    async with Harness(world_with(700)) as h:
        await h.poll()
        h.clock.advance(6 * 3600)
        fault = h.cloud.faults.add(faults.FORBIDDEN, page=6)
        with capture_logs() as logged:
            for _ in range(3):
                await verify(h)
            h.cloud.faults.remove(fault)
            await verify(h)
    lines = [(line["log_level"], line["event"]) for line in logged if "whole history" in str(line)]
    assert lines == [
        ("warning", "poll_failed"),
        ("debug", "poll_failed"),
        ("debug", "poll_failed"),
        ("info", "poll_recovered"),
    ]


@pytest.mark.parametrize("rows", [250, 950])
@pytest.mark.parametrize("came", [0, 1])
async def test_what_was_read_before_an_outage_is_not_shown_as_new(rows: int, came: int) -> None:
    """A session failed meanwhile on a page that had been read; others came."""
    async with Harness(world_with(rows)) as h:
        await h.poll()
        h.clock.advance(7 * 3600)
        fault = h.cloud.faults.add(faults.FORBIDDEN, page=-(-rows // 100))
        for _ in range(28):
            await h.poll()
            h.clock.advance(60)
        h.world.change_session(row(0), state="error", end_time_ms=round(h.clock.now() * 1000))
        for number in range(came):
            h.world.put_session(session(f"new-{number}", 1, age=-1000))
        h.cloud.faults.remove(fault)
        await h.poll()
        page = h.peek()
    assert page.value("exporter_target_up", **LIVY) == 1
    assert page.value("livy_session_state", session_id="livy-0", state="error") == 1
    assert page.value("livy_sessions", state="running") == 2 + came
    assert page.has("livy_session_info", session_id="new-0") == bool(came)


async def test_what_a_slow_scan_read_long_ago_is_not_shown_as_new() -> None:
    """A session failed on the first page while the last ones were read."""
    async with Harness(world_with(950)) as h:

        def take_time(call: Call) -> None:
            h.clock.advance(10)
            if call.page == 10:
                ended = round(h.clock.now() * 1000)
                h.world.change_session(row(0), state="error", end_time_ms=ended)

        h.cloud.before_page = take_time
        await h.poll("livy_sessions")
        page = h.peek()
    assert page.value("livy_session_state", session_id="livy-0", state="error") == 1


async def test_sessions_that_slipped_past_the_first_reading_do_not_empty_the_list() -> None:
    """As many left as came while it was read, so no count told; then they are the oldest."""
    world = world_with(950, order=HistoryOrder.OLDEST_FIRST)

    def shift(call: Call) -> None:
        if call.page == 2:
            h.cloud.before_page = None
            world.trim_oldest(WORKSPACE, GATEWAY, 40)
            for number in range(40):
                world.put_session(session(f"new-{number}", 1, age=-number))

    async with Harness(world) as h:
        h.cloud.before_page = shift
        await h.poll()
        world.trim_oldest(WORKSPACE, GATEWAY, 60)
        await h.poll()
        page = h.peek()
    assert page.value("exporter_target_up", **LIVY) == 1
    assert sum(page.values("livy_sessions").values()) == 950 - 60
    assert page.value("livy_sessions", state="running") == 3 + 40
    assert page.value("livy_sessions_ended_total", state="unknown") == 0


async def test_an_interrupted_history_without_an_order_is_counted_and_read_again() -> None:
    """Nobody knows where its running sessions stand: what was read early is not shown."""
    async with Harness(world_with(950, order=HistoryOrder.SHUFFLED)) as h:
        await h.poll()
        fault = h.cloud.faults.add(faults.FORBIDDEN, page=10)
        await h.poll()
        h.clock.advance(60)
        h.world.change_session(row(0), state="error", end_time_ms=round(h.clock.now() * 1000))
        h.cloud.faults.remove(fault)
        before = len(h.cloud.calls)
        await h.poll("livy_sessions")
        requests = len(h.cloud.calls) - before
        page = h.peek()
    assert requests == 1 + 10
    assert page.value("exporter_target_up", **LIVY) == 1
    assert page.value("livy_session_state", session_id="livy-0", state="error") == 1
    assert page.value("livy_sessions_ended_total", state="error") == 1


async def test_a_long_history_is_read_to_its_end_however_often_it_is_interrupted() -> None:
    """A page takes two minutes, and every half an hour the service is away for some seconds."""
    async with Harness(world_with(4000)) as h:
        h.cloud.before_page = lambda _: h.clock.advance(120)
        polls = 0
        while len(h.cloud.calls) < 100 and not h.peek().has("livy_sessions"):
            h.cloud.faults.add(faults.FORBIDDEN, skip=15, times=1)
            await h.poll()
            h.cloud.faults.clear()
            h.clock.advance(40)
            polls += 1
        page = h.peek()
    assert page.value("livy_sessions_started_total") == 4000
    assert page.value("livy_sessions", state="running") == 3
    assert polls == 3


async def test_an_interrupted_verification_resumes() -> None:
    """Else a long history with a weak service would never be verified."""
    async with Harness(world_with(1950)) as h:
        await h.poll()
        h.clock.advance(6 * 3600)
        before = len(h.cloud.calls)
        fault = h.cloud.faults.add(faults.FORBIDDEN, page=19)
        await verify(h)
        h.cloud.faults.remove(fault)
        h.clock.advance(40)
        await verify(h)
        requests = len(h.cloud.calls) - before
        h.clock.advance(40)
        await verify(h)  # not due
        assert len(h.cloud.calls) - before == requests
    assert requests <= 20 + 2


@pytest.mark.parametrize("order", [HistoryOrder.NEWEST_FIRST, HistoryOrder.OLDEST_FIRST])
async def test_a_session_whose_create_time_appears_late_is_the_same(order: HistoryOrder) -> None:
    """A session is listed without it while it starts; it is the same session afterwards."""
    async with Harness(world_with(950, order=order)) as h:
        await h.poll()
        for number in range(3):
            new = session(f"new-{number}", age=-number, state="starting", raw={"createTime": None})
            h.world.put_session(new)
            await h.poll()
            h.world.change_session(new.key, state="running", raw=None)
            h.clock.advance(30)
            before = len(h.cloud.calls)
            await h.poll("livy_sessions")
            await h.poll("livy_sessions")
            assert len(h.cloud.calls) - before <= 2 * 2
        h.clock.advance(30)
        ended = round(h.clock.now() * 1000)
        h.world.change_session(new.key, state="error", end_time_ms=ended)
        await h.poll()
        page = h.peek()
        h.world.remove_session(new.key)
        await h.poll()
        last = h.peek()
    assert page.value("livy_sessions", state="starting") == 0
    assert page.value("livy_sessions", state="running") == 5
    assert page.value("livy_sessions_started_total") == 953
    assert page.value("livy_session_created_timestamp_seconds", session_id="new-2") > 0
    assert last.value("livy_sessions_ended_total", state="error") == 1
    assert last.value("livy_sessions_ended_total", state="unknown") == 0


@pytest.mark.parametrize(("state", "rows"), [("dead", 3), ("killed", 3), ("success", 950)])
async def test_a_session_in_an_unknown_state_with_an_end_time_has_ended(
    state: str, rows: int
) -> None:
    """Once it has settled: it is counted once, and its series go as those of others do."""
    async with Harness(world_with(rows)) as h:
        await h.poll()
        now = round(h.clock.now() * 1000)
        h.world.change_session(row(1), state=state, end_time_ms=now)
        for _ in range(29):
            h.clock.advance(60)
            await h.poll()
        early = h.peek()
        for _ in range(2):
            h.clock.advance(60)
            await h.poll()
        settled = h.peek()
        for _ in range(16):
            h.clock.advance(60)
            await h.poll()
        late = h.peek()
    assert early.value("livy_sessions_ended_total", state="unknown") == 0
    assert early.has("livy_session_info", session_id="livy-1")
    assert settled.value("livy_sessions_ended_total", state="unknown") == 1
    assert settled.has("livy_session_end_timestamp_seconds", session_id="livy-1")
    assert late.value("livy_sessions_ended_total", state="unknown") == 1
    assert not late.has("livy_session_info", session_id="livy-1")
    assert late.value("livy_sessions", state="unknown") == 1


async def test_of_a_reused_id_only_the_newest_session_is_shown() -> None:
    """Also once that one has ended and settled, and an older one still runs."""
    world = world_with(950)
    ended: dict[str, Any] = {"state": "terminated", "end_time_ms": 1_779_000_000_000}
    for name in ("reused", "reused-later"):
        world.put_session(session(name, age=100_000))
    world.put_session(session("reused", age=95_000, **ended))
    async with Harness(world) as h:
        await h.poll()
        world.put_session(session("reused-later", age=0, **ended))
        for _ in range(3):
            await h.poll("livy_sessions")
            h.clock.advance(1000)
        page = h.peek()
    assert set(page.values("livy_session_info", "session_id")) == {
        ("livy-0",),
        ("livy-1",),
        ("livy-2",),
    }
