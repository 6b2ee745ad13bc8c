"""An exporter that is killed again and again, the life of its cloud, and a reader of its page."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from exporter.demo import (
    DEMO_KEY_ID,
    DEMO_KEY_SECRET,
    NANO,
    Cloud,
    Fleet,
    HistoryOrder,
    SimulatedSession,
    World,
    serve,
)
from exporter.demo import SimulatedUsage as Used
from tests.support.forked import start
from tests.support.harness import NO_TLS, PROMETHEUS, targets_of
from tests.support.pages import Page
from tests.support.processes import CREDENTIAL, EXPORTER, Process, free_port

POLL = "1s"

LONGEST_GAP = 4.0
"""Seconds without a complete poll after which a life may not end before there was one.

At 60-fold speed an estimate stands for 10 s before it is revised, so each highest figure that was
delivered is delivered again before it is gone: what a killed process did not commit is not lost.
"""

COUNTED = ("livy_", "session_cluster_state_entries_total", "exporter_sessions_readmitted_total")
"""How the names of the ledger's counters begin; others start at 0 in each life, as they should."""


@dataclass
class Reader:
    """Scrapes the page over all lives; no counter may ever be lower than before."""

    url: str
    headers: Mapping[str, str]
    highest: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(default_factory=dict)
    page: Page | None = None
    pages: int = 0
    falls: list[str] = field(default_factory=list)

    async def read(self, http: httpx.AsyncClient) -> None:
        """Scrape once, if there is anybody to answer."""
        self.page = None
        with suppress(httpx.HTTPError):
            response = await http.get(f"{self.url}/metrics", headers=self.headers)
            self.page = Page.from_text(response.text)
            self.pages += 1
            self._check(self.page)

    async def read_on(self) -> None:
        """Scrape until cancelled."""
        async with httpx.AsyncClient(timeout=2, verify=NO_TLS) as http:
            while True:
                await self.read(http)
                await asyncio.sleep(0.1)

    def _check(self, page: Page) -> None:
        for sample in page.samples:
            name = sample.name.removeprefix("emr_serverless_spark_")
            if name.startswith(COUNTED) and name.endswith("_total"):
                series = name, frozenset(sample.labels.items())
                before = self.highest.get(series, 0.0)
                if sample.value < before:
                    self.falls.append(f"{series}: {before} -> {sample.value}")
                self.highest[series] = sample.value

    def polled_at(self) -> float:
        """Return when every target was last polled completely, 0 where one was not."""
        if self.page is None:
            return 0.0
        up = self.page.values("exporter_target_last_success_timestamp_seconds")
        targets = self.page.values("exporter_target_stale_after_seconds")
        return min(up.values(), default=0.0) if len(up) == len(targets) else 0.0


class Scene:
    """A cloud in which life goes on, an exporter that is killed, and a reader that watches."""

    def __init__(
        self,
        folder: Path,
        endpoint: str,
        cloud: Cloud,
        seed: int,
        *,
        hold: str = "400ms",
        headers: Mapping[str, str] = PROMETHEUS,
    ) -> None:
        self.folder = folder
        self.cloud = cloud
        self.chance = random.Random(seed)
        self.port = free_port()
        self.reader = Reader(f"http://127.0.0.1:{self.port}", headers)
        self.last_polled = 0.0
        self.born = 0
        self._command = [
            *EXPORTER,
            "serve",
            f"--targets={json.dumps(targets_of(cloud.world))}",
            f"--api.endpoint={endpoint}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--poll.interval={POLL}",
            f"--ledger.birth-hold={hold}",
            f"--ledger.path={folder / 'ledger.db'}",
            "--api.max-requests-per-second=500",
        ]

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Process]:
        """Run the exporter; it is killed at the end of the block."""
        async with start(self._command, self.folder, CREDENTIAL) as process:
            yield process
            self.last_polled = max(self.last_polled, self.reader.polled_at())
            assert process.running.returncode is None, process.output.decode()
            process.running.kill()
            await process.running.wait()

    async def until(self, condition: Callable[[], bool], process: Process) -> None:
        """Wait for something that the reader sees."""
        async with asyncio.timeout(30):
            while not condition():
                assert process.running.returncode is None, process.output.decode()
                await asyncio.sleep(0.02)

    async def live_and_die(self) -> None:
        """Live for a while that nobody foresees, and be killed."""
        async with self.life() as process, asyncio.timeout(120):
            until = time.monotonic() + self.chance.uniform(0.2, 1.8)
            while time.monotonic() < until or self._is_starving():
                assert process.running.returncode is None, process.output.decode()
                self.last_polled = max(self.last_polled, self.reader.polled_at())
                await asyncio.sleep(0.01)

    def _is_starving(self) -> bool:
        return time.time() - max(self.last_polled, self.reader.polled_at()) > LONGEST_GAP

    async def polls_all(self, process: Process) -> None:
        """Wait until everything was polled completely, from now on."""
        now = time.time()
        await self.until(lambda: self.reader.polled_at() > now + 1, process)

    def bear(self) -> None:
        """Let a session have lived, wholly unseen."""
        self.born += 1
        gateway = self.chance.choice(self.cloud.world.gateways())
        seconds = self.chance.randint(1, 10_000)
        row = SimulatedSession(
            *gateway.key,
            f"unseen-{self.born}",
            int(time.time() * 1000),
            queue=self.chance.choice((gateway.queue, f"queue-{self.born % 5}")),
            state="terminated",
            usage=Used(seconds * NANO // 3600, seconds, 4096 * seconds),
        )
        self.cloud.world.put_session(row)

    def trim(self) -> None:
        """Let old sessions leave the history."""
        for gateway in self.cloud.world.gateways():
            if len(self.cloud.world.history(*gateway.key)) > 60:
                self.cloud.world.trim_oldest(*gateway.key, self.chance.randint(0, 3))

    def drift(self) -> None:
        """Let something happen between two pages."""
        if self.chance.random() < 0.01:
            self.bear()
        if self.chance.random() < 0.01:
            self.trim()


class Life:
    """Brings the world to the time, until it is stopped."""

    def __init__(self, world: World, speed: float) -> None:
        self.goes_on = True
        self._fleet = Fleet(world, speed=speed, start=time.time())

    def advance(self, now: float) -> None:
        """Let happen what happens until now."""
        if self.goes_on:
            self._fleet.advance(now)


@asynccontextmanager
async def scene(
    folder: Path,
    order: HistoryOrder,
    seed: int,
    **options: Any,  # noqa: ANN401  of the scene
) -> AsyncIterator[tuple[Scene, Life]]:
    """Run a cloud, its life and a reader."""
    world = World(order=order, seed=seed)
    life = Life(world, speed=60)
    keys = {DEMO_KEY_ID: DEMO_KEY_SECRET}
    cloud = Cloud(world, clock=time.time, access_keys=keys, tick=life.advance)
    async with serve(cloud.app) as endpoint:
        made = Scene(folder, endpoint, cloud, seed, **options)
        watching = asyncio.create_task(made.reader.read_on())
        try:
            yield made, life
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


def true_totals(cloud: Cloud) -> dict[str, dict[tuple[str, str, str], float]]:
    """Return what the page has to say: the highest figures that were delivered, added up."""
    queues = cloud.delivered.by_queue()
    users = {(w, g, user or ""): u for (w, g, user), u in cloud.delivered.by_proxy_user().items()}
    return {
        "livy_cu_hours_total": {k: u.nano_cu_hours / NANO for k, u in queues.items()},
        "livy_vcore_seconds_total": {k: u.vcore_seconds for k, u in queues.items()},
        "livy_mb_seconds_total": {k: u.mb_seconds for k, u in queues.items()},
        "livy_proxy_user_cu_hours_total": {k: u.nano_cu_hours / NANO for k, u in users.items()},
        "livy_proxy_user_vcore_seconds_total": {k: u.vcore_seconds for k, u in users.items()},
        "livy_proxy_user_mb_seconds_total": {k: u.mb_seconds for k, u in users.items()},
    }
