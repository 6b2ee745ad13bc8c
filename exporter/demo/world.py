"""The tables of the simulated service, and everything that can happen to them."""

import enum
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from exporter.demo.history import HistoryOrder, SimulatedHistory
from exporter.demo.records import (
    GatewayKey,
    SessionKey,
    SimulatedCluster,
    SimulatedGateway,
    SimulatedSession,
    SimulatedUsage,
    SimulatedWorkspace,
)

_Row = TypeVar("_Row", SimulatedGateway, SimulatedCluster)


class TableName(enum.Enum):
    """A list that the service can serve."""

    WORKSPACES = "workspaces"
    GATEWAYS = "gateways"
    CLUSTERS = "clusters"
    SESSIONS = "sessions"


class World:
    """What the service holds: mutable tables of frozen rows."""

    def __init__(self, *, order: HistoryOrder = HistoryOrder.NEWEST_FIRST, seed: int = 0) -> None:
        """Start empty; every Livy list is served in `order` (`seed`: of the shuffled one)."""
        self._order = order
        self._seed = seed
        self._workspaces: dict[str, SimulatedWorkspace] = {}
        self._gateways: dict[GatewayKey, SimulatedGateway] = {}
        self._clusters: dict[tuple[str, str], SimulatedCluster] = {}
        self._histories: dict[GatewayKey, SimulatedHistory] = {}
        self._hidden: dict[tuple[TableName, str, str], int] = {}

    # What is there

    def workspaces(self) -> list[SimulatedWorkspace]:
        """Return all workspaces in the order of listing."""
        return sorted(self._workspaces.values(), key=lambda row: row.sort_key)

    def gateways(self, workspace_id: str | None = None) -> list[SimulatedGateway]:
        """Return the gateways of a workspace, or of all."""
        return _listed(self._gateways.values(), workspace_id)

    def clusters(self, workspace_id: str | None = None) -> list[SimulatedCluster]:
        """Return the session clusters of a workspace, or of all."""
        return _listed(self._clusters.values(), workspace_id)

    def history(self, workspace_id: str, compute_id: str) -> SimulatedHistory:
        """Return the Livy list of a gateway; `KeyError` without such a gateway."""
        return self._histories[GatewayKey(workspace_id, compute_id)]

    def sessions(self) -> list[SimulatedSession]:
        """Return every Livy session of every gateway."""
        return [row for history in self._histories.values() for row in history]

    def session(self, key: SessionKey) -> SimulatedSession:
        """Find a Livy session; `KeyError` without such a row."""
        row = self.history(key.workspace_id, key.compute_id).get(key)
        if row is None:
            raise KeyError(key)
        return row

    def workspace(self, workspace_id: str) -> SimulatedWorkspace | None:
        """Find a workspace."""
        return self._workspaces.get(workspace_id)

    def has_gateway(self, workspace_id: str, compute_id: str) -> bool:
        """Whether there is such a gateway."""
        return GatewayKey(workspace_id, compute_id) in self._gateways

    def cluster(self, workspace_id: str, session_cluster_id: str) -> SimulatedCluster:
        """Find a session cluster; `KeyError` without such a row."""
        return self._clusters[workspace_id, session_cluster_id]

    # What happens

    def put_workspace(self, row: SimulatedWorkspace) -> None:
        """Add or replace a workspace."""
        self._workspaces[row.workspace_id] = row

    def remove_workspace(self, workspace_id: str) -> None:
        """Take a workspace out; what is in it is no longer reachable, but not forgotten."""
        del self._workspaces[workspace_id]

    def put_gateway(self, row: SimulatedGateway) -> None:
        """Add or replace a gateway; its sessions stay."""
        self._gateways[row.key] = row
        self._histories.setdefault(row.key, SimulatedHistory(self._order, self._seed))

    def remove_gateway(self, workspace_id: str, compute_id: str) -> None:
        """Take a gateway out, and its sessions with it."""
        del self._gateways[GatewayKey(workspace_id, compute_id)]
        del self._histories[GatewayKey(workspace_id, compute_id)]

    def put_cluster(self, row: SimulatedCluster) -> None:
        """Add or replace a session cluster."""
        self._clusters[row.workspace_id, row.session_cluster_id] = row

    def change_cluster(
        self,
        workspace_id: str,
        session_cluster_id: str,
        **changes: Any,  # noqa: ANN401  fields
    ) -> SimulatedCluster:
        """Replace fields of a session cluster."""
        row = replace(self.cluster(workspace_id, session_cluster_id), **changes)
        self.put_cluster(row)
        return row

    def remove_cluster(self, workspace_id: str, session_cluster_id: str) -> None:
        """Take a session cluster out."""
        del self._clusters[workspace_id, session_cluster_id]

    def put_session(self, row: SimulatedSession) -> None:
        """Add or replace a Livy session; the same id with another create time is another one."""
        self.history(row.workspace_id, row.compute_id).put(row)

    def change_session(self, key: SessionKey, **changes: Any) -> SimulatedSession:  # noqa: ANN401  fields
        """Replace fields of a Livy session; a changed id or create time moves the row."""
        row = replace(self.session(key), **changes)
        if row.key != key:
            self.remove_session(key)
        self.put_session(row)
        return row

    def revise(self, key: SessionKey, usage: SimulatedUsage) -> SimulatedSession:
        """Replace the figures of a Livy session by higher or lower ones."""
        return self.change_session(key, usage=usage)

    def remove_session(self, key: SessionKey) -> SimulatedSession:
        """Take a Livy session out."""
        return self.history(key.workspace_id, key.compute_id).remove(key)

    def trim_oldest(self, workspace_id: str, compute_id: str, count: int) -> list[SimulatedSession]:
        """Drop the oldest rows of a Livy list, as rolling retention does."""
        keys = self.history(workspace_id, compute_id).oldest(count)
        return [self.remove_session(key) for key in keys]

    def trim_before(
        self, workspace_id: str, compute_id: str, create_time_ms: int
    ) -> list[SimulatedSession]:
        """Drop the rows of a Livy list which were created before a time."""
        keys = self.history(workspace_id, compute_id).older_than(create_time_ms)
        return [self.remove_session(key) for key in keys]

    # What is not shown

    def hide(
        self, table: TableName, workspace_id: str = "", compute_id: str = "", *, keep: int = 0
    ) -> None:
        """List only the first `keep` rows for a while, with success; `""` means every one."""
        self._hidden[table, workspace_id, compute_id] = keep

    def show(self, table: TableName, workspace_id: str = "", compute_id: str = "") -> None:
        """End what `hide` began with the same arguments."""
        del self._hidden[table, workspace_id, compute_id]

    def visible(self, table: TableName, workspace_id: str = "", compute_id: str = "") -> int | None:
        """Return the number of rows that may be listed; None = all."""
        scopes = {(workspace_id, compute_id), (workspace_id, ""), ("", "")}
        limits = [self._hidden[table, *s] for s in scopes if (table, *s) in self._hidden]
        return min(limits, default=None)


def _listed(rows: Iterable[_Row], workspace_id: str | None) -> list[_Row]:
    chosen = (row for row in rows if workspace_id in {None, row.workspace_id})
    return sorted(chosen, key=lambda row: row.sort_key)
