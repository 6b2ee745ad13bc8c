"""What the log keeps for those who come later: what is polled, and which sessions failed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.demo import Call, SimulatedGateway, SimulatedWorkspace, World
from exporter.demo.faults import INTERNAL_ERROR
from tests.support.harness import Harness
from tests.support.worlds import (
    GATEWAY,
    WHOLE_REGION,
    WORKSPACE,
    discovered_world,
    empty_world,
    key,
    session,
)

pytestmark = pytest.mark.anyio

Events = Sequence[dict[str, Any]]


def events(logs: Sequence[Mapping[str, Any]], name: str) -> Events:
    """Return the fields of each event of one name, without its level."""
    found = [dict(event) for event in logs if event["event"] == name]
    for event in found:
        del event["log_level"]
    return found


def failing(world: World, session_id: str, **fields: Any) -> None:  # noqa: ANN401  of a session
    """Let a session fail."""
    world.change_session(key(session_id), state="error", **fields)


async def discover(h: Harness) -> None:
    """Discover as the daemon does: workspaces, then the gateways of those that were found."""
    for _ in range(2):
        for scope in h.exporter.snapshots.current.discoveries:
            await h.exporter.targets.run(scope)


async def test_what_is_discovered_is_one_line_and_each_change_another() -> None:
    """What stays the same is not repeated, also where discovery fails for a while."""
    world = discovered_world()
    with capture_logs() as logs:
        async with Harness(world, targets=WHOLE_REGION) as h:
            await discover(h)
            await discover(h)
            fault = h.cloud.faults.add(INTERNAL_ERROR, action="ListWorkspaces")
            await discover(h)
            h.cloud.faults.remove(fault)
            world.put_workspace(SimulatedWorkspace("w-2"))
            world.put_gateway(SimulatedGateway("w-2", "lc-2"))
            await discover(h)
            world.remove_gateway(WORKSPACE, GATEWAY)
            world.put_gateway(SimulatedGateway(WORKSPACE, "lc-3"))
            await discover(h)
    first, second, third = events(logs, "discovered")
    assert first == {"event": "discovered", "workspaces": 1, "gateways": 1}
    assert second["added"] == "gateway w-2/lc-2, workspace w-2"
    assert (second["workspaces"], second["gateways"]) == (2, 2)
    assert (third["added"], third["removed"]) == ("gateway w-1/lc-3", "gateway w-1/lc-1")


async def test_nothing_is_called_discovered_where_discovery_fails() -> None:
    """That it failed is in the log; what there is, nobody knows."""
    with capture_logs() as logs:
        async with Harness(discovered_world(), targets=WHOLE_REGION) as h:
            h.cloud.faults.add(INTERNAL_ERROR)
            await discover(h)
            assert events(logs, "discovered") == []
            summary = h.exporter.summary()
            assert summary == "nothing is polled yet: discovery fails (server)"
            h.cloud.faults.clear()
            await discover(h)
    assert [each["workspaces"] for each in events(logs, "discovered")] == [1]


async def test_many_new_gateways_are_no_long_line() -> None:
    """Ten names, and how many more there are."""
    world = discovered_world()
    with capture_logs() as logs:
        async with Harness(world, targets=WHOLE_REGION) as h:
            await discover(h)
            for number in range(25):
                world.put_gateway(SimulatedGateway(WORKSPACE, f"lc-new-{number:02}"))
            await discover(h)
    added = events(logs, "discovered")[-1]["added"]
    assert added.endswith("gateway w-1/lc-new-09 and 15 more")


async def test_each_failed_session_is_one_line(tmp_path: Path) -> None:
    """With who, where and why, without a secret, once for good: also after a restart."""
    world = empty_world()
    for session_id in ("livy-a", "livy-b", "livy-old"):
        world.put_session(session(session_id, name=f"job {session_id}", proxy_user="ann"))
    failing(world, "livy-old")
    with capture_logs() as logs:
        async with Harness(world, ledger=tmp_path / "ledger.db") as h:
            await h.poll()
            message = "executor lost, accessKeySecret=SENTINEL-in-a-message\nand more"
            failing(world, "livy-a", info=message)
            world.change_session(key("livy-b"), state="terminated")
            await h.poll()
            await h.poll()
            await h.restart()
            await h.poll()
            world.put_session(session("livy-c", age=30, state="error", info="no queue"))
            await h.poll()
    a, c = events(logs, "session_failed")
    assert a.pop("message").startswith("executor lost, accessKeySecret=")
    assert a == {
        "event": "session_failed",
        "workspace": WORKSPACE,
        "gateway": GATEWAY,
        "session": "livy-a",
        "name": "job livy-a",
        "user": "ann",
        "queue": "root_queue",
    }
    assert (c["session"], c["message"]) == ("livy-c", "no queue")
    assert "SENTINEL" not in str(logs)


async def test_a_failure_that_cannot_be_counted_is_logged_when_it_is(tmp_path: Path) -> None:
    """A session that was missing for a while and then fails is a failure as well."""
    world = empty_world()
    world.put_session(session("livy-a"))
    world.put_session(session("livy-b"))
    with capture_logs() as logs:
        async with Harness(world, ledger=tmp_path / "ledger.db") as h:
            await h.poll()
            row = world.remove_session(key("livy-a"))
            await h.poll()
            await h.poll()
            world.put_session(row)
            failing(world, "livy-a")
            await h.poll()
    assert [each["session"] for each in events(logs, "session_failed")] == ["livy-a"]


async def test_a_failed_session_that_is_read_twice_is_one_line() -> None:
    """Another one comes in while the list is read, so the last row of a page is on the next too."""
    world = empty_world()
    for number in range(150):
        world.put_session(session(f"livy-{number:03}", age=number))

    def shift(call: Call) -> None:
        if call.page == 2:
            h.cloud.before_page = None
            world.put_session(session("livy-new", age=-1))

    with capture_logs() as logs:
        async with Harness(world) as h:
            await h.poll()
            world.change_session(key("livy-099", age=99), state="error")
            h.cloud.before_page = shift
            await h.poll()
    assert [each["session"] for each in events(logs, "session_failed")] == ["livy-099"]
