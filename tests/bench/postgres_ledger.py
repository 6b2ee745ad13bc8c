"""What polls cost with the ledger in PostgreSQL, against the same in SQLite, in one run."""

import asyncio
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

import httpx

from exporter.ledger import Postgres
from tests.bench.rows import Row
from tests.support import postgres
from tests.support.long_gateway import TOTAL, exporter, fast_cloud, poll

POLLS = 20


class _Cost(NamedTuple):
    """Seconds of a poll, and seconds of CPU of this process alone."""

    wall: float
    cpu: float


def rows() -> Iterator[Row]:
    """Measure a full scan, then polls that find nothing new, then polls that find something."""
    server = postgres.shared()
    with fast_cloud(50, 300) as endpoint:
        in_sqlite = asyncio.run(_polls(endpoint, None))
    with fast_cloud(50, 300) as endpoint:
        database = server.schema()
        in_postgres = asyncio.run(_polls(endpoint, Postgres(database.url, database.schema)))
    allowed = ("1.2 times the CPU, 2.0 times the time", "", "2.0 times the CPU")
    what = (f"full scan of {TOTAL:,} sessions", "idle poll", "poll with 50 of 300 sessions grown")
    for name, before, now, aim in zip(what, in_sqlite, in_postgres, allowed, strict=True):
        yield Row(
            f"{name}: SQLite, PostgreSQL, ratio",
            f"CPU {_compared(before.cpu, now.cpu)}; time {_compared(before.wall, now.wall)}",
            f"allowed: {aim}" if aim else "",
        )


def _compared(before: float, now: float) -> str:
    return f"{before * 1000:.1f} ms, {now * 1000:.1f} ms, {now / before:.2f}"


async def _polls(endpoint: str, ledger: Postgres | None) -> tuple[_Cost, _Cost, _Cost]:
    async with exporter(endpoint, ledger=ledger) as built, httpx.AsyncClient() as http:
        first = _Cost(*(await poll(built))[:2])
        idle = [_Cost(*(await poll(built))[:2]) for _ in range(POLLS)]
        short = []
        for _ in range(POLLS):
            await http.get(f"{endpoint}/advance")
            short.append(_Cost(*(await poll(built))[:2]))
    return first, _typical(idle), _typical(short)


def _typical(costs: list[_Cost]) -> _Cost:
    return _Cost(median(cost.wall for cost in costs), median(cost.cpu for cost in costs))
