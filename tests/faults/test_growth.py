"""What a daemon must not do in the long run: block its event loop, or grow."""

import asyncio
import gc
import os
import threading
from dataclasses import dataclass

import pytest

from exporter.api import PAGE_SIZE
from tests.faults.kinds import ACTIONS, LATER_KINDS, SETTINGS
from tests.support.harness import PROMETHEUS, Harness
from tests.support.lag import watched
from tests.support.long_gateway import client, fast_cloud, read_alone
from tests.support.worlds import WORKSPACE, busy_world, key, used

pytestmark = pytest.mark.anyio

PAGES = 200
MAX_BLOCK = 0.05


@pytest.mark.process
async def test_a_scan_does_not_block_the_event_loop() -> None:
    """Between two turns of the loop it computes for less than 50 ms, with 20,000 sessions read."""
    gc.collect()
    gc.freeze()  # what other tests hold is more than the exporter does, and no part of this
    with fast_cloud(pages=PAGES) as endpoint:
        async with client(endpoint) as reader, watched() as lag:
            await read_alone(reader, PAGES)
    # Not the wall clock: on a machine that is shared, others' work would count as ours.
    assert lag.cpu < MAX_BLOCK, f"{PAGES * PAGE_SIZE} sessions"


@dataclass(frozen=True)
class Held:
    """What the process holds at a moment."""

    files: int
    tasks: int
    threads: int
    objects: int

    @classmethod
    def now(cls) -> "Held":
        """Count what is held, garbage aside."""
        gc.collect()
        return cls(
            len(os.listdir("/proc/self/fd")),  # noqa: PTH208  only their number
            len(asyncio.all_tasks()),
            threading.active_count(),
            len(gc.get_objects()),
        )


async def go_through(h: Harness, polls: int) -> None:
    """Poll everything so often, and meet a fault each second time; usage grows meanwhile."""
    kinds = list(LATER_KINDS.values())
    for number in range(polls):
        h.world.change_session(key("livy-a"), usage=used(number))
        h.cloud.faults.clear()
        if number % 2:
            kind = kinds[number // 2 % len(kinds)]
            action = ACTIONS[kind.sources[0]]
            h.cloud.faults.add(kind.effect, action=action, workspace_id=WORKSPACE)
        await h.poll()
        # Not parsed: the tests keep each line that they have parsed.
        assert (await h.get("/metrics", PROMETHEUS)).is_success
        h.clock.advance(30)
    h.cloud.calls.clear()


async def measured(polls: int) -> tuple[Held, Held]:
    """Return what is held after a first round of faults, and so many polls later."""
    async with Harness(busy_world(), api=SETTINGS) as h:
        await go_through(h, 2 * len(LATER_KINDS))
        before = Held.now()
        await go_through(h, polls)
        return before, Held.now()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts files in /proc")  # noqa: PTH112
@pytest.mark.parametrize(
    "polls",
    [
        2 * len(LATER_KINDS),
        pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
async def test_polls_leave_nothing_behind(polls: int) -> None:
    """However often everything was polled, and whatever went wrong: nothing grows with it."""
    before, after = await measured(polls)
    assert after.files <= before.files + 2
    assert after.tasks <= before.tasks + 2
    assert after.threads <= before.threads + 2
    assert after.objects < before.objects * 1.01
