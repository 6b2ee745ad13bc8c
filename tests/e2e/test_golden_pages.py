"""The page is golden: a world in, the full text of `/metrics` out."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exporter.catalog import CATALOG
from exporter.demo import SimulatedCluster, SimulatedGateway, SimulatedWorkspace, World, faults
from exporter.demo.faults import Canned
from tests.support.golden_files import FOLDER, assert_golden, stable
from tests.support.harness import Harness
from tests.support.worlds import GATEWAY, WORKSPACE, busy_world, empty_world, key, session, used

pytestmark = pytest.mark.anyio

FIXTURES = Path(__file__).parent.parent / "fixtures" / "api"
SEEDS = {
    "ListSessionClusters": FIXTURES / "seed_list_session_clusters.json",
    "ListLivyComputeSessions": FIXTURES / "seed_list_livy_compute_sessions.json",
}

ODD = (
    'say "hi"',
    "C:\\new\\",
    "two\nlines",
    "每日汇总",
    "x" * 300,
    "cut \ud83d",
    "tab\tand\u2028line",
)

OBJECTIONS = {
    "livy_cu_hours_overcounted": "hours",
    "livy_cu_hours_total": "hours",
    "livy_mb_seconds_total": "mb",
    "livy_proxy_user_cu_hours_total": "hours",
    "livy_proxy_user_mb_seconds_total": "mb",
    "livy_session_cu_hours": "hours",
    "livy_session_mb_seconds": "mb",
}
"""All that `promtool check metrics` may say: the units of the bill are not Prometheus' own."""


def vendors_world() -> World:
    """Make a world for the ids of the vendor's samples."""
    world = World()
    world.put_workspace(SimulatedWorkspace("w-1234abcd"))
    world.put_gateway(SimulatedGateway("w-1234abcd", "lc-xxxxxx"))
    return world


async def test_golden_vendors_samples_as_complete_listings() -> None:
    """The vendor's two sample records, each the whole of its listing, are all on the page."""
    async with Harness(vendors_world()) as h:
        for action, seed in SEEDS.items():
            h.cloud.faults.add(Canned(completed(seed)), action=action)
        await h.poll()
        assert_golden("vendor_samples.prom", stable((await h.page()).text))


async def test_golden_vendors_answers_as_they_stand() -> None:
    """The vendor's sample answers count more rows than they hold, so no target is up."""
    harness = Harness(vendors_world())
    harness.cloud.app = verbatim
    async with harness as h:
        await h.poll()
        page = await h.page()
    assert page.values("exporter_target_up", "source") == {
        ("session_clusters",): 0,
        ("livy_sessions",): 0,
    }
    assert page.has("exporter_target_error_info", source="session_clusters", reason="paging")
    assert page.has("exporter_target_error_info", source="livy_sessions", reason="incomplete")
    assert_golden("vendor_answers.prom", stable(page.text))


async def test_golden_healthy() -> None:
    """Usage grows, sessions start and end, a cluster stops: the second poll shows it all."""
    async with Harness(busy_world()) as h:
        await h.poll()
        h.clock.advance(30)
        h.world.revise(key("livy-a"), used(2.5))
        h.world.change_session(key("livy-b"), state="terminated", end_time_ms=1_780_000_020_000)
        h.world.put_session(session("livy-f", 0.5, age=-10, queue="new", proxy_user="cleo"))
        h.world.change_cluster(WORKSPACE, "sc-1", state="Stopping")
        await h.poll()
        assert_golden("healthy.prom", stable((await h.page()).text))


async def test_golden_one_target_failing() -> None:
    """A target that fails keeps its last gauges, says why, and leaves the others alone."""
    async with Harness(busy_world()) as h:
        await h.poll()
        h.clock.advance(30)
        h.cloud.faults.add(faults.FORBIDDEN, compute_id=GATEWAY)
        h.world.revise(key("livy-a"), used(2.5))
        await h.poll()
        assert_golden("one_target_failing.prom", stable((await h.page()).text))


async def test_golden_empty_account() -> None:
    """Where there is nothing yet, the targets are up and the page says little else."""
    async with Harness(empty_world()) as h:
        await h.poll()
        assert_golden("empty_account.prom", stable((await h.page()).text))


async def test_golden_odd_characters() -> None:
    """Quotes, backslashes, line ends, Chinese, over-long and broken text make a valid page."""
    world = empty_world()
    for number, name in enumerate(ODD):
        fields = {"name": name, "queue": name, "proxy_user": name}
        world.put_session(session(f"livy-{number} {name[:9]}", number, age=number, **fields))
        world.put_cluster(
            SimulatedCluster(WORKSPACE, f"sc-{number}", name=name, queue=name, user_name=name)
        )
    async with Harness(world) as h:
        await h.poll()
        assert_golden("odd_characters.prom", stable((await h.page()).text))


async def test_golden_unknown_states() -> None:
    """A state outside the vocabulary becomes `unknown` and is counted; spelling is no matter."""
    world = empty_world()
    states = ("RUNNING", "Not_Started", "not started", "Frozen", "", "dead")
    for number, state in enumerate(states):
        world.put_cluster(SimulatedCluster(WORKSPACE, f"sc-{number}", state=state))
        world.put_session(session(f"livy-{number}", 1, state=state))
    world.put_cluster(SimulatedCluster(WORKSPACE, "sc-null", raw={"state": None}))
    world.put_session(session("livy-null", 1, raw={"state": 7}))
    async with Harness(world) as h:
        await h.poll()
        assert_golden("unknown_states.prom", stable((await h.page()).text))


def test_golden_catalog() -> None:
    """Names, types and labels are a contract with dashboards and alerts."""
    lines = [f"{each.name} {each.kind} {' '.join(each.labels)}".rstrip() for each in CATALOG]
    assert_golden("catalog.txt", "\n".join((*lines, "")))


@pytest.mark.real
@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem) for path in sorted(FOLDER.glob("*.prom"))]
)
def test_promtool_objects_to_units_only(path: Path, real_tool: Callable[[str], Path]) -> None:
    """`promtool check metrics` finds nothing on a page but the units of the bill."""
    checked = subprocess.run(
        [real_tool("promtool"), "check", "metrics"],
        input=path.read_bytes(),
        capture_output=True,
        check=False,
    )
    text = path.read_text(encoding="utf-8")
    expected = sorted(
        f'emr_serverless_spark_{name} use base unit "seconds" instead of "hours"'
        if unit == "hours"
        else f"emr_serverless_spark_{name} metric names should not contain abbreviated units"
        for name, unit in OBJECTIONS.items()
        if f"emr_serverless_spark_{name}{{" in text
    )
    assert sorted((checked.stdout + checked.stderr).decode().splitlines()) == expected


def completed(seed: Path) -> bytes:
    """Return a sample answer as a listing of one record that says so."""
    answer = json.loads(seed.read_bytes())
    answer.pop("nextToken", None)
    return json.dumps({**answer, "totalCount": 1}).encode()


async def verbatim(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a sample as it stands, whatever the page: even its token is the vendor's own."""
    seed = SEEDS[Request(scope).headers["x-acs-action"]]
    await Response(seed.read_bytes())(scope, receive, send)
