"""All faults at random, for long in simulated time; after that, everything equals the truth."""

import asyncio
import random
from collections import Counter

import pytest

from exporter.demo import (
    SimulatedCluster,
    SimulatedGateway,
    SimulatedSession,
    SimulatedUsage,
    SimulatedWorkspace,
    World,
    survey,
)
from tests.faults.kinds import ACTIONS, LATER_KINDS, MAX_BYTES
from tests.support.pages import Page
from tests.support.simulation import LiveHarness, simulated

INTERVAL = 60.0
QUEUES = ("dev", "prod")
USERS = ("ann", "bob", None)
"""Who runs sessions; some sessions name nobody."""


def small_world() -> World:
    """Make two workspaces with a gateway each."""
    world = World()
    for name in ("a", "b"):
        world.put_workspace(SimulatedWorkspace(f"w-{name}"))
        world.put_gateway(SimulatedGateway(f"w-{name}", f"lc-{name}"))
        for number in range(3):
            world.put_cluster(SimulatedCluster(f"w-{name}", f"sc-{name}{number}", queue="dev"))
    return world


class Life:
    """Lets sessions and clusters come, work and go."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance
        self._number = 0

    def go_on(self, now: float) -> None:
        """Let a minute pass."""
        for session in self._world.sessions():
            if session.state == "running":
                more = SimulatedUsage(*(self._chance.randrange(10**9) for _ in range(3)))
                state = self._chance.choices(("running", "terminated", "error"), (8, 1, 1))[0]
                usage = session.usage + more
                self._world.change_session(session.key, usage=usage, state=state)
        for name in ("a", "b"):
            for _ in range(self._chance.randrange(4)):
                self._begin(f"w-{name}", f"lc-{name}", now)
        cluster = self._chance.choice(self._world.clusters())
        state = self._chance.choice(("Running", "Stopped", "Error", "Starting"))
        self._world.change_cluster(cluster.workspace_id, cluster.session_cluster_id, state=state)

    def _begin(self, workspace_id: str, compute_id: str, now: float) -> None:
        self._number += 1
        self._world.put_session(
            SimulatedSession(
                workspace_id,
                compute_id,
                f"livy-{self._number}",
                int(now * 1000) - self._chance.randrange(1000),
                queue=self._chance.choice(QUEUES),
                proxy_user=self._chance.choice(USERS),
            )
        )


async def rage(h: LiveHarness, chance: random.Random, seconds: float) -> None:
    """Plant faults and take them out again, and let life go on, for so long."""
    life = Life(h.world, chance)
    end = h.clock.monotonic() + seconds
    while h.clock.monotonic() < end:
        life.go_on(h.clock.now())
        if chance.random() < 0.5:
            h.cloud.faults.clear()
        kind = LATER_KINDS[chance.choice(sorted(LATER_KINDS))]
        h.cloud.faults.add(
            kind.effect,
            action=ACTIONS[chance.choice(kind.sources)],
            workspace_id=chance.choice((None, "w-a", "w-b")),
            page=chance.choice((None, 1, 2)),
            skip=chance.randrange(3),
            times=chance.choice((None, 1, 5)),
            probability=chance.choice((0.2, 0.8, 1.0)),
        )
        await h.clock.sleep(60)


class Watch:
    """Looks at every page that is published on the way: nothing wrong may ever be on it."""

    def __init__(self) -> None:
        self._highest: Counter[tuple[str, frozenset[tuple[str, str]]]] = Counter()
        self.failures = 0

    def look(self, page: Page) -> None:
        """Check that no counter has fallen, and that what fails says why."""
        for sample in page.samples:
            if sample.name.endswith("_total"):
                series = (sample.name, frozenset(sample.labels.items()))
                assert sample.value >= self._highest[series], series
                self._highest[series] = sample.value  # type: ignore[assignment]  # counts floats
        ups = page.values("exporter_target_up", "source", "workspace_id")
        errors = page.values("exporter_target_error_info", "source", "workspace_id", "reason")
        assert {target for target, up in ups.items() if not up} == {key[:2] for key in errors}
        assert "internal" not in {reason for *_, reason in errors}
        self.failures += len(errors)


@pytest.mark.parametrize("seed", range(2))
def test_after_the_storm_everything_equals_the_truth(seed: int) -> None:
    """Each CU-hour that was ever delivered is counted once, and the states are those of now."""
    storm(seed, minutes=45)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 120))
def test_after_a_long_storm_everything_equals_the_truth(seed: int) -> None:
    """The same after half a day."""
    storm(seed, minutes=720)


def storm(seed: int, minutes: int) -> None:
    """Poll through a storm, and compare with the truth after it."""

    async def main() -> None:
        chance = random.Random(seed)
        api = {"max_response_bytes": MAX_BYTES, "max_requests_per_second": 100}
        async with LiveHarness(small_world(), api=api) as h:
            watch = Watch()

            async def look() -> None:
                for _ in range(minutes):
                    await h.clock.sleep(60)
                    watch.look(h.peek())

            await asyncio.gather(
                rage(h, chance, minutes * 60), look(), h.live(minutes * 60, INTERVAL)
            )
            h.cloud.faults.clear()
            await h.clock.sleep(900)
            await h.poll()
            await h.poll()
            assert_truth(h)
            assert watch.failures > minutes / 3

    with simulated() as runner:
        runner.run(main())


def assert_truth(h: LiveHarness) -> None:
    """Compare the page with what the cloud has delivered, and with the world."""
    page, truth = h.peek(), survey(h.world)
    assert set(page.values("exporter_target_up").values()) == {1}
    for metric, figure, unit in (
        ("cu_hours", "nano_cu_hours", 1e9),
        ("vcore_seconds", "vcore_seconds", 1),
        ("mb_seconds", "mb_seconds", 1),
    ):
        by_queue = page.values(f"livy_{metric}_total", "workspace_id", "livy_compute_id", "queue")
        assert by_queue == {
            key: pytest.approx(getattr(usage, figure) / unit, abs=1e-9)
            for key, usage in h.cloud.delivered.by_queue().items()
        }
    clusters = page.values("session_clusters", "workspace_id", "kind", "queue", "state")
    assert {key: count for key, count in clusters.items() if count} == {
        (*key[:3], key[3].lower()): count for key, count in truth.clusters.items()
    }
    labels = ("workspace_id", "livy_compute_id", "queue", "state")
    sessions = page.values("livy_sessions", *labels)
    assert {key: count for key, count in sessions.items() if count} == dict(truth.sessions)
    ended = sum(page.values("livy_sessions_ended_total", *labels).values())
    started = sum(page.values("livy_sessions_started_total", *labels[:3]).values())
    assert 0 < ended <= started
