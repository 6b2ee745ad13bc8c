"""Time as an argument: nothing below the roof reads a clock that was not handed to it."""

import asyncio
import time
from typing import Protocol

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What code needs of time. Both readings are in seconds."""

    def now(self) -> float:
        """Return wall-clock time: seconds since 1970-01-01 UTC. It may step back and forth."""

    def monotonic(self) -> float:
        """Return seconds since some start, which never step: for ages and deadlines."""

    def boottime(self) -> float:
        """Return seconds since some start, which go on while the machine sleeps: for leases."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of monotonic time."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since an unspecified start."""
        return time.monotonic()

    def boottime(self) -> float:
        """Return seconds since the machine was started, or `monotonic` where that is unknown."""
        return time.clock_gettime(_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(seconds)
