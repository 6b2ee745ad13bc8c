"""Long histories in one region: all are read in the end, and hold up nobody meanwhile."""

import asyncio

import pytest

from exporter.demo import (
    SimulatedCluster,
    SimulatedGateway,
    SimulatedSession,
    SimulatedWorkspace,
    World,
)
from exporter.model import Source
from tests.support.simulation import LiveHarness, simulated
from tests.support.worlds import START_MS, WORKSPACE

GATEWAYS = 3
INTERVAL = 30.0


def long_world(rows: int) -> World:
    """Make a world with three long histories, and one session cluster."""
    world = World()
    world.put_workspace(SimulatedWorkspace(WORKSPACE))
    world.put_cluster(SimulatedCluster(WORKSPACE, "sc-1"))
    for number in range(GATEWAYS):
        compute_id = f"lc-{number}"
        world.put_gateway(SimulatedGateway(WORKSPACE, compute_id))
        for row in range(rows):
            created = START_MS - 86_400_000 - 60_000 * (rows - row)
            ended = SimulatedSession(
                WORKSPACE, compute_id, f"livy-{row}", created, state="terminated"
            )
            world.put_session(ended)
    return world


def read_first(rows: int, rate: float, seconds: float) -> None:
    """Let three first scans of `rows` each go on, at so many requests a second."""

    async def live() -> None:
        async with LiveHarness(long_world(rows), api={"max_requests_per_second": rate}) as h:
            living = asyncio.create_task(h.live(seconds, INTERVAL))
            shown = 0
            await h.clock.sleep(5)
            while not living.done():
                page = h.peek()
                assert page.value("session_clusters", state="running") == 1
                assert page.value("exporter_target_up", source="session_clusters") == 1
                shown += page.has("exporter_livy_walk_pages")
                await h.clock.sleep(20)
            await living
            page = h.peek()
            for number in range(GATEWAYS):
                labels = {"livy_compute_id": f"lc-{number}"}
                assert page.value("livy_sessions", state="terminated", **labels) == rows
                assert page.value("livy_sessions_started_total", **labels) == rows
                assert page.value("exporter_target_last_poll_requests", **labels) <= 2
            assert shown > 0
            clusters = [each for each in h.durations if each.source is Source.SESSION_CLUSTERS]
            assert max(max(h.durations[each]) for each in clusters) < INTERVAL / 3
            # What scans may take is half of the budget.
            scanning = max(max(times) for times in h.durations.values())
            assert scanning >= GATEWAYS * rows / 100 / (rate / 2) * 0.8

    with simulated() as runner:
        runner.run(live())


def test_three_first_scans_finish_and_delay_no_other_target() -> None:
    """Session clusters are never stale while three histories share half of the budget."""
    read_first(3000, rate=1.0, seconds=400)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_three_histories_of_100_000_sessions_at_the_default_budget() -> None:
    """The same at full size: ten minutes of simulated time."""
    read_first(100_000, rate=10.0, seconds=900)
