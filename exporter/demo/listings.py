"""The four calls: from the tables of the world to the fields of a page."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from exporter.demo.calls import Call, page_size, region
from exporter.demo.faults import Page
from exporter.demo.jsontext import Verbatim
from exporter.demo.paging import (
    Behaviour,
    LastToken,
    Listed,
    TotalCount,
    numbered_page,
    read_token,
    token_page,
    write_token,
)
from exporter.demo.records import SimulatedCluster, SimulatedSession
from exporter.demo.refusals import nothing_there
from exporter.demo.world import TableName, World

Query: TypeAlias = Mapping[str, str]
_Row = TypeVar("_Row", bound=Listed)


@dataclass(frozen=True, slots=True)
class Served:
    """A page, how many rows are on it, and the Livy sessions among them."""

    page: Page
    rows: int
    sessions: tuple[SimulatedSession, ...] = ()


def serve_call(world: World, behaviour: Behaviour, call: Call, query: Query) -> Served:
    """Answer a call, or refuse it."""
    region_id = region(query)
    if call.action != "ListWorkspaces":
        workspace = world.workspace(call.workspace_id)
        # A workspace of another region is as foreign as one of another account.
        if workspace is None or workspace.region_id != region_id:
            raise nothing_there(behaviour.unknown_status)
    return _ACTIONS[call.action](world, behaviour, call, query)


def _list_workspaces(world: World, behaviour: Behaviour, _call: Call, query: Query) -> Served:
    rows = [
        row
        for row in world.workspaces()
        if row.region_id == query["regionId"]
        and query.get("name", row.name) == row.name
        and query.get("state", row.status) == row.status
    ]
    rows = rows[: world.visible(TableName.WORKSPACES)]
    return _token_listing("workspaces", rows, behaviour, query)


def _list_session_clusters(world: World, behaviour: Behaviour, call: Call, query: Query) -> Served:
    rows = [row for row in world.clusters(call.workspace_id) if _is_wanted(row, query)]
    rows = rows[: world.visible(TableName.CLUSTERS, call.workspace_id)]
    return _token_listing("sessionClusters", rows, behaviour, query)


def _is_wanted(row: SimulatedCluster, query: Query) -> bool:
    has = {"sessionClusterId": row.session_cluster_id, "queueName": row.queue, "kind": row.kind}
    return all(not query.get(name) or query[name] == value for name, value in has.items())


def _token_listing(name: str, rows: list[_Row], behaviour: Behaviour, query: Query) -> Served:
    size = page_size(query, "maxResults")
    position = read_token(query.get("nextToken"))
    shown, following = token_page(rows, position, size, behaviour)
    page: Page = {name: _texts(shown), "maxResults": size, **_total(len(rows), behaviour)}
    if following is not None:
        page["nextToken"] = write_token(following)
    elif behaviour.last_token is not LastToken.ABSENT:
        page["nextToken"] = None if behaviour.last_token is LastToken.NULL else ""
    return Served(page, len(shown))


def _list_livy_sessions(world: World, behaviour: Behaviour, call: Call, query: Query) -> Served:
    size = page_size(query, "pageSize")
    if not world.has_gateway(call.workspace_id, call.compute_id):
        raise nothing_there(behaviour.unknown_status)
    history = world.history(call.workspace_id, call.compute_id)
    limit = world.visible(TableName.SESSIONS, call.workspace_id, call.compute_id)
    total = len(history) if limit is None else min(limit, len(history))
    shown = history.rows(*numbered_page(total, call.page, size, behaviour))
    page: Page = {**_total(total, behaviour), "sessions": _texts(shown)}
    return Served(page, len(shown), tuple(shown))


def _list_livy_compute(world: World, _behaviour: Behaviour, call: Call, _query: Query) -> Served:
    rows = world.gateways(call.workspace_id)[: world.visible(TableName.GATEWAYS, call.workspace_id)]
    data = {"livyComputes": _texts(rows)}
    return Served({"code": "1000000", "message": "success", "data": data}, len(rows))


def _texts(rows: Iterable[Listed | SimulatedSession]) -> list[object]:
    return [Verbatim(row.text) for row in rows]


def _total(count: int, behaviour: Behaviour) -> Page:
    match behaviour.total_count:
        case TotalCount.PRESENT:
            return {"totalCount": count}
        case TotalCount.NON_NUMERIC:
            return {"totalCount": "many"}
        case TotalCount.ABSENT:
            return {}


_ACTIONS: Mapping[str, Callable[[World, Behaviour, Call, Query], Served]] = {
    "ListWorkspaces": _list_workspaces,
    "ListSessionClusters": _list_session_clusters,
    "ListLivyComputeSessions": _list_livy_sessions,
    "ListLivyCompute": _list_livy_compute,
}
