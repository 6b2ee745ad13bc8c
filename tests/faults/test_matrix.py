"""Every kind of fault, for both sources, seen at the page."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from prometheus_client.samples import Sample

from exporter.catalog import PREFIX
from exporter.demo import SimulatedCluster, World
from tests.faults.kinds import (
    ACTIONS,
    CLUSTERS,
    KINDS,
    LATER_KINDS,
    LIVY,
    ONE_OF_EACH_REASON,
    SETTINGS,
    Kind,
)
from tests.support.harness import Harness
from tests.support.pages import Page
from tests.support.worlds import GATEWAY, WORKSPACE, busy_world, key, session, used

pytestmark = pytest.mark.anyio

OTHER = "w-2"


def cells(kinds: Mapping[str, Kind]) -> list[object]:
    """Return each kind of fault with each source that it can strike."""
    return [
        pytest.param(kind, source, id=f"{name}-{source}")
        for name, kind in kinds.items()
        for source in kind.sources
    ]


def told(page: Page, source: str, workspace_id: str) -> dict[tuple[str, frozenset[object]], float]:
    """Return what a page says of the sessions of one source and workspace, counters aside.

    Since when a state is observed is left out: that is the moment of a poll by design.
    """
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for sample in page.samples
        if _is_told(sample, source, workspace_id)
    }


def _is_told(sample: Sample, source: str, workspace_id: str) -> bool:
    name = sample.name.removeprefix(PREFIX)
    begins = "session_cluster" if source == CLUSTERS else "livy_session"
    return (
        name.startswith(begins)
        and not name.endswith("_total")
        and "_since_" not in name
        and sample.labels.get("workspace_id") == workspace_id
    )


def counters(page: Page, workspace_id: str) -> dict[tuple[str, frozenset[object]], float]:
    """Return the counters of a workspace's sessions."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for sample in page.samples
        if sample.name.endswith("_total")
        and not sample.name.startswith(f"{PREFIX}exporter_")
        and sample.labels.get("workspace_id") == workspace_id
    }


def cu_hours(page: Page) -> dict[tuple[str, ...], float]:
    """Return the CU-hours counted of the struck gateway, by queue."""
    return page.values("livy_cu_hours_total", "queue", livy_compute_id=GATEWAY)


def assert_failing(page: Page, source: str, reason: str) -> None:
    """Check what a page says of a failed poll, and that it says it of nothing else."""
    ups = page.values("exporter_target_up", "source", "workspace_id")
    assert {target for target, up in ups.items() if not up} == {(source, WORKSPACE)}
    errors = page.values("exporter_target_error_info", "source", "workspace_id", "reason")
    assert errors == {(source, WORKSPACE, reason): 1}
    failures = page.values("exporter_poll_failures_total", "source", "reason")
    assert {cell: count for cell, count in failures.items() if count} == {(source, reason): 1}


def assert_all_well(page: Page) -> None:
    """Check that no target fails."""
    assert set(page.values("exporter_target_up", "source", "workspace_id").values()) == {1}
    assert not page.has("exporter_target_error_info")


def go_on(world: World) -> None:
    """Let the world change: usage grows, a session ends, one begins, a cluster stops."""
    world.change_session(key("livy-a"), usage=used(2.5))
    world.change_session(key("livy-b"), usage=used(0.5), state="terminated")
    world.put_session(session("livy-f", 3.0, age=1, queue="dev", proxy_user="ann"))
    world.change_cluster(WORKSPACE, "sc-1", state="Error", reason_code="OOM")


@pytest.fixture(scope="module")
def undisturbed() -> Sequence[Page]:
    """Provide the pages of an exporter without a fault, after the first and the second poll."""

    async def read() -> list[Page]:
        async with Harness(busy_world(), api=SETTINGS) as h:
            await h.poll()
            first = await h.page()
            go_on(h.world)
            h.clock.advance(30)
            await h.poll()
            return [first, await h.page()]

    return asyncio.run(read())


@pytest.mark.parametrize(("kind", "source"), cells(ONE_OF_EACH_REASON))
async def test_at_the_first_poll(kind: Kind, source: str, undisturbed: Sequence[Page]) -> None:
    """Nothing is said of what could not be read; the next good poll says it all."""
    async with Harness(busy_world(), api=SETTINGS) as h:
        fault = h.cloud.faults.add(kind.effect, action=ACTIONS[source], workspace_id=WORKSPACE)
        await h.poll()
        failing = await h.page()
        h.cloud.faults.remove(fault)
        await h.poll()
        recovered = await h.page()
    expected = undisturbed[0]

    assert_failing(failing, source, kind.reason)
    assert told(failing, source, WORKSPACE) == {}
    assert (source == LIVY) == (cu_hours(failing) == {})
    assert not failing.has(
        "exporter_target_last_success_timestamp_seconds", source=source, workspace_id=WORKSPACE
    )
    for each in (CLUSTERS, LIVY):
        assert told(failing, each, OTHER) == told(expected, each, OTHER)
    assert_all_well(recovered)
    assert told(recovered, source, WORKSPACE) == told(expected, source, WORKSPACE)
    assert counters(recovered, WORKSPACE) == counters(expected, WORKSPACE)


@pytest.mark.parametrize(("kind", "source"), cells(LATER_KINDS))
async def test_at_a_later_poll(kind: Kind, source: str, undisturbed: Sequence[Page]) -> None:
    """The last good picture stays, and says that it is old; the next good poll brings it all."""
    async with Harness(busy_world(), api=SETTINGS) as h:
        await h.poll()
        before = await h.page()
        go_on(h.world)
        h.clock.advance(30)
        fault = h.cloud.faults.add(kind.effect, action=ACTIONS[source], workspace_id=WORKSPACE)
        await h.poll()
        failing = await h.page()
        h.cloud.faults.remove(fault)
        await h.poll()
        recovered = await h.page()
        delivered = h.cloud.delivered.by_queue()
    expected = undisturbed[1]

    assert_failing(failing, source, kind.reason)
    assert told(failing, source, WORKSPACE) == told(before, source, WORKSPACE)
    labels = {"source": source, "workspace_id": WORKSPACE}
    good_at = "exporter_target_last_success_timestamp_seconds"
    assert failing.value(good_at, **labels) == before.value(good_at, **labels)
    assert_all_well(recovered)
    for each in (CLUSTERS, LIVY):
        assert told(failing, each, OTHER) == told(expected, each, OTHER)
        assert told(recovered, each, WORKSPACE) == told(expected, each, WORKSPACE)
    assert counters(recovered, WORKSPACE) == counters(expected, WORKSPACE)
    assert cu_hours(recovered) == {
        (queue,): usage.nano_cu_hours / 1e9
        for (_, gateway, queue), usage in delivered.items()
        if gateway == GATEWAY
    }


PAGED_KINDS = ("throttled", "html_200", "cut", "hanging", "redirect")


def long_world() -> World:
    """Make a world in which the struck workspace has two pages of either."""
    world = busy_world()
    for number in range(120):
        world.put_session(session(f"livy-long-{number}", 1.0, age=100 + number, queue="long"))
        world.put_cluster(SimulatedCluster(WORKSPACE, f"sc-long-{number}", queue="long"))
    return world


@pytest.mark.parametrize("name", PAGED_KINDS)
@pytest.mark.parametrize("source", [CLUSTERS, LIVY])
async def test_on_a_page_that_is_not_the_first(name: str, source: str) -> None:
    """Half a listing changes no gauge; the usage in it counts, once, and nothing is lost."""
    kind = KINDS[name]
    async with Harness(long_world(), api=SETTINGS) as h:
        await h.poll()
        before = await h.page()
        for number in (0, 119):  # the newest, on the first page, and the oldest, on the second
            changed = key(f"livy-long-{number}", age=100 + number)
            h.world.change_session(changed, usage=used(3.0), state="error")
            h.world.change_cluster(WORKSPACE, f"sc-long-{number}", state="Error")
        match = {"action": ACTIONS[source], "workspace_id": WORKSPACE, "page": 2}
        fault = h.cloud.faults.add(kind.effect, **match)
        await h.poll()
        failing = await h.page()
        h.cloud.faults.remove(fault)
        await h.poll()
        recovered = await h.page()
    assert_failing(failing, source, kind.reason)
    assert told(failing, source, WORKSPACE) == told(before, source, WORKSPACE)
    assert cu_hours(before)["long",] == 120
    assert cu_hours(failing)["long",] == (122 if source == LIVY else 124)
    assert cu_hours(recovered)["long",] == 124
    assert_all_well(recovered)
    states = recovered.values("session_clusters", "state", kind="SQL", queue="long")
    assert states["error",] == 2
    assert recovered.value("livy_sessions", queue="long", state="error") == 2
