"""Many targets at once: one region that hangs and one account that is refused hold up nobody."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import pairwise

import httpx
import pytest

from exporter.api import Credential, StaticCredentials
from exporter.app.build import build
from exporter.app.web_app import web_app
from exporter.clock import SystemClock
from exporter.demo import (
    DEMO_KEY_ID,
    DEMO_KEY_SECRET,
    Cloud,
    SimulatedCluster,
    SimulatedGateway,
    SimulatedWorkspace,
    World,
    faults,
    serve,
)
from exporter.poller import Schedule
from exporter.settings import Settings
from tests.support.harness import NO_TLS
from tests.support.pages import Page
from tests.support.processes import eventually

pytestmark = pytest.mark.anyio

INTERVAL = 3.0
ROUNDS = 3
REVOKED = "acs:ram::42:role/revoked"
GOOD, SILENT, REFUSED = "cn-hangzhou", "cn-beijing", "cn-shanghai"


def world_of_many() -> World:
    """Make 20 workspaces with 2 gateways each: 16 good, 2 in a silent region, 2 refused."""
    world = World()
    for number in range(20):
        region = SILENT if number < 2 else REFUSED if number < 4 else GOOD
        workspace_id = f"w-{number}"
        world.put_workspace(SimulatedWorkspace(workspace_id, region_id=region))
        world.put_cluster(SimulatedCluster(workspace_id, f"sc-{number}"))
        for gateway in range(2):
            world.put_gateway(SimulatedGateway(workspace_id, f"lc-{number}-{gateway}"))
    return world


def settings_for(endpoint: str) -> Settings:
    """Let everything be discovered, in three regions and through two accounts."""
    return Settings.model_validate(
        {
            "api": {"endpoint": endpoint, "timeout": 2, "max_requests_per_second": 200},
            "poll": {"interval": INTERVAL},
            "targets": [
                {"region_id": GOOD},
                {"region_id": SILENT},
                {"region_id": REFUSED, "role_arn": REVOKED},
            ],
        }
    )


def credential_of(role_arn: str) -> StaticCredentials:
    """Return the demo's credential, or one that was revoked."""
    secret = "revoked" if role_arn else DEMO_KEY_SECRET
    return StaticCredentials(Credential(DEMO_KEY_ID, secret, "", "test"))


def lateness(cloud: Cloud) -> Mapping[str, float]:
    """Return by how much the worst gap between two polls of a target exceeded the interval."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    for call in cloud.calls:
        if call.action in {"ListSessionClusters", "ListLivyComputeSessions"} and call.page == 1:
            times[f"{call.workspace_id}/{call.compute_id}"].append(call.time)
    return {
        name: max(after - before for before, after in pairwise(sorted(some))) - INTERVAL
        for name, some in times.items()
        if len(some) > 1 and name.split("/")[0] not in {"w-0", "w-1", "w-2", "w-3"}
    }


async def test_failing_targets_do_not_delay_others(
    record_property: Callable[[str, object], None],
) -> None:
    """48 good targets are polled on time beside a region that hangs and a refused account."""
    clock = SystemClock()
    cloud = Cloud(world_of_many(), clock=clock.now, access_keys={DEMO_KEY_ID: DEMO_KEY_SECRET})
    for workspace_id in ("w-0", "w-1"):
        cloud.faults.add(faults.Hang(), workspace_id=workspace_id)
    async with serve(cloud.app) as endpoint, httpx.AsyncClient(verify=NO_TLS) as http:
        exporter = build(
            settings_for(endpoint),
            clock=clock,
            http=http,
            credentials=credential_of,
            ledger_location=None,
            birth_hold=0.0,
        )
        schedule = Schedule(
            exporter.targets.run,
            exporter.targets.verify,
            poll_interval=INTERVAL,
            discovery_interval=600,
            on_skip=exporter.telemetry.poll_skipped,
            on_late=lambda _source: None,
            clock=exporter.clock,
        )
        exporter.targets.run_on(schedule)
        schedule.start(exporter.polling.tick)

        async def has_run_for_a_while() -> bool:
            return len(lateness(cloud)) == 48 and len(cloud.calls) >= 48 * ROUNDS

        try:
            await eventually(has_run_for_a_while, seconds=50)
        finally:
            await schedule.stop(1.0)
        found = lateness(cloud)
        transport = httpx.ASGITransport(web_app(exporter))
        async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as reader:
            page = Page.from_text((await reader.get("/metrics")).text)
        exporter.ledger.close()
    worst = max(found.values())
    record_property("worst_lateness_seconds", worst)
    assert worst < INTERVAL
    ups = page.values("exporter_target_up", "workspace_id", "livy_compute_id")
    assert {name for (name, _), up in ups.items() if up} == {f"w-{n}" for n in range(4, 20)}
    assert page.value("exporter_discovery_up", region_id=REFUSED) == 0
