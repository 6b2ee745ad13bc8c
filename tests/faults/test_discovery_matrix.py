"""Discovery that fails, at first and later, for each reason: what was found is polled on."""

import pytest

from tests.faults.kinds import ONE_OF_EACH_REASON, SETTINGS, Kind
from tests.support.harness import Harness
from tests.support.pages import Page
from tests.support.worlds import WHOLE_REGION, WORKSPACE, discovered_world

pytestmark = pytest.mark.anyio

SCOPES = {"ListWorkspaces": "", "ListLivyCompute": WORKSPACE}

CELLS = [
    pytest.param(kind, action, id=f"{name}-{action}")
    for name, kind in ONE_OF_EACH_REASON.items()
    for action in SCOPES
    if len(kind.sources) > 1
]


def verdicts(page: Page) -> dict[str, float]:
    """Return how the discoveries went, by workspace id (empty: that of workspaces)."""
    up = page.values("exporter_discovery_up", "workspace_id")
    return {workspace_id: value for (workspace_id,), value in up.items()}


def reasons(page: Page) -> set[tuple[str, ...]]:
    """Return which discoveries fail, by workspace id (empty: that of workspaces), and why."""
    return {*page.values("exporter_discovery_error_info", "workspace_id", "reason")}


def assert_all_well(page: Page) -> None:
    """Check that everything is found, polled and counted."""
    assert verdicts(page) == {"": 1, WORKSPACE: 1}
    assert set(page.values("exporter_target_up", "source").values()) == {1}
    assert page.values("livy_cu_hours_total", "queue") == {("root_queue",): 1.0}
    assert page.value("session_cluster_state", state="running") == 1


@pytest.mark.parametrize(("kind", "action"), CELLS)
async def test_a_fault_at_the_first_discovery(kind: Kind, action: str) -> None:
    """Nothing is polled that was not found; all else is, and the next good discovery heals."""
    async with Harness(discovered_world(), targets=WHOLE_REGION, api=SETTINGS) as h:
        h.cloud.faults.add(kind.effect, action=action)
        await h.discover_and_poll()
        failing = await h.page()
        h.cloud.faults.clear()
        await h.discover_and_poll()
        recovered = await h.page()
    assert verdicts(failing)[SCOPES[action]] == 0
    assert reasons(failing) == {(SCOPES[action], kind.reason)}
    assert reasons(recovered) == set()
    assert not failing.has("livy_sessions")
    assert failing.has("session_clusters") == (action == "ListLivyCompute")
    assert_all_well(recovered)


@pytest.mark.parametrize(("kind", "action"), CELLS)
async def test_a_fault_at_a_later_discovery(kind: Kind, action: str) -> None:
    """What was found before is polled on, and no gauge or counter moves."""
    async with Harness(discovered_world(), targets=WHOLE_REGION, api=SETTINGS) as h:
        await h.discover_and_poll()
        h.cloud.faults.add(kind.effect, action=action)
        await h.discover_and_poll()
        failing = await h.page()
        h.cloud.faults.clear()
        await h.discover_and_poll()
        recovered = await h.page()
    scope = SCOPES[action]
    assert reasons(failing) == {(scope, kind.reason)}
    assert reasons(recovered) == set()
    assert verdicts(failing) == {"": 1, WORKSPACE: 1, scope: 0}
    assert set(failing.values("exporter_target_up", "source").values()) == {1}
    assert failing.values("livy_cu_hours_total", "queue") == {("root_queue",): 1.0}
    assert failing.value("session_cluster_state", state="running") == 1
    assert_all_well(recovered)
