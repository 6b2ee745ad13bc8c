"""Long scans of a service that fails now and then: they end, and what is published is fresh."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from exporter.demo import HistoryOrder
from exporter.demo.faults import FORBIDDEN
from exporter.errors import PollError
from tests.sources.histories import ENDED, Long, Model, flat
from tests.support.budgets import examples

ORDERED = st.sampled_from([HistoryOrder.NEWEST_FIRST, HistoryOrder.OLDEST_FIRST])


@dataclass(frozen=True)
class Step:
    """What happens between two pages: sessions come and go, the service works or does not."""

    came: int
    left: int
    is_polled: bool
    is_broken: bool
    pause: float


HIDDEN_FALL = [
    Step(came=40, left=1, is_polled=False, is_broken=True, pause=0.0),
    Step(came=0, left=0, is_polled=False, is_broken=False, pause=0.0),
    Step(came=0, left=0, is_polled=True, is_broken=True, pause=0.0),
    Step(came=40, left=0, is_polled=True, is_broken=True, pause=0.0),
    Step(came=0, left=0, is_polled=True, is_broken=True, pause=0.0),
    Step(came=0, left=0, is_polled=True, is_broken=True, pause=0.0),
]
"""More sessions come in than leave between two pages of a full scan."""

STEPS = st.lists(
    st.builds(
        Step,
        came=st.sampled_from([0, 1, 40, 99]),
        left=st.sampled_from([0, 1, 40]),
        is_polled=st.booleans(),
        is_broken=st.booleans(),
        pause=st.sampled_from([0.0, 30.0, 600.0]),
    ),
    max_size=20,
)


def apply(long: Long, step: Step) -> None:
    """Let a step happen to the history and the service."""
    for _ in range(step.came):
        long.create(is_open=False)
    for row in range(step.left):
        long.trim(0) if row < len(long.rows) - 300 else None
    long.clock.advance(step.pause)
    long.cloud.faults.clear()
    if step.is_broken:
        long.cloud.faults.add(FORBIDDEN, skip=1)


async def poll(long: Long) -> dict[Any, float] | None:
    """Poll once; give the gauges if it succeeded."""
    with suppress(PollError):
        return flat((await long.source.poll(lambda *_: None)).gauges)
    return None


async def verified(long: Long, steps: list[Step]) -> None:
    """Verify the whole history while `steps` happen, as often as it takes."""
    waiting = [*steps]
    for _ in range(len(steps) + 1):
        verifying = asyncio.create_task(long.source.verify(lambda *_: None))
        while not verifying.done():
            if waiting:
                step = waiting.pop()
                apply(long, step)
                if step.is_polled:
                    await poll(long)
            await asyncio.sleep(0)
        if verifying.exception() is None and not waiting:
            return
        if not waiting:
            long.cloud.faults.clear()


@examples(0.15)
@example(order=HistoryOrder.OLDEST_FIRST, rows=571, place=320, steps=HIDDEN_FALL)
@given(order=ORDERED, rows=st.integers(403, 900), place=st.integers(320, 399), steps=STEPS)
def test_a_verification_beside_failing_polls_ends_and_finds_what_changed(
    order: HistoryOrder, rows: int, place: int, steps: list[Step]
) -> None:
    """It costs the pages that there are; one settled row has changed or gone, and that is seen."""

    async def live() -> None:
        long = Long(order, rows, is_open=lambda number: number > rows - 4)
        assert await poll(long)
        row = sorted(long.rows, key=lambda each: each.create_time_ms)[place]
        state = ENDED[1 - ENDED.index(row.state)]
        if place % 2:
            long.world.change_session(row.key, state=state)
        else:
            long.world.remove_session(row.key)
        long.clock.advance(6 * 3600)
        before = long.requests
        await verified(long, steps)
        came = sum(step.came for step in steps)
        polled = sum(step.is_polled for step in steps)
        whole = (rows + came) // 100 + 1
        assert long.requests - before <= (polled + len(steps) + 2) * (whole + 4)
        long.cloud.faults.clear()
        await poll(long)
        long.clock.advance(1000)
        assert await poll(long) == long.expected(Model(), long.listing())

    asyncio.run(live())


LATE_COMER = [
    ("create", 0, 9, 1700.0),
    ("end", 0, 1, 30.0),
    ("end", 0, 6, 30.0),
    ("create", 0, 1, 30.0),
]


@examples(0.1)
@example(order=HistoryOrder.SHUFFLED, rows=1500, steps=LATE_COMER)
@given(
    order=st.sampled_from(HistoryOrder),
    rows=st.sampled_from([250, 600, 950, 1500]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["end", "create", "advance", "trim"]),
            st.sampled_from(range(100)),
            st.sampled_from(range(1, 13)),
            st.sampled_from([30.0, 1700.0, 1900.0]),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_what_is_published_after_interruptions_was_read_after_them(
    order: HistoryOrder, rows: int, steps: list[tuple[str, int, int, float]]
) -> None:
    """However often a first scan breaks off: the good poll shows the listing of its own time."""

    async def live() -> None:
        long = Long(order, rows, is_open=lambda number: number % 25 == 0)
        for action, choice, good_pages, pause in steps:
            long.cloud.faults.clear()
            long.cloud.faults.add(FORBIDDEN, skip=good_pages)
            await poll(long)
            long.create() if action == "create" else getattr(long, action)(choice)
            long.clock.advance(pause)
        long.cloud.faults.clear()
        # Where rows came in anywhere while the scan waited, its pages may lack one: it refuses to
        # publish that, and the next poll reads all of them anew.
        gauges = await poll(long) or await poll(long)
        assert gauges is not None
        # Sessions whose end was seen have series besides.
        assert long.expected(Model(), long.listing()).items() <= gauges.items()

    asyncio.run(live())
