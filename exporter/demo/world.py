"""The tables of the simulated service, and everything that can happen to them."""

import enum
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from exporter.demo.history import History, HistoryOrder
from exporter.demo.records import (
    Cluster,
    Gateway,
    GatewayKey,
    Session,
    SessionKey,
    Usage,
    Workspace,
)

_Row = TypeVar("_Row", Gateway, Cluster)


class Table(enum.Enum):
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
        self._workspaces: dict[str, Workspace] = {}
        self._gateways: dict[GatewayKey, Gateway] = {}
        self._clusters: dict[tuple[str, str], Cluster] = {}
        self._histories: dict[GatewayKey, History] = {}
        self._hidden: dict[tuple[Table, str, str], int] = {}

    # What is there

    def workspaces(self) -> list[Workspace]:
        """Give all workspaces in the order of listing."""
        return sorted(self._workspaces.values(), key=lambda row: row.sort_key)

    def gateways(self, workspace_id: str | None = None) -> list[Gateway]:
        """Give the gateways of a workspace, or of all."""
        return _listed(self._gateways.values(), workspace_id)

    def clusters(self, workspace_id: str | None = None) -> list[Cluster]:
        """Give the session clusters of a workspace, or of all."""
        return _listed(self._clusters.values(), workspace_id)

    def history(self, workspace_id: str, compute_id: str) -> History:
        """Give the Livy list of a gateway; `KeyError` without such a gateway."""
        return self._histories[GatewayKey(workspace_id, compute_id)]

    def sessions(self) -> list[Session]:
        """Give every Livy session of every gateway."""
        return [row for history in self._histories.values() for row in history]

    def session(self, key: SessionKey) -> Session:
        """Find a Livy session; `KeyError` without such a row."""
        row = self.history(key.workspace_id, key.compute_id).get(key)
        if row is None:
            raise KeyError(key)
        return row

    def workspace(self, workspace_id: str) -> Workspace | None:
        """Find a workspace."""
        return self._workspaces.get(workspace_id)

    def has_gateway(self, workspace_id: str, compute_id: str) -> bool:
        """Tell whether there is such a gateway."""
        return GatewayKey(workspace_id, compute_id) in self._gateways

    def cluster(self, workspace_id: str, session_cluster_id: str) -> Cluster:
        """Find a session cluster; `KeyError` without such a row."""
        return self._clusters[workspace_id, session_cluster_id]

    # What happens

    def put_workspace(self, row: Workspace) -> None:
        """Add or replace a workspace."""
        self._workspaces[row.workspace_id] = row

    def remove_workspace(self, workspace_id: str) -> None:
        """Take a workspace out; what is in it is no longer reachable, but not forgotten."""
        del self._workspaces[workspace_id]

    def put_gateway(self, row: Gateway) -> None:
        """Add or replace a gateway; its sessions stay."""
        self._gateways[row.key] = row
        self._histories.setdefault(row.key, History(self._order, self._seed))

    def remove_gateway(self, workspace_id: str, compute_id: str) -> None:
        """Take a gateway out, and its sessions with it."""
        del self._gateways[GatewayKey(workspace_id, compute_id)]
        del self._histories[GatewayKey(workspace_id, compute_id)]

    def put_cluster(self, row: Cluster) -> None:
        """Add or replace a session cluster."""
        self._clusters[row.workspace_id, row.session_cluster_id] = row

    def change_cluster(
        self,
        workspace_id: str,
        session_cluster_id: str,
        **changes: Any,  # noqa: ANN401  fields
    ) -> Cluster:
        """Replace fields of a session cluster."""
        row = replace(self.cluster(workspace_id, session_cluster_id), **changes)
        self.put_cluster(row)
        return row

    def remove_cluster(self, workspace_id: str, session_cluster_id: str) -> None:
        """Take a session cluster out."""
        del self._clusters[workspace_id, session_cluster_id]

    def put_session(self, row: Session) -> None:
        """Add or replace a Livy session; the same id with another create time is another one."""
        self.history(row.workspace_id, row.compute_id).put(row)

    def change_session(self, key: SessionKey, **changes: Any) -> Session:  # noqa: ANN401  fields
        """Replace fields of a Livy session; a changed id or create time moves the row."""
        row = replace(self.session(key), **changes)
        if row.key != key:
            self.remove_session(key)
        self.put_session(row)
        return row

    def revise(self, key: SessionKey, usage: Usage) -> Session:
        """Give a Livy session other figures, higher or lower."""
        return self.change_session(key, usage=usage)

    def remove_session(self, key: SessionKey) -> Session:
        """Take a Livy session out."""
        return self.history(key.workspace_id, key.compute_id).remove(key)

    def trim_oldest(self, workspace_id: str, compute_id: str, count: int) -> list[Session]:
        """Drop the oldest rows of a Livy list, as rolling retention does."""
        keys = self.history(workspace_id, compute_id).oldest(count)
        return [self.remove_session(key) for key in keys]

    def trim_before(self, workspace_id: str, compute_id: str, create_time_ms: int) -> list[Session]:
        """Drop the rows of a Livy list which were created before a time."""
        keys = self.history(workspace_id, compute_id).older_than(create_time_ms)
        return [self.remove_session(key) for key in keys]

    # What is not shown

    def hide(
        self, table: Table, workspace_id: str = "", compute_id: str = "", *, keep: int = 0
    ) -> None:
        """List only the first `keep` rows for a while, with success; `""` means every one."""
        self._hidden[table, workspace_id, compute_id] = keep

    def show(self, table: Table, workspace_id: str = "", compute_id: str = "") -> None:
        """End what `hide` began with the same arguments."""
        del self._hidden[table, workspace_id, compute_id]

    def visible(self, table: Table, workspace_id: str = "", compute_id: str = "") -> int | None:
        """Give the number of rows that may be listed; None = all."""
        scopes = {(workspace_id, compute_id), (workspace_id, ""), ("", "")}
        limits = [self._hidden[table, *s] for s in scopes if (table, *s) in self._hidden]
        return min(limits, default=None)


def _listed(rows: Iterable[_Row], workspace_id: str | None) -> list[_Row]:
    chosen = (row for row in rows if workspace_id in {None, row.workspace_id})
    return sorted(chosen, key=lambda row: row.sort_key)
