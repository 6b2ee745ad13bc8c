"""How long no counters are on any page when the owner of a ledger ends, and during an update.

Three replicas with a PostgreSQL on the loopback; the pages are read about every 0.1 s.
"""

import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from tests.bench.rows import Row
from tests.support import postgres
from tests.support.replicas import Fleet, replicas

_TIMES = 5
_DURATIONS = (10.0, 30.0)


def rows() -> Iterator[Row]:
    """Measure at the shortest duration of a lease, and at the default."""
    for duration in _DURATIONS:
        yield from asyncio.run(_measured(duration))


async def _measured(duration: float) -> Sequence[Row]:
    with tempfile.TemporaryDirectory() as folder, postgres.private() as cluster:
        async with replicas(Path(folder), cluster.schema(), duration=duration) as fleet:
            fleet.life.goes_on = True
            return [row async for row in _rows(fleet, duration)]


async def _rows(fleet: Fleet, duration: float) -> AsyncIterator[Row]:
    for what, end, bound in (
        ("SIGKILL", fleet.kill, duration * 4 / 3),
        ("SIGTERM", fleet.stop, 5),
    ):
        seconds = []
        for _ in range(_TIMES):
            await fleet.all_stand()
            seconds.append(await end())
        yield Row(
            f"{what} of the owner to the next one's counters, lease.duration {duration:g}s",
            f"{statistics.median(seconds):.1f} s, at most {max(seconds):.1f} s",
            f"{_TIMES} times; allowed are {bound:.1f} s and a scrape",
        )
    await fleet.all_stand()
    fleet.watch.away.clear()
    await fleet.roll()
    gaps = fleet.watch.away
    yield Row(
        f"update of three replicas, one by one, lease.duration {duration:g}s: without counters",
        f"{sum(gaps):.1f} s in {len(gaps)} gaps",
        f"the longest is {max(gaps, default=0):.1f} s",
    )
