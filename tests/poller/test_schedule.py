"""When polls begin: on their interval, whatever happens to the clock on the wall."""

import asyncio
from datetime import datetime, timedelta, tzinfo
from typing import Self

import apscheduler.schedulers.base
import pytest

from exporter.clock import SystemClock
from exporter.model import Source, Target
from exporter.poller import Schedule
from exporter.poller.schedule import Work

pytestmark = pytest.mark.anyio

TARGET = Target(Source.SESSION_CLUSTERS, "", "cn-hangzhou", "w-1")


class Wall(SystemClock):
    """The machine's clocks, of which the one on the wall is set by a test."""

    def __init__(self) -> None:
        self.step = 0.0

    def now(self) -> float:
        """Give seconds since 1970-01-01 UTC, as set."""
        return super().now() + self.step


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """Give the clock by which APScheduler goes, too."""
    clock = Wall()

    class Now(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(seconds=clock.step)

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Now)
    return clock


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
async def test_polls_go_on_when_the_wall_clock_is_set(wall: Wall, step: float) -> None:
    """So does what withdraws old gauges; neither waits until the clock is where it was."""
    polls, ticks = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def poll(_work: Work) -> None:
        polls.release()

    async def tick() -> None:
        ticks.release()

    schedule = Schedule(
        poll, poll, poll_interval=0.5, discovery_interval=600, on_skip=lambda _: None, clock=wall
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
