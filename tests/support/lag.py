"""How long the event loop was kept from running anything else."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

_PAUSE = 0.002


@dataclass
class Lag:
    """The longest times between two turns of the loop, in seconds."""

    wall: float = 0.0
    """By the clock on the wall: other threads and processes count, too."""
    cpu: float = 0.0
    """By what the loop's own thread computed."""


@asynccontextmanager
async def watched() -> AsyncIterator[Lag]:
    """Watch the running loop during the block."""
    lag = Lag()
    watch = asyncio.create_task(_watch(lag))
    try:
        await asyncio.sleep(0)
        yield lag
        await asyncio.sleep(2 * _PAUSE)
    finally:
        watch.cancel()


async def _watch(lag: Lag) -> None:
    while True:
        wall, cpu = time.perf_counter(), time.thread_time()
        await asyncio.sleep(_PAUSE)
        lag.wall = max(lag.wall, time.perf_counter() - wall - _PAUSE)
        lag.cpu = max(lag.cpu, time.thread_time() - cpu)
