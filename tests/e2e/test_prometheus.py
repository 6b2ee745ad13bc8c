"""A real Prometheus scrapes the real process, and what it knows in the end is the truth."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.demo import (
    DEMO_KEY_ID,
    DEMO_KEY_SECRET,
    NANO,
    Cloud,
    Fleet,
    SimulatedSession,
    SimulatedUsage,
    World,
)
from exporter.demo import serve as serve_cloud
from tests.support.harness import targets_of
from tests.support.processes import CREDENTIAL, EXPORTER, free_port, start
from tests.support.prometheus import Prometheus, prometheus
from tests.support.promtool import PREFIX
from tests.support.worlds import used

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(150)]

SPEED = 1200.0
"""A session lives 6 minutes to 2.5 hours, so that here it lives 0.3 to 7.5 s."""
LIFE_SECONDS = 15.0
HOLD_SECONDS = 2

ODD = 'q"\\\x00\x1b\x85\r\n队'
"""The name of a queue and of a user."""
ODD_AS_LABEL = 'q"\\\\x00\\x1b\\x85\\x0d\n队'
"""The same with control characters as escapes."""


class Puppet:
    """A fleet that lives only while it is told to."""

    def __init__(self, world: World) -> None:
        self._fleet = Fleet(world, speed=SPEED, start=time.time())
        self.lives = False

    def tick(self, now: float) -> None:
        """Bring the world to a time, or leave it as it is."""
        if self.lives:
            self._fleet.advance(now)


async def test_prometheus_ends_up_with_the_truth(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """States, totals and the sum of all visible increases equal what the cloud has delivered."""
    world = World()
    puppet = Puppet(world)
    keys = {DEMO_KEY_ID: DEMO_KEY_SECRET}
    cloud = Cloud(world, clock=time.time, access_keys=keys, tick=puppet.tick)
    port = free_port()
    async with serve_cloud(cloud.app) as endpoint:
        command = [
            *EXPORTER,
            f"--targets={json.dumps(targets_of(world))}",
            f"--api.endpoint={endpoint}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--ledger.birth-hold={HOLD_SECONDS}s",
            "--poll.interval=1s",
            "--api.max-requests-per-second=1000",
        ]
        async with (
            prometheus(real_tool("prometheus"), tmp_path / "p", f"127.0.0.1:{port}") as scraper,
            start(command, tmp_path / "e", CREDENTIAL) as process,
        ):
            await scraper.until(f"count({PREFIX}livy_cu_hours_total) > 2")
            first = cloud.delivered.by_queue(), cloud.delivered.by_proxy_user()
            puppet.lives = True
            world.put_session(born_with_usage(world))
            await asyncio.sleep(LIFE_SECONDS)
            puppet.lives = False
            await everything_is_scraped(scraper)
            await assert_states(scraper, cloud)
            await assert_usage(scraper, cloud, *first)
            assert await scraper.query("min_over_time(up[20s]) == 1")
            code, _ = await process.end()
    assert code == 0


def born_with_usage(world: World) -> SimulatedSession:
    """Make a session of a new queue and user, with usage from the first moment it is listed."""
    newest = next(iter(world.sessions()))
    return replace(
        newest,
        session_id="livy-born-later",
        create_time_ms=round(time.time() * 1000),
        queue=ODD,
        proxy_user=ODD,
        name=ODD,
        state="running",
        end_time_ms=None,
        usage=used(7.5),
    )


async def everything_is_scraped(scraper: Prometheus) -> None:
    """Wait until each target was polled, and what was held released, since the fleet froze."""
    polls = f'{PREFIX}exporter_polls_total{{source="livy_sessions"}}'
    found = await scraper.query(polls)
    # Three gateways, each polled about once a second.
    enough = float(found[0]["value"][1]) + 3 * (HOLD_SECONDS + 4)
    await scraper.until(f"{polls} >= {enough}")
    await scraper.until(f"{PREFIX}exporter_ledger_held_series == 0")


async def assert_states(scraper: Prometheus, cloud: Cloud) -> None:
    """Compare the states of all sessions and session clusters with the truth."""
    truth = cloud.truth()
    sessions = await scraper.values(
        "livy_sessions", "workspace_id", "livy_compute_id", "queue", "state"
    )
    clusters = await scraper.values("session_clusters", "workspace_id", "kind", "queue", "state")
    assert {key: count for key, count in sessions.items() if count} == {
        _labels(key): count for key, count in truth.sessions.items()
    }
    assert {key: count for key, count in clusters.items() if count} == {
        (*rest, _SPELLING.get(state, state.lower())): count
        for (*rest, state), count in truth.clusters.items()
    }


_SPELLING = {"NotStarted": "not_started"}


async def assert_usage(
    scraper: Prometheus,
    cloud: Cloud,
    queues: Mapping[Any, SimulatedUsage],
    users: Mapping[Any, SimulatedUsage],
) -> None:
    """Compare totals, and the increases since the first listing, with what was delivered."""
    for kind, label, delivered, at_first in (
        ("livy_", "queue", cloud.delivered.by_queue(), queues),
        ("livy_proxy_user_", "proxy_user", cloud.delivered.by_proxy_user(), users),
    ):
        for metric, figure in _FIGURES.items():
            labels = ("workspace_id", "livy_compute_id", label)
            totals = await scraper.values(f"{kind}{metric}_total", *labels)
            assert totals == _figures(delivered, figure)
            increases = await scraper.increases(f"{kind}{metric}_total", *labels)
            assert sum(increases.values()) > 0
            start_values = _figures(at_first, figure)
            assert increases == pytest.approx(
                {key: total - start_values.get(key, 0) for key, total in totals.items()}, abs=1e-9
            )


_FIGURES: Mapping[str, Callable[[SimulatedUsage], float]] = {
    "cu_hours": lambda usage: usage.nano_cu_hours / NANO,
    "vcore_seconds": lambda usage: usage.vcore_seconds,
    "mb_seconds": lambda usage: usage.mb_seconds,
}


def _figures(
    usages: Mapping[Any, SimulatedUsage], figure: Callable[[SimulatedUsage], float]
) -> dict[Any, float]:
    return {_labels(key): figure(usage) for key, usage in usages.items()}


def _labels(key: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(ODD_AS_LABEL if part == ODD else part or "" for part in key)
