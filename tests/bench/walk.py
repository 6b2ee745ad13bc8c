"""Complete walks of a long history, held against what no client could do without."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from tests.bench.gateway import PAGES, TOTAL, exporter, fast_cloud, poll, read_alone
from tests.bench.rows import Row
from tests.lag import Lag, watched

_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class _Yardstick:
    """Seconds of CPU: of `json.loads` of all pages, and of as many bare httpx requests."""

    decoding: float
    requests: float

    @property
    def allowed(self) -> float:
        return 4 * self.decoding + self.requests

    def __str__(self) -> str:
        return (
            f"allowed are {self.allowed:.1f} s: 4 times json.loads ({self.decoding:.2f} s)"
            f" and {PAGES:,} bare httpx requests ({self.requests:.2f} s)"
        )


def rows() -> Iterator[Row]:
    """Measure walks: alone, the first one with all that it stores, and a later one."""
    with fast_cloud() as endpoint:
        yield from asyncio.run(_rows(endpoint))


async def _rows(endpoint: str) -> list[Row]:
    yardsticks = [await _measured(endpoint) for _ in range(_ROUNDS)]
    yardstick = min(yardsticks, key=lambda each: each.allowed)
    found = []
    async with exporter(endpoint, full_walk_interval="1s") as built:
        for name in ("read, counted and stored, the first time", "read and counted, later on"):
            async with watched() as lag:
                wall, cpu, requests = await poll(built)
            assert requests > PAGES
            found.append(_row(f"walk of {TOTAL:,} sessions, {name}", wall, cpu, lag, yardstick))
            await asyncio.sleep(1)
    async with watched() as lag:
        wall, cpu = await read_alone(endpoint)
    return [_row(f"walk of {TOTAL:,} sessions, read alone", wall, cpu, lag, yardstick), *found]


def _row(what: str, wall: float, cpu: float, lag: Lag, yardstick: _Yardstick) -> Row:
    return Row(
        what,
        f"{cpu / yardstick.allowed:.2f} of the CPU that is allowed",
        f"{cpu:.1f} s, {PAGES / wall:.0f} pages/s; {yardstick};"
        f" the event loop was blocked for {lag.wall * 1000:.0f} ms at most",
    )


async def _measured(endpoint: str) -> _Yardstick:
    async with httpx.AsyncClient() as http:
        begin = time.process_time()
        bodies = [(await http.get(f"{endpoint}/?pageNum={n + 1}")).content for n in range(PAGES)]
        requests = time.process_time() - begin
    begin = time.process_time()
    for body in bodies:
        json.loads(body)
    return _Yardstick(time.process_time() - begin, requests)
