"""Answers that are empty or odd where an exporter begins: after a restart, and at first contact."""

from pathlib import Path

import pytest

from exporter.demo import SimulatedCluster, SimulatedGateway, SimulatedSession, TableName, World
from exporter.ledger import forget_gateway
from tests.support.harness import Harness, ManualClock
from tests.support.pages import Page
from tests.support.worlds import (
    GATEWAY,
    START_MS,
    WHOLE_REGION,
    WORKSPACE,
    busy_world,
    discovered_world,
    empty_world,
    session,
    used,
)

pytestmark = pytest.mark.anyio


def ended(page: Page) -> dict[str, float]:
    """Return the ended sessions of the first gateway by state, those that there are."""
    found = page.values("livy_sessions_ended_total", "state", workspace_id=WORKSPACE)
    return {labels[0]: value for labels, value in found.items() if value}


def put_open_sessions(world: World, count: int = 4) -> None:
    """Let sessions run on the first gateway."""
    for number in range(count):
        world.put_session(session(f"livy-{number}", 1))


async def test_a_session_that_fails_after_a_false_empty_answer_is_counted(tmp_path: Path) -> None:
    """The first answer after a restart is empty: no session has ended, and a failure counts."""
    world = empty_world()
    put_open_sessions(world)
    async with Harness(world, ledger=tmp_path / "l.db") as h:
        await h.poll()
        await h.restart()
        world.hide(TableName.SESSIONS)
        await h.poll()
        doubted = await h.page()
        world.show(TableName.SESSIONS)
        world.put_session(session("livy-0", 1, state="error"))
        await h.poll()
        page = await h.page()
    assert doubted.value("exporter_target_up", source="livy_sessions") == 0
    assert doubted.has("exporter_target_error_info", source="livy_sessions", reason="incomplete")
    assert ended(doubted) == {}
    assert ended(page) == {"error": 1}


async def test_a_session_that_vanished_comes_back_and_fails(tmp_path: Path) -> None:
    """Concluded to have ended, because it was twice not listed: its failure counts all the same."""
    world = empty_world()
    put_open_sessions(world, 2)
    async with Harness(world, ledger=tmp_path / "l.db") as h:
        await h.poll()
        world.hide(TableName.SESSIONS)
        await h.poll()
        await h.poll()
        concluded = ended(await h.page())
        world.show(TableName.SESSIONS)
        await h.poll()
        await h.restart()
        world.put_session(session("livy-0", 1, state="error"))
        world.put_session(session("livy-1", 1, state="terminated"))
        for _ in range(2):
            await h.poll()
        page = await h.page()
    assert concluded == {"unknown": 2}
    assert ended(page) == {"unknown": 2, "error": 1}
    assert page.value("livy_session_state", session_id="livy-0", state="error") == 1


async def test_clusters_do_not_vanish_by_one_empty_answer_after_a_restart(tmp_path: Path) -> None:
    """A session cluster in error is not gone because the first answer after a restart is empty."""
    world = empty_world()
    world.put_cluster(SimulatedCluster(WORKSPACE, "sc-1", state="Error"))
    async with Harness(world, ledger=tmp_path / "l.db") as h:
        await h.poll()
        await h.restart()
        world.hide(TableName.CLUSTERS)
        await h.poll()
        doubted = await h.page()
        await h.poll()
        believed = await h.page()
    assert doubted.value("exporter_target_up", source="session_clusters") == 0
    assert believed.value("exporter_target_up", source="session_clusters") == 1


@pytest.mark.parametrize("table", [TableName.WORKSPACES, TableName.GATEWAYS])
async def test_discovery_after_a_restart_believes_nothing_at_once(
    table: TableName, tmp_path: Path
) -> None:
    """What was found before the restart is known: an empty list needs a second one."""
    scope = "" if table is TableName.WORKSPACES else WORKSPACE
    async with Harness(discovered_world(), targets=WHOLE_REGION, ledger=tmp_path / "l.db") as h:
        await h.discover()
        await h.poll()
        await h.restart()
        h.world.hide(table, scope)
        await h.discover()
        doubted = await h.page()
        await h.discover()
        believed = await h.page()
    assert doubted.value("exporter_discovery_up", workspace_id=scope) == 0
    assert believed.value("exporter_discovery_up", workspace_id=scope) == 1


async def test_a_region_without_workspaces_is_not_a_failure_after_a_restart(tmp_path: Path) -> None:
    """What another region holds says nothing of an empty one."""
    targets = [*WHOLE_REGION, {"region_id": "cn-shanghai"}]
    async with Harness(discovered_world(), targets=targets, ledger=tmp_path / "l.db") as h:
        await h.discover()
        await h.restart()
        await h.discover()
        page = await h.page()
    assert set(page.values("exporter_discovery_up", "region_id", "workspace_id").values()) == {1}


async def test_a_workspace_that_comes_back_is_judged_by_what_it_listed(tmp_path: Path) -> None:
    """A target that is new to the process, but not to the ledger."""
    world = discovered_world()
    (row,) = world.workspaces()
    async with Harness(world, targets=WHOLE_REGION, ledger=tmp_path / "l.db") as h:
        await h.discover()
        await h.poll()
        world.remove_workspace(WORKSPACE)
        for _ in range(2):
            await h.discover()
        world.put_workspace(row)
        world.put_gateway(SimulatedGateway(WORKSPACE, GATEWAY))
        await h.discover()
        world.hide(TableName.CLUSTERS)
        world.hide(TableName.SESSIONS)
        await h.poll()
        page = await h.page()
    assert page.value("exporter_target_up", source="session_clusters") == 0
    assert page.value("exporter_target_up", source="livy_sessions") == 0
    assert ended(page) == {}


def increase(before: Page, after: Page, **labels: str) -> float:
    """Return the increase of the CU-hours between two pages, as Prometheus would see it."""
    first = before.values("livy_cu_hours_total", "queue", **labels)
    last = after.values("livy_cu_hours_total", "queue", **labels)
    return sum(value - first.get(queue, value) for queue, value in last.items())


@pytest.mark.parametrize("empty", [1, 2])
async def test_a_first_list_of_gateways_that_is_empty_makes_no_history_an_increase(
    empty: int, tmp_path: Path
) -> None:
    """A gateway is new if it was created after the empty list, or if that was said twice."""
    world = discovered_world()
    world.put_gateway(SimulatedGateway(WORKSPACE, "lc-new", create_time_ms=START_MS + 3_600_000))
    world.put_session(SimulatedSession(WORKSPACE, "lc-new", "livy-n", START_MS, usage=used(5)))
    async with Harness(world, targets=WHOLE_REGION, ledger=tmp_path / "l.db", birth_hold=90.0) as h:
        world.hide(TableName.GATEWAYS, WORKSPACE)
        for _ in range(empty):
            await h.discover()
        world.show(TableName.GATEWAYS, WORKSPACE)
        await h.discover()
        await h.poll()
        before = await h.page()
        await h.tick(91)
        after = await h.page()
    assert increase(before, after, livy_compute_id="lc-new") == 5
    assert increase(before, after, livy_compute_id=GATEWAY) == (1 if empty == 2 else 0)


async def test_a_first_listing_of_sessions_that_is_empty_makes_no_history_an_increase(
    tmp_path: Path,
) -> None:
    """The sessions that were there before the empty answer are the starting value."""
    world = busy_world()
    async with Harness(world, ledger=tmp_path / "l.db", birth_hold=90.0) as h:
        world.hide(TableName.SESSIONS)
        await h.poll()
        world.show(TableName.SESSIONS)
        world.put_session(session("livy-new", 2, age=-30, queue="dev"))
        await h.tick(60)
        await h.poll()
        before = await h.page()
        await h.tick(91)
        after = await h.page()
    assert increase(before, after, workspace_id=WORKSPACE) == 2
    started = after.values("livy_sessions_started_total", "queue", workspace_id=WORKSPACE)
    assert started == {("root_queue",): 2, ("dev",): 4}


async def test_a_first_listing_of_clusters_that_is_empty_makes_no_entries(tmp_path: Path) -> None:
    """Nobody saw how clusters that were there before came into their states."""
    world = busy_world()
    async with Harness(world, ledger=tmp_path / "l.db") as h:
        world.hide(TableName.CLUSTERS)
        await h.poll()
        world.show(TableName.CLUSTERS)
        new = START_MS + 30_000
        world.put_cluster(
            SimulatedCluster(WORKSPACE, "new", kind="SQL", queue="dev", create_time_ms=new)
        )
        await h.poll()
        page = await h.page()
    entries = page.values(
        "session_cluster_state_entries_total", "kind", "state", workspace_id=WORKSPACE, queue="dev"
    )
    assert {labels: value for labels, value in entries.items() if value} == {("SQL", "running"): 1}


async def test_forgetting_one_gateway_changes_nothing_for_its_siblings(tmp_path: Path) -> None:
    """A gateway that appears after `ledger forget` of another one is new all the same."""
    world = discovered_world()
    async with Harness(world, targets=WHOLE_REGION, ledger=tmp_path / "l.db", birth_hold=90.0) as h:
        await h.discover()
        await h.poll()
        await h.stop()
        assert forget_gateway(tmp_path / "l.db", GATEWAY, ManualClock()) == [(WORKSPACE, GATEWAY)]
        world.put_gateway(SimulatedGateway(WORKSPACE, "lc-2"))
        world.put_session(SimulatedSession(WORKSPACE, "lc-2", "livy-z", START_MS, usage=used(5)))
        h.start()
        await h.discover()
        await h.poll()
        before = await h.page()
        await h.tick(91)
        after = await h.page()
    assert increase(before, after, livy_compute_id="lc-2") == 5
    assert increase(before, after, livy_compute_id=GATEWAY) == 0
