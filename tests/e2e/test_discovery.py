"""Workspaces and gateways come and go; what is polled follows, and nothing is counted twice."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.app.plan import plan
from exporter.demo import (
    Call,
    SimulatedCluster,
    SimulatedGateway,
    SimulatedSession,
    SimulatedWorkspace,
    TableName,
    World,
)
from exporter.demo.faults import CLOCK, INTERNAL_ERROR, envelope_code
from exporter.errors import SettingsError
from exporter.model import Scope
from exporter.settings import Settings
from tests.support.harness import Harness
from tests.support.simulation import LiveHarness, simulated
from tests.support.worlds import (
    GATEWAY,
    REGION,
    START_MS,
    WHOLE_REGION,
    WORKSPACE,
    discovered_world,
    used,
)

pytestmark = pytest.mark.anyio


def harness(
    world: World,
    ledger: Path | None = None,
    **settings: Any,  # noqa: ANN401  as the schema says
) -> Harness:
    """Build an exporter that has to find everything itself."""
    return Harness(world, ledger=ledger, **{"targets": WHOLE_REGION, **settings})


def wide_world() -> World:
    """Make a world whose workspaces fill three pages."""
    world = discovered_world()
    for number in range(250):
        world.put_workspace(SimulatedWorkspace(f"more-{number}"))
    return world


def discovery_up(page_labels: dict[tuple[str, ...], float]) -> dict[str, float]:
    """Return the verdicts by workspace id."""
    return {labels[0]: value for labels, value in page_labels.items()}


async def test_everything_is_found_and_polled_under_its_name() -> None:
    """With nothing named, every workspace and gateway is polled, and info metrics name them."""
    async with harness(discovered_world()) as h:
        await h.discover_and_poll()
        page = await h.page()
    up = page.values("exporter_discovery_up", "workspace_id")
    assert discovery_up(up) == {"": 1, WORKSPACE: 1}
    assert page.value("workspace_info", workspace_name="prod", region_id=REGION) == 1
    assert set(page.values("livy_gateway_info", "name", "queue")) == {("etl", "root_queue")}
    assert page.value("livy_cu_hours_total") == 1.0
    assert page.value("session_cluster_state", state="running") == 1


async def test_what_is_named_is_not_discovered() -> None:
    """No call for discovery is made where the settings name workspace and gateway."""
    async with Harness(discovered_world()) as h:
        await h.discover_and_poll()
        actions = {call.action for call in h.cloud.calls}
        page = await h.page()
    assert actions == {"ListSessionClusters", "ListLivyComputeSessions"}
    assert page.value("workspace_info", workspace_name=WORKSPACE) == 1


async def test_a_workspace_that_appears_is_polled_within_one_discovery() -> None:
    """A new workspace is polled after the next discovery."""
    world = discovered_world()
    async with harness(world) as h:
        await h.discover_and_poll()
        world.put_workspace(SimulatedWorkspace("w-2"))
        world.put_cluster(SimulatedCluster("w-2", "sc-9"))
        await h.discover_and_poll()
        page = await h.page()
    assert page.has("session_cluster_state", workspace_id="w-2", session_cluster_id="sc-9")


async def test_a_gateway_that_appears_counts_from_zero(tmp_path: Path) -> None:
    """All that a gateway lists which an earlier discovery lacked is an increase, held at 0."""
    world = discovered_world()
    async with Harness(world, targets=WHOLE_REGION, ledger=tmp_path / "l.db", birth_hold=90.0) as h:
        await h.discover_and_poll()
        world.put_gateway(SimulatedGateway(WORKSPACE, "lc-2", queue="q"))
        row = SimulatedSession(WORKSPACE, "lc-2", "livy-z", START_MS, queue="q", usage=used(5))
        world.put_session(row)
        await h.discover_and_poll()
        before = (await h.page()).value("livy_cu_hours_total", livy_compute_id="lc-2")
        await h.tick(91)
        after = (await h.page()).value("livy_cu_hours_total", livy_compute_id="lc-2")
    assert (before, after) == (0.0, 5.0)


async def test_a_gateway_that_appears_while_we_were_down_counts_from_zero(tmp_path: Path) -> None:
    """What was listed before a restart is remembered: a gateway born meanwhile is new."""
    world = discovered_world()
    async with harness(world, tmp_path / "l.db") as h:
        await h.discover_and_poll()
        world.put_gateway(SimulatedGateway(WORKSPACE, "lc-2", queue="q"))
        await h.restart()
        await h.exporter.targets.discover_all()
        page = await h.page()
    assert page.value("livy_cu_hours_total", livy_compute_id="lc-2", queue="q") == 0


async def test_totals_are_there_before_anything_is_found_again(tmp_path: Path) -> None:
    """A scrape right after a restart finds the counters of old, although no target is known yet."""
    async with harness(discovered_world(), tmp_path / "l.db") as h:
        await h.discover_and_poll()
        await h.restart()
        assert (await h.page()).value("livy_cu_hours_total") == 1.0


async def test_a_workspace_that_is_gone_loses_its_gauges_and_keeps_its_counters() -> None:
    """What is gone from a successful discovery is not polled; what it used stays."""
    world = discovered_world()
    world.put_workspace(SimulatedWorkspace("w-2"))
    async with harness(world) as h:
        await h.discover_and_poll()
        world.remove_workspace(WORKSPACE)
        await h.discover_and_poll()
        page = await h.page()
    assert not page.has("session_cluster_state", workspace_id=WORKSPACE)
    assert not page.has("livy_sessions", workspace_id=WORKSPACE)
    assert not page.has("exporter_target_up", workspace_id=WORKSPACE)
    assert page.value("livy_cu_hours_total", workspace_id=WORKSPACE) == 1.0
    # By these three the alerts tell that it was removed.
    assert not page.has("exporter_target_stale_after_seconds", workspace_id=WORKSPACE)
    assert page.value("workspace_info", workspace_id=WORKSPACE) == 1
    assert page.value("livy_gateway_info", workspace_id=WORKSPACE) == 1


@pytest.mark.parametrize("table", [TableName.WORKSPACES, TableName.GATEWAYS])
async def test_an_empty_listing_is_accepted_the_second_time(table: TableName) -> None:
    """A successful discovery that finds nothing where there was something needs a second one."""
    world = discovered_world()
    scope = "" if table is TableName.WORKSPACES else WORKSPACE
    async with harness(world) as h:
        await h.discover_and_poll()
        world.hide(table, scope)
        await h.discover_and_poll()
        first = await h.page()
        await h.discover_and_poll()
        second = await h.page()
    assert first.value("exporter_discovery_up", workspace_id=scope) == 0
    assert first.has("exporter_target_up", source="livy_sessions")
    assert not second.has("exporter_target_up", source="livy_sessions")
    assert second.value("livy_cu_hours_total") == 1.0


@pytest.mark.parametrize("effect", [INTERNAL_ERROR, CLOCK])
@pytest.mark.parametrize("action", ["ListWorkspaces", "ListLivyCompute"])
async def test_a_failed_discovery_changes_nothing(effect: object, action: str) -> None:
    """Whatever was found before is still polled, and the page says that discovery fails."""
    async with harness(discovered_world()) as h:
        await h.discover_and_poll()
        h.cloud.faults.add(effect, action=action)  # type: ignore[arg-type]
        await h.discover_and_poll()
        failing = await h.page()
        h.cloud.faults.clear()
        await h.discover_and_poll()
        recovered = await h.page()
    scope = "" if action == "ListWorkspaces" else WORKSPACE
    assert failing.value("exporter_discovery_up", workspace_id=scope) == 0
    assert set(failing.values("exporter_target_up").values()) == {1}
    assert failing.value("livy_cu_hours_total") == 1.0
    assert set(recovered.values("exporter_discovery_up", "workspace_id").values()) == {1}


async def test_a_code_inside_a_success_is_a_failure() -> None:
    """ListLivyCompute can say failure with HTTP 200; no gateway is concluded gone from it."""
    async with harness(discovered_world()) as h:
        await h.discover_and_poll()
        h.cloud.faults.add(envelope_code("InternalError"), action="ListLivyCompute")
        await h.discover_and_poll()
        page = await h.page()
    assert page.value("exporter_discovery_up", workspace_id=WORKSPACE) == 0
    assert page.has("exporter_target_up", source="livy_sessions")


@pytest.mark.parametrize(
    ("include", "exclude", "polled"),
    [
        ([], [], {"w-1", "w-2", "w-3"}),
        (["w-[12]"], [], {"w-1", "w-2"}),
        (["team-*"], [], {"w-2", "w-3"}),
        ([], ["team-b"], {"w-1", "w-2"}),
        (["team-*"], ["w-2"], {"w-3"}),
        (["nobody"], [], set()),
    ],
)
async def test_patterns_choose_workspaces(
    include: list[str], exclude: list[str], polled: set[str]
) -> None:
    """Shell patterns on id or name say which of the discovered workspaces are polled."""
    world = World()
    for workspace_id, name in (("w-1", "prod"), ("w-2", "team-a"), ("w-3", "team-b")):
        world.put_workspace(SimulatedWorkspace(workspace_id, name=name))
    async with harness(world, discovery={"include": include, "exclude": exclude}) as h:
        await h.exporter.targets.discover_all()
        targets = {target.workspace_id for target in h.exporter.targets.jobs}
    assert targets == polled


async def test_what_two_accounts_find_is_polled_once() -> None:
    """A workspace that two entries find belongs to the first, and a warning says so, once."""
    both = [{"region_id": REGION, "account": "a"}, {"region_id": REGION, "account": "b"}]
    async with harness(discovered_world(), targets=both) as h:
        with capture_logs() as logs:
            await h.discover_and_poll()
            await h.discover_and_poll()
        page = await h.page()
    assert [entry["ignored"] for entry in logs if entry["log_level"] == "warning"] == [
        f"discovery/b/{REGION}/{WORKSPACE}"
    ]
    assert set(page.values("workspace_info", "account")) == {("a",)}
    assert page.value("livy_cu_hours_total") == 1.0
    assert len(h.exporter.targets.jobs) == 2


async def test_a_workspace_that_is_named_and_found_is_polled_as_named() -> None:
    """An entry for one workspace beside one for the whole region limits its gateways."""
    world = discovered_world()
    world.put_gateway(SimulatedGateway(WORKSPACE, "lc-other"))
    world.put_workspace(SimulatedWorkspace("w-2"))
    named = {"region_id": REGION, "workspace_id": WORKSPACE, "livy_compute_ids": [GATEWAY]}
    async with harness(world, targets=[{"region_id": REGION, "account": "b"}, named]) as h:
        await h.discover_and_poll()
        gateways = {job.livy_compute_id for job in h.exporter.targets.jobs} - {""}
        workspaces = {job.workspace_id for job in h.exporter.targets.jobs}
    assert (gateways, workspaces) == ({GATEWAY}, {WORKSPACE, "w-2"})


def test_one_account_through_two_roles_must_be_named() -> None:
    """Where the same account and region is reached through two roles, labels would collide."""
    targets = [
        {
            "region_id": REGION,
            "account": "x",
            "role_arn": f"acs:ram::1:role/{role}",
            "workspace_id": f"w-{role}",
        }
        for role in ("a", "b")
    ]
    with pytest.raises(SettingsError, match="different roles"):
        plan(Settings.model_validate({"targets": targets}))


async def test_an_empty_account_is_ready() -> None:
    """Where discovery succeeds and finds nothing, there is nothing that is not ready."""
    async with harness(World()) as h:
        before = await h.get("/-/ready")
        await h.discover_and_poll()
        after = await h.get("/-/ready")
        healthy = await h.get("/-/healthy")
    assert (before.status_code, after.status_code, healthy.status_code) == (503, 200, 200)


async def test_a_region_that_cannot_be_discovered_is_not_ready() -> None:
    """A region in which nothing could be listed so far is named, while another one works."""
    world = discovered_world()
    world.put_workspace(SimulatedWorkspace("w-2", region_id="cn-beijing"))
    both = [{"region_id": REGION, "workspace_id": WORKSPACE}, {"region_id": "cn-beijing"}]
    async with harness(world, targets=both) as h:
        h.cloud.faults.add(INTERNAL_ERROR, action="ListWorkspaces")
        await h.discover_and_poll()
        ready = await h.get("/-/ready")
    assert ready.status_code == 503
    assert "cn-beijing" in ready.text
    assert REGION not in ready.text


async def test_new_gateway_is_polled_only_after_the_ledger_knows_that_it_is_new(
    tmp_path: Path,
) -> None:
    """Otherwise its usage until the next discovery would be a starting value, not an increase."""
    path, aside = tmp_path / "ledger.db", tmp_path / "aside.db"
    async with Harness(discovered_world(), targets=WHOLE_REGION, ledger=path) as h:
        await h.discover_and_poll()
        h.world.put_gateway(SimulatedGateway(WORKSPACE, "lc-new"))
        path.rename(aside)
        await h.discover_and_poll()
        assert not h.peek().has("exporter_target_up", livy_compute_id="lc-new")
        aside.rename(path)
        await h.discover_and_poll()
        assert h.peek().value("exporter_target_up", livy_compute_id="lc-new") == 1


async def test_each_page_of_a_discovery_is_a_sign_of_life() -> None:
    """Whether or not the queue moves, which is noticed twice a second only."""
    silences: list[float] = []

    def note_silence(_call: Call) -> None:
        silences.append(h.clock.monotonic() - h.exporter.polling.last_progress)
        h.clock.advance(0.2)

    async with harness(wide_world()) as h:
        h.cloud.before_page = note_silence
        await h.exporter.targets.discover(Scope("", REGION))
    assert silences == [0, 0, 0]


@pytest.mark.parametrize(("rate", "latency"), [(10, 8.0), (0.05, 0.0)], ids=["answers", "queue"])
def test_a_discovery_lasts_as_long_as_something_arrives(rate: float, latency: float) -> None:
    """Slow answers and a long queue extend its deadline, as they do for a poll."""

    async def main() -> None:
        settings: dict[str, Any] = {
            "targets": WHOLE_REGION,
            "poll": {"timeout": "10s"},
            "api": {"timeout": "9s", "max_requests_per_second": rate},
        }
        async with LiveHarness(wide_world(), latency=latency, **settings) as h:
            for scope in (Scope("", REGION), Scope("", REGION, WORKSPACE)):
                await h.exporter.targets.discover(scope)
            assert h.clock.monotonic() > 30
            page = h.peek()
        up = page.values("exporter_discovery_up", "workspace_id")
        assert discovery_up(up) == {"": 1, WORKSPACE: 1}

    with simulated() as runner:
        runner.run(main())
