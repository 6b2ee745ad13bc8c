"""Failures that come with HTTP 200, and answers that cannot be taken as they are: at the page."""

import gzip

import pytest

from exporter.catalog import PREFIX
from exporter.demo import Call, SimulatedCluster, World
from exporter.demo.faults import Alter, Canned, Page
from tests.support.harness import Harness
from tests.support.pages import Page as Samples
from tests.support.worlds import (
    GATEWAY,
    WHOLE_REGION,
    WORKSPACE,
    busy_world,
    discovered_world,
    empty_world,
    session,
)

pytestmark = pytest.mark.anyio

ACTIONS = ("ListSessionClusters", "ListLivyComputeSessions", "ListWorkspaces", "ListLivyCompute")
ROWS = ("sessions", "sessionClusters", "workspaces")


def emptied(**fields: object) -> Alter:
    """Serve an empty list, which says by some fields of its own that it is none."""

    def change(page: Page, _call: Call) -> None:
        page.update({name: [] for name in ROWS if name in page})
        page.update({"totalCount": 0, "data": {"livyComputes": []}, **fields})

    return Alter(change)


def series(page: Samples, name: str) -> dict[frozenset[tuple[str, str]], float]:
    """Return the value of every series of a metric."""
    return {
        frozenset(sample.labels.items()): sample.value
        for sample in page.samples
        if sample.name == f"{PREFIX}{name}"
    }


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_passing_failure_in_a_success_costs_an_attempt(action: str) -> None:
    """It is repeated as any other: no poll and no discovery fails, and nothing is lost."""
    async with Harness(discovered_world(), targets=WHOLE_REGION) as h:
        await h.discover_and_poll()
        before = h.peek()
        effect = emptied(success=False, code="InternalError", message="Try again.")
        fault = h.cloud.faults.add(effect, action=action, times=2)
        await h.discover_and_poll()
        after = h.peek()
        assert h.cloud.faults.struck(fault) == 2
    for name in ("livy_sessions", "session_cluster_state", "livy_sessions_ended_total"):
        assert series(after, name) == series(before, name)
    assert set(after.values("exporter_target_up").values()) == {1}
    assert set(after.values("exporter_discovery_up").values()) == {1}
    retries = after.values("exporter_api_retries_total", "action")
    assert {name for (name,), count in retries.items() if count} == {action}


async def test_throttling_in_a_success_slows_down() -> None:
    """The request rate falls, as by a refusal of any other form, and the wait asked for is kept."""
    async with Harness(busy_world()) as h:
        await h.poll()
        answer = Canned(
            b'{"code":"Throttling.User","message":"Slow down."}',
            headers=(("Retry-After", "7"),),
        )
        h.cloud.faults.add(answer, action="ListSessionClusters", times=1)
        start = h.clock.monotonic()
        await h.poll("session_clusters")
        page = h.peek()
        assert h.clock.monotonic() - start >= 7
    rates = page.values("exporter_api_request_rate_limit")
    assert min(rates.values()) < 600
    assert set(page.values("exporter_target_up").values()) == {1}


GBK_NAME = "\u5f00\u53d1\u961f\u5217"


@pytest.mark.parametrize("charset", ["gbk", "GB18030", "utf-16", '"gb2312"', "utf-8"])
async def test_a_named_charset_is_obeyed(charset: str) -> None:
    """Queues have the names that they have, whatever charset the answer is written in."""
    row = f'{{"sessionId":"s","state":"running","queue":"{GBK_NAME}","createTime":1,"cuHours":1}}'
    body = f'{{"totalCount":1,"sessions":[{row}]}}'.encode(charset.strip('"'))
    answer = Canned(body, content_type=f"application/json;charset={charset}")
    async with Harness(empty_world()) as h:
        h.cloud.faults.add(answer, action="ListLivyComputeSessions")
        await h.poll()
        page = h.peek()
    assert page.value("livy_cu_hours_total", queue=GBK_NAME) == 1


@pytest.mark.parametrize("encoding", ["identity", "Identity, identity"])
async def test_an_answer_that_names_its_plain_encoding_is_read(encoding: str) -> None:
    """Some proxies say that an answer is not encoded."""
    answer = Canned(b'{"totalCount":0}', headers=(("Content-Encoding", encoding),))
    async with Harness(empty_world()) as h:
        h.cloud.faults.add(answer, action="ListSessionClusters")
        await h.poll("session_clusters")
        page = h.peek()
    assert page.value("exporter_target_up", source="session_clusters") == 1


async def test_lone_surrogate_in_an_answer_that_names_utf_8_costs_no_row() -> None:
    """Java writes such bytes for half a character; the record is read like any other."""
    row = b'{"sessionId":"s","state":"running","queue":"q","name":"\xed\xa0\x80","cuHours":1}'
    body = b'{"totalCount":1,"sessions":[' + row + b"]}"
    answer = Canned(body, content_type="application/json; charset=utf-8")
    async with Harness(empty_world()) as h:
        h.cloud.faults.add(answer, action="ListLivyComputeSessions")
        await h.poll()
        page = h.peek()
    assert page.value("livy_cu_hours_total", queue="q") == 1


def world_with_names(name: str) -> World:
    """Make a world in which a name stands wherever one can."""
    world = busy_world()
    world.put_cluster(SimulatedCluster(WORKSPACE, f"sc{name}", name=name, queue=name))
    world.put_session(session(f"livy{name}", queue=name, proxy_user=name, name=name))
    return world


@pytest.mark.parametrize(
    "character", ["\r", "\u2028", "\u2029", "\x85", "\x00", "\x0b", "\x1c", "\x9b"]
)
async def test_names_do_not_break_lines(character: str) -> None:
    """No control character of a name is in the page, so that every reader finds the same lines."""
    async with Harness(world_with_names(f"a{character}b")) as h:
        await h.poll()
        await h.poll()
        text = (await h.get("/metrics")).text
        queues = h.peek().values("livy_cu_hours_total", "queue", livy_compute_id=GATEWAY)
    assert text.splitlines() == text.removesuffix("\n").split("\n")
    assert character not in text
    assert [queue for (queue,) in queues if queue.startswith("a\\")]


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        (Canned(gzip.compress(b"{}"), headers=(("Content-Encoding", "gzip"),)), "encoding 'gzip'"),
        (Canned(b"x", headers=(("Content-Encoding", "br"),)), "encoding 'br'"),
        (Canned(b"x", 502, headers=(("Content-Encoding", "zstd"),)), "encoding 'zstd'"),
        *(
            (Canned(mark * 500_001), "the answer holds more than 500000 values")
            for mark in (b",", b"[", b"{")
        ),
        (Canned(b"", 304), "HTTP 304"),
        (Canned(b"", 204), "HTTP 204"),
        (Canned(b"{}", 206), "HTTP 206"),
        (Canned(b"{}", content_type="text/html; charset=klingon"), "charset 'klingon'"),
        (Canned(b"{}", content_type="text/html; charset=rot13"), "charset 'rot13'"),
        (
            Canned(b"{}", content_type="a/b; charset=unicode_escape"),
            "charset 'unicode_escape' is not supported",
        ),
    ],
    ids=lambda value: str(value)[-20:],
)
async def test_an_unexpected_answer_is_named(effect: Canned, said: str) -> None:
    """The status page says what came, and not that it was a login page."""
    async with Harness(busy_world(), api={"max_attempts": 1}) as h:
        h.cloud.faults.add(effect, action="ListSessionClusters")
        await h.poll()
        text = (await h.get("/api/v1/status")).text
    assert said in text
    assert "redirect" not in text
    assert "login" not in text or "charset" in said
