"""A real first scan of a long history that stands in the middle, for as long as a test looks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from exporter.demo.calls import Call
from exporter.demo.faults import Hold
from tests.support.harness import Harness
from tests.support.processes import eventually
from tests.support.worlds import GATEWAY, START_MS, busy_world, session

LIVY: Final = "ListLivyComputeSessions"
PAGES: Final = 12
ROWS: Final = 100 * PAGES - 60
HELD: Final = 8
"""The page that does not come: those before it were read."""


@asynccontextmanager
async def first_scan(
    rows: int = ROWS,
) -> AsyncIterator[tuple[Harness, Callable[[], Awaitable[None]]]]:
    """Begin the first scan of one gateway, and hold it; also give what lets it go on to its end.

    Nothing else was polled yet. Time goes on by 6 s with each page.
    """
    world = busy_world()
    here = [each for each in world.sessions() if each.compute_id == GATEWAY]
    for number in range(rows - len(here)):
        age = 60 * (number + 200)
        ended = START_MS - age * 1000 + 30_000
        world.put_session(
            session(f"livy-{number:04}", 0.5, age=age, state="terminated", end_time_ms=ended)
        )
    released = asyncio.Event()
    async with Harness(world) as h:

        def take_time(call: Call) -> None:
            if call.action == LIVY:
                h.clock.advance(6)

        h.cloud.before_page = take_time
        held = h.cloud.faults.add(Hold(released), action=LIVY, compute_id=GATEWAY, page=HELD)
        scan = asyncio.create_task(h.poll("livy_sessions"))

        async def is_held() -> bool:
            return h.cloud.faults.struck(held) > 0

        await eventually(is_held, pause=0.01)

        async def end() -> None:
            released.set()
            await scan

        try:
            yield h, end
        finally:
            await end()
