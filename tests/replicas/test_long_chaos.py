"""What happens to replicas and their database by chance, for an hour."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.replicas.truth import assert_prometheus_saw_the_truth, assert_the_truth
from tests.support import postgres
from tests.support.killed_exporter import true_totals
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import Cluster
from tests.support.prometheus import prometheus
from tests.support.replicas import Fleet, replicas

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.process, pytest.mark.soak]

RECORDED = "ledger_queue:emr_serverless_spark_livy_cu_hours_total:max"

ROUNDS = 100
"""Of each of the two tests."""

Event = Callable[[], Awaitable[object]]


class Events:
    """All that may happen to a fleet."""

    def __init__(self, fleet: Fleet, cluster: Cluster, seed: int, stack: ExitStack) -> None:
        self.chance = random.Random(seed)
        self.fleet = fleet
        self.cluster = cluster
        self.stack = stack
        self.log: list[str] = []
        self.to_replicas: tuple[Event, ...] = (
            fleet.pause,
            fleet.pause_writer,
            fleet.kill,
            fleet.stop,
            fleet.cut,
            self.cut_off_from_server,
            self.cut_off_from_client,
            self.blink,
            fleet.roll,
        )
        self.to_database: tuple[Event, ...] = (self.restart_database, self.fail_over)

    async def happen(self, events: tuple[Event, ...], rounds: int) -> None:
        """Let one after the other happen; now and then the page is compared with the truth."""
        for number in range(rounds):
            event = self.chance.choice(events)
            self.log.append(getattr(event, "__name__", ""))
            self.fleet.life.goes_on = True
            await event()
            await self.fleet.all_stand()
            if number % 10 == 9:
                await self.fleet.comes_to_rest()
            said = self.fleet.problems() if number % 10 == 9 else self.fleet.faults()
            assert said == [], self.log

    async def cut_off_from_server(self) -> None:
        """Let nothing reach the database from its owner; its answers do."""
        await self.fleet.cut(to_client=False)

    async def cut_off_from_client(self) -> None:
        """Let all writes reach the database, and no answer the owner."""
        await self.fleet.cut(to_server=False)

    async def blink(self) -> None:
        """Close all connections, and refuse new ones for less, or more, than the trust."""
        for each in self.fleet.members.values():
            each.proxy.refuse()
        await asyncio.sleep(self.chance.uniform(0, 15))
        for each in self.fleet.members.values():
            each.proxy.resume()
        await self.fleet.polls_all()

    async def restart_database(self) -> None:
        """Let the server crash and come back."""
        await asyncio.to_thread(self.cluster.restart)
        await self.fleet.polls_all()

    async def fail_over(self) -> None:
        """Lose the server, and its last commits."""
        standby = await asyncio.to_thread(self.stack.enter_context, self.cluster.standby())
        await self.fleet.fail_over(self.cluster, standby, self.chance.uniform(0, 3))
        self.cluster = standby
        await self.fleet.polls_all()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Return what ends at the end of a test."""
    with ExitStack() as stack:
        yield stack


@pytest.mark.timeout(7200)
async def test_nothing_is_lost_whatever_happens_to_replicas_and_database(
    tmp_path: Path, real_tool: Callable[[str], Path], stack: ExitStack
) -> None:
    """Also by what Prometheus saw, with the rules that are shipped."""
    cluster = stack.enter_context(postgres.private())
    async with replicas(tmp_path / "e", cluster.schema()) as fleet:
        scraping = {"static_configs": [{"targets": fleet.addresses}]}
        async with prometheus(
            real_tool("prometheus"), tmp_path / "p", "", has_rules=True, scraping=scraping
        ) as scraper:
            at_first = true_totals(fleet.cloud)
            await scraper.until(f"{RECORDED} and timestamp({RECORDED}) > {time.time()}")
            events = Events(fleet, cluster, 1, stack)
            await events.happen((*events.to_replicas, *events.to_database), ROUNDS)
            await assert_the_truth(fleet)
            await assert_prometheus_saw_the_truth(scraper, at_first, fleet, during="3h")


@pytest.mark.timeout(7200)
async def test_nothing_is_lost_behind_pgbouncer(tmp_path: Path, stack: ExitStack) -> None:
    """A pooler keeps connections for others when a replica has gone."""
    cluster = stack.enter_context(postgres.private())
    port = stack.enter_context(pgbouncer(cluster))
    async with replicas(tmp_path, cluster.schema().at(port)) as fleet:
        events = Events(fleet, cluster, 2, stack)
        await events.happen((*events.to_replicas, events.restart_database), ROUNDS)
        await assert_the_truth(fleet)
