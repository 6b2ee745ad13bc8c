"""The status as JSON and as HTML, without a browser."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message

from exporter.demo import Behaviour, SimulatedCluster, faults
from exporter.web.status import page
from exporter.web.status.routes import REFRESH_SECONDS
from tests.support.harness import START, Harness
from tests.support.worlds import (
    GATEWAY,
    WHOLE_REGION,
    WORKSPACE,
    busy_world,
    discovered_world,
    empty_world,
    key,
    session,
    used,
)
from tests.web.status_pages import VIEW, app_of, json_of, view_of

pytestmark = pytest.mark.anyio

SCHEMA = Path(page.__file__).with_name("schema.json")


def test_golden_schema_is_that_of_the_view() -> None:
    """The schema file has every field of the JSON and no other."""
    schema = VIEW.json_schema(mode="serialization")
    text = json.dumps(schema, indent=2) + "\n"
    if os.environ.get("GOLDEN_UPDATE") == "1":
        SCHEMA.write_text(text, encoding="utf-8")
    assert text == SCHEMA.read_text(encoding="utf-8"), "it differs; see `make golden`"


async def test_json_is_valid_by_the_published_schema() -> None:
    """Also if polls fail, before the first poll, and with discovery."""
    import jsonschema  # noqa: PLC0415  takes long, and every worker reads this module

    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(_closed(schema))
    async with Harness(busy_world()) as h:
        validator.validate(await json_of(h))
        await h.poll()
        validator.validate(await json_of(h))
        h.cloud.faults.add(faults.FORBIDDEN)
        await h.poll()
        validator.validate(await json_of(h))
    async with Harness(busy_world(), targets=[], region_id="cn-hangzhou") as h:
        await h.discover()
        await h.poll()
        validator.validate(await json_of(h))


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with fields forbidden that it does not name."""
    definitions = {
        name: {**each, "additionalProperties": False} for name, each in schema["$defs"].items()
    }
    return {**schema, "$defs": definitions, "additionalProperties": False}


async def test_page_shows_nothing_that_is_not_in_the_json() -> None:
    """The page rendered from the JSON is the page that was served."""
    async with Harness(busy_world()) as h:
        await h.poll()
        h.cloud.faults.add(faults.THROTTLED, action="ListSessionClusters")
        await h.poll()
        written = (await h.get("/?refresh=off")).content
        before, after = page.render(await view_of(h))
        assert before + page.refresh_line(0) + after == written


async def test_page_loads_nothing_and_forbids_scripts_and_frames() -> None:
    """No script, cookie or referrer, nothing from other hosts, and no embedding."""
    async with Harness(busy_world()) as h:
        await h.poll()
        answer = await h.get("/")
    policy = answer.headers["content-security-policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert {each.split()[0] for each in policy[1:]} == {
        "style-src",
        "img-src",
        "base-uri",
        "form-action",
        "frame-ancestors",
    }
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "set-cookie" not in answer.headers
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_json_is_served_as_json_to_get_and_head_only() -> None:
    """A browser does not render it as HTML."""
    async with Harness(busy_world()) as h:
        answer = await h.get("/api/v1/status")
        assert answer.headers["content-type"] == "application/json"
        head = await h.get("/api/v1/status", method="HEAD")
        assert (head.status_code, head.content) == (200, b"")
        assert (await h.get("/", method="POST")).status_code == 405


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("", REFRESH_SECONDS),
        ("?refresh=off", None),
        ("?refresh=60", 60),
        ("?refresh=1", REFRESH_SECONDS),
        ("?refresh=99999999", REFRESH_SECONDS),
        ("?refresh=%3Cscript%3E", REFRESH_SECONDS),
        ("?refresh=%D9%A3%D9%A0", REFRESH_SECONDS),
    ],
)
async def test_refresh_interval_is_set_by_the_query(query: str, seconds: int | None) -> None:
    """Out of range or invalid values give the default; `off` disables the refresh."""
    async with Harness(busy_world()) as h:
        answer = await h.get(f"/{query}")
    assert answer.headers.get("refresh") == (None if seconds is None else str(seconds))
    assert (">Pause</a>" in answer.text) is (seconds is not None)


@pytest.mark.parametrize("paths", [("/?refresh=5", "/?refresh=60"), ("/api/v1/status",) * 2])
async def test_concurrent_readers_share_one_copy_of_the_page(paths: tuple[str, str]) -> None:
    """With any refresh interval: a slow reader costs no page of its own in memory."""
    async with Harness(busy_world()) as h:
        await h.poll()
        app = app_of(await view_of(h))
    first, second = [await _longest_part(app, path) for path in paths]
    assert len(first) > 5000
    assert first is second


async def _longest_part(app: ASGIApp, target: str) -> bytes:
    parts: list[bytes] = []

    async def send(message: Message) -> None:
        parts.append(message.get("body", b""))

    async def receive() -> Message:
        return {"type": "http.request"}

    path, _, query = target.partition("?")
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode()}
    await app({**scope, "headers": []}, receive, send)
    return max(parts, key=len)


async def test_usage_since_the_start_excludes_the_first_listing() -> None:
    """Later growth is shown by queue and by user."""
    world = busy_world()
    async with Harness(world) as h:
        await h.poll()
        first = (await view_of(h)).usage
        assert (first.cu_hours, first.cu_hours_since_start) == (7.875, 0)
        h.clock.advance(30)
        world.revise(key("livy-a"), used(2.0))
        world.put_session(session("livy-new", 3, queue="fresh", proxy_user="eve"))
        await h.poll()
        usage = (await view_of(h)).usage
    assert (usage.cu_hours, usage.cu_hours_since_start) == (11.375, 3.5)
    assert [(each.name, each.cu_hours_since_start) for each in usage.queues[:2]] == [
        ("fresh", 3.0),
        ("root_queue", 0.5),
    ]
    assert [(each.name, each.cu_hours_since_start) for each in usage.users[:2]] == [
        ("eve", 3.0),
        ("ann", 0.5),
    ]


async def test_held_usage_is_in_the_totals_of_the_page() -> None:
    """The page also shows how much of them is not exported to Prometheus yet."""
    world = busy_world()
    async with Harness(world, birth_hold=90) as h:
        await h.poll()
        world.revise(key("livy-a"), used(2.5))
        await h.poll()
        view = await view_of(h)
    assert (view.usage.cu_hours, view.usage.held_back) == (8.875, 1.0)
    assert view.ledger.held_series > 0


async def test_failing_target_shows_the_reason_and_what_to_do() -> None:
    """A stale target lists no sessions; one that recovered keeps its last failure."""
    async with Harness(busy_world()) as h:
        await h.poll()
        h.cloud.faults.add(faults.FORBIDDEN, action="ListLivyComputeSessions")
        await h.poll()
        view = await view_of(h)
        failing = [each for each in view.targets if each.state == "failing"]
        assert {each.source for each in failing} == {"livy_sessions"}
        trouble = failing[0].trouble
        assert trouble is not None
        assert (trouble.reason, trouble.is_current, trouble.age) == ("permission", True, 0)
        assert "emr-serverless-spark" in trouble.message + trouble.advice
        assert view.verdict.level == "attention"
        assert [each.anchor for each in view.verdict.problems] == ["targets", "clusters"]
        assert len(view.sessions.live) == 4

        await h.tick(301)
        view = await view_of(h)
        states = {each.source: each.state for each in view.targets}
        assert states["livy_sessions"] == "stale"
        # Nothing is listed, and that is not the same as that there is nothing.
        assert (view.sessions.live, view.sessions.gateways_unknown) == ((), 2)
        html = (await h.get("/")).text
        assert "Currently unknown: those of 2 gateways." in html
        assert "no session." not in html

        h.cloud.faults.clear()
        await h.poll()
        view = await view_of(h)
    recovered = [each.trouble for each in view.targets if each.trouble]
    assert {each.state for each in view.targets} == {"up"}
    assert [each.is_current for each in recovered] == [False, False]


async def test_workspace_without_session_clusters_is_not_shown_as_unknown() -> None:
    """It was listed and has none; it is unknown only before a poll and when stale."""
    async with Harness(empty_world()) as h:
        assert (await view_of(h)).clusters.workspaces_unknown == 1
        await h.poll()
        assert (await view_of(h)).clusters.workspaces_unknown == 0
        html = (await h.get("/")).text
        assert "As listed now: no session cluster." in html
        assert "Not known" not in html

        h.cloud.faults.add(faults.FORBIDDEN, action="ListSessionClusters")
        await h.poll()
        assert (await view_of(h)).clusters.workspaces_unknown == 0
        await h.tick(301)
        assert (await view_of(h)).clusters.workspaces_unknown == 1


async def test_session_cluster_in_error_shows_the_reason() -> None:
    """Its age, code, message and the link to its Spark UI."""
    world = busy_world()
    world.put_cluster(
        SimulatedCluster(
            WORKSPACE,
            "sc-9",
            state="Error",
            reason_code="DriverOutOfMemory",
            reason_message="The driver\nran out of memory.",
        )
    )
    async with Harness(world) as h:
        await h.poll()
        h.clock.advance(60)
        await h.poll()
        view = await view_of(h)
    assert view.clusters.by_state["error"] == 2
    (found,) = (each for each in view.clusters.in_error if each.session_cluster_id == "sc-9")
    assert (found.state_code, found.age) == ("DriverOutOfMemory", 60)
    assert found.state_message == "The driver ran out of memory."
    assert found.spark_ui == "http://spark-ui-sc-9.data.aliyun.com"
    assert found.anchor == "cluster-sc-9"


async def test_every_live_session_has_its_own_anchor() -> None:
    """Dashboards link to `#session-<id>`; a second session with that id has a longer one."""
    async with Harness(busy_world()) as h:
        await h.poll()
        view, text = await view_of(h), (await h.get("/")).text
    anchors = [each.anchor for each in view.sessions.live]
    assert {"session-livy-a", "session-livy-b", "session-livy-e"} <= set(anchors)
    assert len({*anchors}) == len(anchors) == 4
    assert all(f'id="{each}"' in text for each in anchors)


async def test_recently_failed_sessions_have_a_table_with_the_reason() -> None:
    """It is above the table of other sessions."""
    world = busy_world()
    async with Harness(world) as h:
        await h.poll()
        ended = {"end_time_ms": int(START * 1000)}
        world.change_session(key("livy-a"), state="terminated", **ended)
        world.change_session(key("livy-b"), state="error", info="Out of memory", **ended)
        await h.poll()
        view, html = await view_of(h), (await h.get("/")).text
    assert [each.session_id for each in view.sessions.ended] == ["livy-a"]
    assert [(each.session_id, each.info) for each in view.sessions.failed] == [
        ("livy-b", "Out of memory")
    ]
    failed, live = html.index('id="failed"'), html.index('id="sessions"')
    assert failed < html.index('id="session-livy-b"') < html.index("Out of memory") < live
    assert live < html.index('id="session-livy-a"')


async def test_verdict_is_ok_despite_a_few_failed_sessions() -> None:
    """The summary mentions them."""
    world = empty_world()
    for number in range(4):
        world.put_session(session(f"livy-{number}", 1))
    async with Harness(world) as h:
        await h.poll()
        view = await view_of(h)
        well = "2 targets polled, no session cluster in error"
        assert (view.verdict.level, view.verdict.summary) == ("ok", f"All is well: {well}")
        world.change_session(key("livy-0"), state="error", end_time_ms=int(START * 1000))
        for number in range(1, 4):
            world.change_session(key(f"livy-{number}"), state="terminated")
        await h.poll()
        view, html = await view_of(h), (await h.get("/")).text
    said = f"{well}, 1 of 4 Livy sessions that ended recently failed"
    assert (view.verdict.level, view.verdict.summary) == ("ok", said)
    assert '<dd class="care">1<small> of 4 ended</small>' in html


async def test_table_of_sessions_is_limited_and_says_how_many_more() -> None:
    """The page stays small enough for a phone."""
    world = busy_world()
    for number in range(700):
        world.put_session(session(f"livy-{number:04}", 1))
    async with Harness(world) as h:
        await h.poll()
        view, text = await view_of(h), (await h.get("/")).text
    assert (len(view.sessions.live), view.sessions.live_not_shown) == (500, 204)
    assert "And 204 more." in text


async def test_truncated_history_is_shown_as_incomplete() -> None:
    """The readable part is shown, as "at least", and never as all or none."""
    world = empty_world()
    for number in range(250):
        world.put_session(session(f"livy-{number:04}", 1, age=number))
    async with Harness(world, behaviour=Behaviour(reachable_rows=100)) as h:
        for _ in range(3):
            await h.poll()
        view, text = await view_of(h), (await h.get("/")).text
    assert {each.state for each in view.targets} == {"up"}
    assert (len(view.sessions.live), view.sessions.gateways_unknown) == (100, 1)
    assert "100<small> at least</small>" in text
    assert "no session." not in text


async def test_view_is_built_at_most_once_a_second() -> None:
    """All requests within that second get the same view."""
    async with Harness(busy_world()) as h:
        await h.poll()
        first = await view_of(h)
        assert (await view_of(h)) == first
        h.clock.advance(1)
        assert (await view_of(h)).generated_at == first.generated_at + 1


@pytest.mark.process
def test_startup_does_not_import_the_template_engine() -> None:
    """It is imported when the page is first opened."""
    code = "import sys, exporter.app; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_page_is_served_before_the_first_discovery() -> None:
    """It says that nothing is known yet."""
    async with Harness(busy_world(), targets=[], region_id="cn-hangzhou") as h:
        view = await view_of(h)
        assert view.verdict.level == "starting"
        assert "Unknown: no successful discovery yet." in (await h.get("/")).text


async def test_names_of_workspaces_and_gateways_are_shown_in_place_of_ids() -> None:
    """Discovery finds them; without discovery, and before it, the ids are shown."""
    async with Harness(discovered_world(), targets=WHOLE_REGION) as h:
        await h.discover_and_poll()
        view, html = await view_of(h), (await h.get("/")).text
    sessions = [each for each in view.targets if each.source == "livy_sessions"]
    assert [(each.workspace_name, each.gateway_name) for each in sessions] == [("prod", "etl")]
    assert [each.workspace_name for each in view.usage.queues] == ["prod"]
    assert [(each.workspace_name, each.gateway_name) for each in view.sessions.live] == [
        ("prod", "etl")
    ]
    assert ">prod<" in html
    async with Harness(discovered_world()) as h:
        await h.poll()
        view = await view_of(h)
    assert [(each.workspace_name, each.gateway_name) for each in view.sessions.live] == [
        (WORKSPACE, GATEWAY)
    ]
