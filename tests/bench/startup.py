"""From the start of the process to the first scrape that is answered."""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from tests.bench.daemons import daemon, scrape
from tests.bench.rows import Row

RUNS = 7

_IMPORT = """
import json, time, exporter.app
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
before, begin = resident(), time.process_time()
import psycopg
print(json.dumps([time.process_time() - begin, resident() - before]))
"""


def rows() -> Iterator[Row]:
    """Measure several starts."""
    starts = sorted(asyncio.run(_start()) for _ in range(RUNS))
    yield Row(
        "process start to first answered scrape",
        f"{statistics.median(starts):.2f} s",
        f"median of {RUNS}; {starts[0]:.2f} to {starts[-1]:.2f} s",
    )
    figures = [_import() for _ in range(RUNS)]
    seconds, grown = (statistics.median(column) for column in zip(*figures, strict=True))
    yield Row(
        "psycopg, imported where ledger.url is set",
        f"{seconds * 1000:.0f} ms, {grown / 1e6:.1f} MB",
        f"median of {RUNS}, after all other imports; CPU; aims: 120 ms, 10 MB",
    )


def _import() -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", _IMPORT], check=True, stdout=subprocess.PIPE)
    seconds, grown = json.loads(done.stdout)
    return seconds, grown


async def _start() -> float:
    begin = time.monotonic()
    async with daemon() as (_, port):
        begin = time.monotonic()
        await scrape(port)
        return time.monotonic() - begin
