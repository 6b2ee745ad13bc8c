"""From the start of the process to the first scrape that is answered."""

import asyncio
import statistics
import time
from collections.abc import Iterator

from tests.bench.daemons import daemon, scrape
from tests.bench.rows import Row

RUNS = 7


def rows() -> Iterator[Row]:
    """Measure several starts."""
    seconds = sorted(asyncio.run(_start()) for _ in range(RUNS))
    yield Row(
        "process start to first answered scrape",
        f"{statistics.median(seconds):.2f} s",
        f"median of {RUNS}; {seconds[0]:.2f} to {seconds[-1]:.2f} s",
    )


async def _start() -> float:
    begin = time.monotonic()
    async with daemon() as (_, port):
        begin = time.monotonic()
        await scrape(port)
        return time.monotonic() - begin
