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
SCANS = 3


class _Cost(NamedTuple):
    """Seconds of a poll, and seconds of CPU of this process alone."""

    wall: float
    cpu: float


def rows() -> Iterator[Row]:
    """Measure a full scan, then polls that find nothing new, then polls that find something."""
    server = postgres.shared()
    in_sqlite, in_postgres = [], []
    for _ in range(SCANS):  # in turn, since other programs may use the machine meanwhile
        database = server.schema()
        in_sqlite.append(_measured(None))
        in_postgres.append(_measured(Postgres(database.url, database.schema)))
    allowed = ("1.2 times the CPU, 2.0 times the time", "", "2.0 times the CPU")
    what = (f"full scan of {TOTAL:,} sessions", "idle poll", "poll with 50 of 300 sessions grown")
    for name, before, now, aim in zip(
        what, _medians(in_sqlite), _medians(in_postgres), allowed, strict=True
    ):
        yield Row(
            f"{name}: SQLite, PostgreSQL, ratio",
            f"CPU {_compared(before.cpu, now.cpu)}; time {_compared(before.wall, now.wall)}",
            f"allowed: {aim}" if aim else "",
        )


def _compared(before: float, now: float) -> str:
    return f"{before * 1000:.1f} ms, {now * 1000:.1f} ms, {now / before:.2f}"


def _measured(ledger: Postgres | None) -> tuple[_Cost, ...]:
    with fast_cloud(50, 300) as endpoint:
        return asyncio.run(_polls(endpoint, ledger))


def _medians(runs: list[tuple[_Cost, ...]]) -> list[_Cost]:
    return [_typical([*costs]) for costs in zip(*runs, strict=True)]


async def _polls(endpoint: str, ledger: Postgres | None) -> tuple[_Cost, ...]:
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
