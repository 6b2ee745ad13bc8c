"""Small worlds, made by hand: what the simulated cloud holds where a test needs to know it all."""

from dataclasses import replace
from typing import Any

from exporter.demo import (
    NANO,
    HistoryOrder,
    SessionKey,
    SimulatedCluster,
    SimulatedGateway,
    SimulatedSession,
    SimulatedUsage,
    SimulatedWorkspace,
    World,
)
from tests.support.harness import START

START_MS = int(START) * 1000
WORKSPACE = "w-1"
GATEWAY = "lc-1"
REGION = "cn-hangzhou"
WHOLE_REGION = [{"region_id": REGION}]
"""The setting `targets` that leaves the workspaces of a region to discovery."""


def used(cu_hours: float) -> SimulatedUsage:
    """Return what a session uses that burned so many CU-hours, of a core and 4 GiB each."""
    return SimulatedUsage(int(cu_hours * NANO), int(cu_hours * 3600), int(cu_hours * 3600 * 4096))


def empty_world(order: HistoryOrder = HistoryOrder.NEWEST_FIRST) -> World:
    """Make a world with one workspace and one gateway, and nothing in them."""
    world = World(order=order)
    world.put_workspace(SimulatedWorkspace(WORKSPACE))
    world.put_gateway(SimulatedGateway(WORKSPACE, GATEWAY))
    return world


def session(
    session_id: str,
    cu_hours: float = 0.0,
    *,
    age: int = 60,
    **fields: Any,  # noqa: ANN401  those of a session
) -> SimulatedSession:
    """Make a session of the first gateway, created `age` seconds before the start of time."""
    row = SimulatedSession(
        WORKSPACE, GATEWAY, session_id, START_MS - age * 1000, usage=used(cu_hours)
    )
    return replace(row, **fields)


def key(session_id: str, *, age: int = 60) -> SessionKey:
    """Return the key of a session that `session` made."""
    return SessionKey(WORKSPACE, GATEWAY, session_id, START_MS - age * 1000)


def busy_world() -> World:
    """Make a world with several queues, users and states, in two workspaces."""
    world = empty_world()
    world.put_workspace(SimulatedWorkspace("w-2", region_id="cn-shanghai"))
    world.put_gateway(SimulatedGateway("w-2", "lc-2"))
    for row in (
        session("livy-a", 1.5, queue="root_queue", proxy_user="ann", name="etl"),
        session("livy-b", 0.25, queue="root_queue", proxy_user="bob", name="report"),
        session("livy-c", 2.0, age=3600, state="terminated", proxy_user="ann", queue="dev"),
        session("livy-d", 0.125, age=7200, state="error", proxy_user=None, queue="dev"),
        session("livy-e", 0.0, age=5, state="starting", proxy_user="bob", queue="dev"),
        SimulatedSession("w-2", "lc-2", "livy-a", START_MS, queue="root_queue", usage=used(4)),
    ):
        world.put_session(row)
    for cluster in (
        SimulatedCluster(WORKSPACE, "sc-1", name="adhoc", kind="SQL", queue="dev"),
        SimulatedCluster(
            WORKSPACE, "sc-2", name="lab", kind="NOTEBOOK", state="Stopped", fusion=True
        ),
        SimulatedCluster(WORKSPACE, "sc-3", kind="THRIFT", state="NotStarted", start_time_ms=None),
        SimulatedCluster("w-2", "sc-1", state="Error", reason_code="OOM", auto_stop_minutes=None),
    ):
        world.put_cluster(cluster)
    return world


def discovered_world() -> World:
    """Make a world with one workspace, one gateway, a cluster and a session."""
    world = empty_world()
    world.put_workspace(SimulatedWorkspace(WORKSPACE, name="prod"))
    world.put_gateway(SimulatedGateway(WORKSPACE, GATEWAY, name="etl", queue="root_queue"))
    world.put_cluster(SimulatedCluster(WORKSPACE, "sc-1"))
    world.put_session(session("livy-a", 1.0))
    return world
