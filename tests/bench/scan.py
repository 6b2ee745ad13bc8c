"""Full scans of a long history, held against what no client could do without."""

import asyncio
import json
import time
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass

import httpx

from exporter.app.build import Exporter
from tests.bench.rows import Row
from tests.support.lag import Lag, watched
from tests.support.long_gateway import PAGES, TOTAL, client, exporter, fast_cloud, poll, read_alone

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
            f"4 times json.loads ({self.decoding:.2f} s)"
            f" and {PAGES:,} bare httpx requests ({self.requests:.2f} s)"
        )


@dataclass(frozen=True, slots=True)
class _Scan:
    """One scan; `cpu` is in seconds, `share` that of the CPU that is allowed."""

    what: str
    wall: float
    cpu: float
    share: float
    lag: Lag


def rows() -> Iterator[Row]:
    """Measure scans: alone, the first one with all that it stores, and a later one."""
    with fast_cloud() as endpoint:
        rounds = [asyncio.run(_round(endpoint)) for _ in range(_ROUNDS)]
    yardsticks = [yardstick for yardstick, _ in rounds]
    for scans in zip(*(scans for _, scans in rounds), strict=True):
        scan = sorted(scans, key=lambda each: each.share)[_ROUNDS // 2]
        yield Row(
            f"scan of {TOTAL:,} sessions, {scan.what}",
            f"{scan.share:.2f} of the CPU that is allowed",
            f"{scan.cpu:.1f} s, {PAGES / scan.wall:.0f} pages/s;"
            f" the event loop was blocked for {scan.lag.wall * 1000:.0f} ms at most",
        )
    yardstick = sorted(yardsticks, key=lambda each: each.allowed)[_ROUNDS // 2]
    yield Row("CPU that is allowed for a scan", f"{yardstick.allowed:.1f} s", str(yardstick))


async def _round(endpoint: str) -> tuple[_Yardstick, list[_Scan]]:
    """Measure all of it, one thing soon after the other: machines are not always equally fast."""
    yardstick = await _measured(endpoint)
    scans = []

    async def add(what: str, scan: Awaitable[tuple[float, float]]) -> None:
        async with watched() as lag:
            wall, cpu = await scan
        scans.append(_Scan(what, wall, cpu, cpu / yardstick.allowed, lag))

    async with client(endpoint) as reader:
        await add("read alone", read_alone(reader))
    async with exporter(endpoint, full_walk_interval="1s") as built:
        await add("read, counted and stored, the first time", _complete_poll(built))
        await asyncio.sleep(1)
        await add("read and counted, later on", _complete_poll(built))
    return yardstick, scans


async def _complete_poll(built: Exporter) -> tuple[float, float]:
    wall, cpu, requests = await poll(built)
    assert requests > PAGES
    return wall, cpu


async def _measured(endpoint: str) -> _Yardstick:
    async with httpx.AsyncClient() as http:
        begin = time.process_time()
        bodies = [(await http.get(f"{endpoint}/?pageNum={n + 1}")).content for n in range(PAGES)]
        requests = time.process_time() - begin
    begin = time.process_time()
    for body in bodies:
        json.loads(body)
    return _Yardstick(time.process_time() - begin, requests)
