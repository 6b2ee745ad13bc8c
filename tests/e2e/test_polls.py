"""What polls make of the world, at the page: failures, staleness, disappearance, oddities."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.demo import Call, SimulatedCluster, SimulatedSession, TableName, World, faults
from tests.support.harness import Harness
from tests.support.worlds import GATEWAY, WORKSPACE, busy_world, empty_world, key, session, used

pytestmark = pytest.mark.anyio

GAUGES = {"livy_sessions", "livy_session_state", "livy_session_info", "livy_session_cu_hours"}


def go_in_circles(page: faults.Page, call: Call) -> None:
    """Say that there is more, and lead back to the same page."""
    page.update(totalCount=99, nextToken=call.own_token)


def target(source: str) -> dict[str, str]:
    """Return the labels of a target of the first workspace."""
    return {"source": source, "workspace_id": WORKSPACE}


@pytest.mark.parametrize(
    ("effect", "reason"),
    [
        (faults.THROTTLED, "throttled"),
        (faults.FORBIDDEN, "permission"),
        (faults.EXPIRED_TOKEN, "credential"),
        (faults.CLOCK, "clock"),
        (faults.UNAVAILABLE, "server"),
        (faults.HTML_200, "malformed"),
        (faults.Truncate(), "malformed"),
        (faults.Cut(), "network"),
        (faults.Flood(2**20), "too_large"),
        (faults.Hang(), "timeout"),
        (faults.Alter(go_in_circles), "paging"),
        (faults.total_count(99), "incomplete"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_every_failure_has_its_reason(effect: faults.Effect, reason: str) -> None:
    """What goes wrong with one source is named, counted, and leaves the other alone."""
    action, source = (
        ("ListSessionClusters", "session_clusters")
        if reason == "paging"
        else ("ListLivyComputeSessions", "livy_sessions")
    )
    api = {"timeout": 0.3, "max_response_bytes": 2**19}
    world = empty_world()
    for number in range(3):
        world.put_session(session(f"livy-{number}", 1))
        world.put_cluster(SimulatedCluster(WORKSPACE, f"sc-{number}"))
    async with Harness(world, api=api) as h:
        h.cloud.faults.add(effect, action=action)
        await h.poll(source)
        failing = await h.page()
        h.cloud.faults.clear()
        await h.poll()
        fine = await h.page()
    assert failing.value("exporter_target_up", source=source) == 0
    assert failing.values("exporter_target_error_info", "reason") == {(reason,): 1}
    counted = failing.values("exporter_poll_failures_total", "source", "reason")
    assert {labels for labels, count in counted.items() if count} == {(source, reason)}
    assert set(fine.values("exporter_target_up").values()) == {1}
    assert not fine.has("exporter_target_error_info")


async def test_old_gauges_go_when_the_target_is_stale() -> None:
    """While a target fails, its gauges stay until they are too old; its counters stay for good."""
    async with Harness(busy_world()) as h:
        await h.poll()
        before = await h.page()
        h.cloud.faults.add(faults.FORBIDDEN, compute_id=GATEWAY)
        await h.tick(299)
        await h.poll()
        kept = await h.page()
        await h.tick(1)
        stale = await h.page()
    first = {"workspace_id": WORKSPACE}
    for name in GAUGES:
        assert kept.values(name, **first) == before.values(name, **first) != {}
        assert not stale.has(name, **first)
        assert stale.has(name, workspace_id="w-2")
    for name in ("livy_cu_hours_total", "livy_gateway_info", "workspace_info"):
        assert stale.values(name, **first) == before.values(name, **first) != {}
    assert stale.value("exporter_target_up", **target("livy_sessions")) == 0
    assert stale.has("session_clusters", **first)


async def test_what_vanishes_from_a_complete_listing_is_gone_at_once() -> None:
    """The series of a session go with it; an open one ended without being seen."""
    async with Harness(busy_world()) as h:
        await h.poll()
        h.world.remove_session(key("livy-a"))
        h.world.remove_cluster(WORKSPACE, "sc-1")
        await h.poll()
        page = await h.page()
    assert not page.has("livy_session_state", session_id="livy-a", workspace_id=WORKSPACE)
    assert page.has("livy_session_state", session_id="livy-b")
    assert not page.has("session_cluster_state", session_cluster_id="sc-1", workspace_id=WORKSPACE)
    labels = {"queue": "root_queue", "workspace_id": WORKSPACE}
    assert page.value("livy_sessions_ended_total", state="unknown", **labels) == 1
    assert page.value("livy_cu_hours_total", **labels) == 1.75


@pytest.mark.parametrize(
    ("table", "source", "gauge"),
    [
        (TableName.CLUSTERS, "session_clusters", "session_clusters"),
        (TableName.SESSIONS, "livy_sessions", "livy_sessions"),
    ],
)
async def test_an_empty_listing_after_a_filled_one_is_accepted_the_second_time(
    table: TableName, source: str, gauge: str
) -> None:
    """One empty listing after a full one is a failure; two are the truth."""
    async with Harness(busy_world()) as h:
        await h.poll()
        h.world.hide(table)
        await h.poll(source)
        doubted = await h.page()
        await h.poll(source)
        believed = await h.page()
    assert doubted.has("exporter_target_error_info", reason="incomplete", **target(source))
    assert doubted.has(gauge, workspace_id=WORKSPACE)
    assert believed.value("exporter_target_up", **target(source)) == 1
    assert not believed.has(gauge, workspace_id=WORKSPACE)


OFF: list[tuple[dict[str, Any], str, float]] = [
    ({"usage": {"by_proxy_user": False}}, "livy_proxy_user_cu_hours_total", 1.5),
    ({"usage": {"max_proxy_users": 0}}, "livy_proxy_user_mb_seconds_total", 1.5 * 3600 * 4096),
    ({"livy": {"enabled": False}}, "livy_cu_hours_total", 11.5),
    ({"session_clusters": {"enabled": False}}, "session_cluster_state_entries_total", 0.0),
]


@pytest.mark.parametrize(("off", "name", "kept"), OFF, ids=str)
async def test_counters_that_are_switched_off_are_not_on_the_page(
    off: dict[str, Any], name: str, kept: float, tmp_path: Path
) -> None:
    """They do not stand still there; switched on again, they continue at the value they had."""
    labels = {"workspace_id": WORKSPACE}
    if name == "livy_cu_hours_total":
        labels["queue"] = "root_queue"
    elif name == "session_cluster_state_entries_total":
        labels |= {"kind": "SQL", "state": "error"}
    else:
        labels["proxy_user"] = "ann"
    world = busy_world()
    world.remove_session(key("livy-c", age=3600))
    async with Harness(world, ledger=tmp_path / "l.db") as on:
        await on.poll()
        before = await on.page()
    async with Harness(world, ledger=tmp_path / "l.db", **off) as without:
        at_start = await without.page()
        world.revise(key("livy-a"), used(11.25))
        await without.poll()
        meanwhile = await without.page()
    async with Harness(world, ledger=tmp_path / "l.db") as on:
        await on.poll()
        after = await on.page()
    assert before.has(name)
    assert not at_start.has(name)
    assert not meanwhile.has(name)
    assert after.value(name, **labels) == kept


async def test_a_partial_scan_counts_usage_but_shows_no_states() -> None:
    """What the pages before a failure report is usage; the gauges stay those of the last scan."""
    world = empty_world()
    for number in range(150):
        world.put_session(session(f"livy-{number:03}", 1, age=number))
    async with Harness(world) as h:
        await h.poll()
        h.world.revise(key("livy-000", age=0), used(5))
        h.world.put_session(session("livy-new", 2, age=-1))
        h.world.revise(key("livy-149", age=149), used(7))
        h.cloud.faults.add(faults.FORBIDDEN, page=2)
        await h.poll()
        page = await h.page()
    assert page.value("livy_cu_hours_total") == 150 + 4 + 2
    assert page.value("livy_sessions", state="running") == 150
    assert not page.has("livy_session_state", session_id="livy-new")
    assert page.value("livy_session_cu_hours", session_id="livy-000") == 1


async def test_the_highest_figure_of_a_scan_counts_though_it_is_read_again() -> None:
    """A session that is read twice in one scan, and revised down between, was reported at both."""
    world = empty_world()
    for number in range(150):
        world.put_session(session(f"livy-{number:03}", 1, age=number))
    boundary = key("livy-099", age=99)

    def shift(call: Call) -> None:
        if call.page == 2 and not world.history(WORKSPACE, GATEWAY).get(key("livy-new", age=-1)):
            world.put_session(session("livy-new", 0, age=-1))
            world.revise(boundary, used(4))

    async with Harness(world) as h:
        await h.poll()
        h.world.revise(boundary, used(5))
        h.cloud.before_page = shift
        await h.poll()
        page = await h.page()
    assert page.value("livy_cu_hours_total") == 150 + 4
    assert page.value("livy_cu_hours_overcounted") == 1
    assert page.value("livy_sessions", state="running") == 151


async def test_one_malformed_record_costs_only_itself() -> None:
    """The others count, and so does the oddity."""
    world = empty_world()
    world.put_session(session("livy-good", 1))
    world.put_session(session("livy-bad", 1, age=1, raw={"cuHours": "many"}))
    world.put_session(session("livy-nan", 1, age=2, raw='{"sessionId":"livy-nan","cuHours":NaN}'))
    async with Harness(world) as h:
        with capture_logs() as logged:
            for _ in range(3):
                await h.poll()
        page = await h.page()
    (line,) = (line for line in logged if line["event"] == "records_malformed")
    assert (line["records"], line["count"]) == ("livy-bad, livy-nan", 2)
    assert page.value("exporter_target_up", **target("livy_sessions")) == 1
    assert page.value("livy_cu_hours_total") == 1
    assert page.value("exporter_malformed_records_total", source="livy_sessions") == 6
    assert page.value("exporter_malformed_record_ids", source="livy_sessions") == 2


async def test_a_state_that_is_not_documented_is_named_in_the_log_once() -> None:
    """Those of clusters, too; a secret in it is not."""
    world = empty_world()
    world.put_session(session("livy-a", 1, state="Hibernating"))
    world.put_cluster(SimulatedCluster(WORKSPACE, "sc-1", state="password=sentinel"))
    async with Harness(world) as h:
        with capture_logs() as logged:
            for _ in range(2):
                await h.poll()
    lines = [
        (line["target"], line["states"]) for line in logged if line["event"] == "states_unknown"
    ]
    assert sorted(lines) == [
        (f"livy_sessions/{WORKSPACE}/{GATEWAY}", "Hibernating"),
        (f"session_clusters/{WORKSPACE}", "password=…"),
    ]


async def test_a_record_without_an_id_is_one_whatever_it_says() -> None:
    """Its figures change with every poll."""
    world = empty_world()
    async with Harness(world) as h:
        for usage in range(3):
            world.put_session(session("livy-a", 1, raw=f'{{"cuHours":{usage}}}'))
            await h.poll()
        page = await h.page()
    assert page.value("exporter_malformed_records_total", source="livy_sessions") == 3
    assert page.value("exporter_malformed_record_ids", source="livy_sessions") == 1


async def test_over_the_limit_the_failed_keep_their_series_first() -> None:
    """Failed sessions, then the newest live ones; the rest is counted, and in the totals."""
    world = empty_world()
    for number in range(4):
        world.put_session(session(f"livy-{number}", 1, age=100 + number))
    async with Harness(world, sessions={"max_series_sessions": 2}) as h:
        await h.poll()
        first = await h.page()
        h.world.change_session(key("livy-3", age=103), state="error")
        await h.poll()
        second = await h.page()
    states = [page.values("livy_session_cu_hours", "session_id") for page in (first, second)]
    assert [set(found) for found in states] == [
        {("livy-0",), ("livy-1",)},
        {("livy-0",), ("livy-3",)},
    ]
    assert second.value("exporter_sessions_without_series") == 2
    assert second.value("livy_cu_hours_total") == 4


async def test_an_ended_session_keeps_its_series_for_a_while() -> None:
    """From the moment its end was seen; one that had ended before has none."""
    async with Harness(busy_world(), sessions={"ended_retention": 900}) as h:
        await h.poll()
        h.clock.advance(600)
        h.world.change_session(key("livy-b"), state="terminated", end_time_ms=1_780_000_000_000)
        await h.poll()
        h.clock.advance(899)
        await h.poll()
        kept = await h.page()
        h.clock.advance(1)
        await h.poll()
        gone = await h.page()
    assert kept.value("livy_session_state", session_id="livy-b", state="terminated") == 1
    assert kept.value("livy_session_end_timestamp_seconds", session_id="livy-b") == 1_780_000_000
    assert not gone.has("livy_session_state", session_id="livy-b")
    assert not kept.has("livy_session_state", session_id="livy-c")


async def test_of_two_sessions_with_one_id_the_newest_has_series() -> None:
    """Both count; an id that was used again stands for the later session."""
    world: World = empty_world()
    world.put_session(session("livy-a", 1, age=1000, queue="old"))
    world.put_session(session("livy-a", 2, age=10, queue="new"))
    async with Harness(world) as h:
        await h.poll()
        page = await h.page()
    assert page.values("livy_session_info", "queue") == {("new",): 1}
    assert page.values("livy_cu_hours_total", "queue") == {("old",): 1, ("new",): 2}


async def test_accounts_with_the_same_ids_do_not_mix() -> None:
    """A gateway's name counts within its workspace only."""
    world = busy_world()
    world.put_session(
        SimulatedSession("w-2", "lc-2", "livy-b", 5, queue="root_queue", usage=used(8))
    )
    async with Harness(world) as h:
        await h.poll()
        page = await h.page()
    assert page.values("livy_cu_hours_total", "workspace_id", queue="root_queue") == {
        (WORKSPACE,): 1.75,
        ("w-2",): 12,
    }
