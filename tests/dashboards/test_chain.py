"""From the cloud to the pager: every link of the chain is the real one, over real HTTP.

The shipped rules run with intervals and waits of seconds instead of minutes (`hurried`); the
outage of minutes is told in simulated time by promtool, in `tests/rules`.
"""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exporter.demo import DEMO_KEY_ID, DEMO_KEY_SECRET, Cloud, World, faults, serve
from tests.support.forked import start
from tests.support.harness import targets_of
from tests.support.processes import CREDENTIAL, EXPORTER, eventually, free_port
from tests.support.prometheus import Prometheus, alertmanager, find_alertmanager, prometheus
from tests.support.worlds import WORKSPACE, busy_world

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(150)]

ALERT = "EmrSparkSessionClusterInError"
CLUSTER = "sc-1"
NAME = 'ad "hoc" 查询'
HURRIED = ("--poll.interval=1s", "--poll.stale-after=4s", "--ledger.birth-hold=2s")


@dataclass
class Pager:
    """A webhook that remembers what it was told of the cluster."""

    told: list[dict[str, Any]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        """Receive a notification of Alertmanager."""
        self.told += (await request.json())["alerts"]
        return Response()

    def statuses(self) -> list[str]:
        """Return what became of the alert, repetitions left out."""
        found: list[str] = []
        for alert in self.told:
            labels = alert["labels"]
            is_ours = labels["alertname"] == ALERT and labels["session_cluster_id"] == CLUSTER
            if is_ours and labels["workspace_id"] == WORKSPACE and found[-1:] != [alert["status"]]:
                found.append(alert["status"])
        return found

    async def until(self, *statuses: str) -> None:
        """Wait until the alert has gone this way."""

        async def has_arrived() -> bool:
            return self.statuses() == list(statuses)

        try:
            await eventually(has_arrived, seconds=40)
        except TimeoutError:
            pytest.fail(f"wanted {statuses}, was told {self.statuses()}: {self.told}")


@dataclass(frozen=True)
class Chain:
    """All of it, running."""

    world: World
    cloud: Cloud
    prometheus: Prometheus
    pager: Pager


@asynccontextmanager
async def chain(folder: Path, tool: Callable[[str], Path]) -> AsyncIterator[Chain]:
    """Run the cloud, the exporter, Prometheus, Alertmanager and the webhook."""
    world = busy_world()
    world.change_cluster(WORKSPACE, CLUSTER, name=NAME)
    cloud = Cloud(world, clock=time.time, access_keys={DEMO_KEY_ID: DEMO_KEY_SECRET})
    pager = Pager()
    webhook = Starlette(routes=[Route("/", pager.take, methods=["POST"])])
    binary = find_alertmanager() or tool("alertmanager")
    port = free_port()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        endpoint = await enter(serve(cloud.app))
        address = await enter(
            alertmanager(binary, folder / "alertmanager", await enter(serve(webhook)))
        )
        command = [
            *EXPORTER,
            f"--targets={json.dumps(targets_of(world))}",
            f"--api.endpoint={endpoint}",
            f"--web.listen-address=127.0.0.1:{port}",
            *HURRIED,
        ]
        await enter(start(command, folder / "exporter", CREDENTIAL))
        scraper = await enter(
            prometheus(
                tool("prometheus"),
                folder / "prometheus",
                f"127.0.0.1:{port}",
                has_rules=True,
                alertmanager=address,
            )
        )
        await scraper.until(f'emr_serverless_spark_session_cluster_info{{name="{_quoted(NAME)}"}}')
        yield Chain(world, cloud, scraper, pager)


def _quoted(text: str) -> str:
    return text.replace('"', '\\"')


async def test_an_error_in_the_cloud_reaches_the_pager_and_so_does_its_end(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """The webhook gets the alert with the cluster's name and code, then the resolution."""
    async with chain(tmp_path, real_tool) as it:
        assert it.pager.statuses() == []
        it.world.change_cluster(WORKSPACE, CLUSTER, state="Error", reason_code="OutOfMemory")
        await it.pager.until("firing")
        alert = next(
            each
            for each in it.pager.told
            if each["labels"].get("session_cluster_id") == CLUSTER
            and each["labels"]["workspace_id"] == WORKSPACE
        )
        assert alert["labels"]["name"] == NAME
        assert alert["labels"]["severity"] == "critical"
        assert alert["annotations"]["summary"] == f'Session cluster "{NAME}" is in error.'
        told, do = alert["annotations"]["description"].split(" Do: ")
        assert told.endswith(f"of workspace {WORKSPACE} is in state Error, code OutOfMemory.")
        assert do.startswith("restart the cluster")
        assert alert["annotations"]["status_url"].endswith(f"#cluster-{CLUSTER}")
        it.world.change_cluster(WORKSPACE, CLUSTER, state="Running", reason_code="")
        await it.pager.until("firing", "resolved")


async def test_the_same_while_the_api_fails_and_through_an_outage(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """With every third call failing; and an outage that outlasts the gauges resolves nothing."""
    async with chain(tmp_path, real_tool) as it:
        # A fault does not see the calls that the ones before it have struck.
        planted = [
            it.cloud.faults.add(faults.UNAVAILABLE, skip=skip, times=1)
            for skip in range(2, 1000, 2)
        ]
        it.world.change_cluster(WORKSPACE, CLUSTER, state="Error")
        await it.pager.until("firing")
        assert sum(it.cloud.faults.struck(each) for each in planted) > 2
        it.cloud.faults.clear()
        outage = it.cloud.faults.add(faults.UNAVAILABLE)
        state = 'emr_serverless_spark_session_cluster_state{state="error"}'
        await it.prometheus.until(f"absent({state})")
        assert it.pager.statuses() == ["firing"]
        # As long again, in which nothing of the kind must arrive.
        await it.prometheus.until(f"absent(last_over_time({state}[8s]))")
        assert it.pager.statuses() == ["firing"]
        it.world.change_cluster(WORKSPACE, CLUSTER, state="Running")
        it.cloud.faults.remove(outage)
        await it.pager.until("firing", "resolved")
