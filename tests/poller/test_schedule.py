"""When polls begin: on their interval, whatever happens to the clock on the wall."""

import asyncio
from datetime import datetime, timedelta, tzinfo
from typing import Self

import apscheduler.schedulers.base
import pytest

from exporter.clock import SystemClock
from exporter.model import Source, Target, Work
from exporter.poller import Schedule

pytestmark = pytest.mark.anyio

TARGET = Target(Source.SESSION_CLUSTERS, "", "cn-hangzhou", "w-1")


class Wall(SystemClock):
    """The machine's clocks, of which the one on the wall is set by a test."""

    def __init__(self) -> None:
        self.step = 0.0

    def now(self) -> float:
        """Return seconds since 1970-01-01 UTC, as set."""
        return super().now() + self.step


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """Provide the clock by which APScheduler goes, too."""
    clock = Wall()

    class Now(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(seconds=clock.step)

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Now)
    return clock


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
async def test_polls_continue_when_the_wall_clock_is_set(wall: Wall, step: float) -> None:
    """So does what withdraws old gauges; neither waits until the clock is where it was."""
    polls, ticks = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def poll(_work: Work) -> None:
        polls.release()

    async def tick() -> None:
        ticks.release()

    schedule = Schedule(
        poll,
        poll,
        poll_interval=0.5,
        discovery_interval=600,
        on_skip=lambda _: None,
        on_late=lambda _: None,
        clock=wall,
    )
    schedule.add(TARGET)
    schedule.start(tick)
    async with asyncio.timeout(20):
        await polls.acquire()
        wall.step = step
        for _ in range(3):
            await ticks.acquire()
            await polls.acquire()
    await schedule.stop(1.0)


SLASHED = (
    Target(Source.LIVY_SESSIONS, "", "cn-hangzhou", "w1", "a/g"),
    Target(Source.LIVY_SESSIONS, "", "cn-hangzhou", "w1/a", "g"),
    Target(Source.LIVY_SESSIONS, "", "cn-shanghai", "w1", "a/g"),
)


async def test_targets_with_equal_names_are_all_polled() -> None:
    """An id may hold a slash, and a gateway id may occur in two regions: each has its own job."""
    assert len({str(target) for target in SLASHED}) == 1
    polled: set[object] = set()
    done = asyncio.Event()

    async def run(work: object) -> None:
        polled.add(work)
        if len(polled) == len(SLASHED):
            done.set()

    async def idle(_work: object = None) -> None:
        """Do nothing."""

    schedule = Schedule(
        run,
        idle,
        poll_interval=60,
        discovery_interval=60,
        on_skip=lambda _source: None,
        on_late=lambda _source: None,
        clock=SystemClock(),
    )
    for target in SLASHED:
        schedule.add(target)
    schedule.start(idle)
    async with asyncio.timeout(20):
        await done.wait()
    schedule.remove(SLASHED[0])
    await schedule.stop(1.0)
    assert polled == set(SLASHED)
