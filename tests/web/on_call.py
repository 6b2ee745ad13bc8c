"""States of an exporter for which somebody is paged, each ten minutes old."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from exporter.api.credentials import Load, VendorCredentials
from exporter.demo import faults
from tests.support.harness import Harness, ManualClock
from tests.support.worlds import WHOLE_REGION, busy_world, empty_world, key, session

AGE = 600
"""Seconds for which each state has lasted."""


def _no_chain(_role_arn: str) -> Load:
    raise LookupError("nothing was found")


async def _last(h: Harness) -> None:
    """Let the state last for `AGE`, with two polls a minute."""
    for _ in range(AGE // 30):
        await h.tick(30)
        await h.discover_and_poll()


@asynccontextmanager
async def well() -> AsyncIterator[Harness]:
    """Run an exporter without problems."""
    world = empty_world()
    for number in range(8):
        world.put_session(session(f"livy-{number}", 1.5, name=f"nightly-{number}"))
    async with Harness(world) as h:
        await h.poll()
        yield h


@asynccontextmanager
async def nothing_known() -> AsyncIterator[Harness]:
    """Run an exporter before its first discovery."""
    async with Harness(busy_world(), targets=WHOLE_REGION) as h:
        yield h


@asynccontextmanager
async def no_credential() -> AsyncIterator[Harness]:
    """Run an exporter that finds no credential."""
    clock = ManualClock()
    credentials = VendorCredentials(clock, connect=_no_chain)
    world = busy_world()
    async with Harness(world, clock=clock, targets=WHOLE_REGION, credentials=credentials) as h:
        await h.discover()
        await _last(h)
        yield h


@asynccontextmanager
async def refused() -> AsyncIterator[Harness]:
    """Run an exporter without permission for one of its targets."""
    world = empty_world()
    async with Harness(world) as h:
        await h.poll()
        h.cloud.faults.add(faults.FORBIDDEN, action="ListLivyComputeSessions")
        await h.poll()
        await _last(h)
        yield h


@asynccontextmanager
async def without_ledger(folder: Path) -> AsyncIterator[Harness]:
    """Run an exporter whose ledger file was removed while it ran."""
    path = folder / "ledger.db"
    world = empty_world()
    world.put_session(session("livy-a", 1))
    async with Harness(world, ledger=path) as h:
        await h.poll()
        path.rename(folder / "elsewhere.db")
        world.put_session(session("livy-b", 1))
        await h.poll()
        await _last(h)
        yield h


@asynccontextmanager
async def failed_sessions() -> AsyncIterator[Harness]:
    """Run an exporter that saw five of eight sessions fail."""
    world = empty_world()
    for number in range(8):
        world.put_session(session(f"livy-{number}", 1.5, name=f"nightly-{number}"))
    async with Harness(world) as h:
        await h.poll()
        h.clock.advance(30)
        ended = int(h.clock.now() * 1000)
        for number in range(8):
            state = "error" if number < 5 else "terminated"
            info = "ExecutorLostFailure: the node is out of disk space" if number < 5 else ""
            world.change_session(key(f"livy-{number}"), state=state, info=info, end_time_ms=ended)
        await h.poll()
        await _last(h)
        yield h
