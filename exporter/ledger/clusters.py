"""Which states session clusters entered, by comparing complete listings."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from exporter import catalog
from exporter.ledger.counting import Key, is_created_after
from exporter.ledger.database import Table
from exporter.ledger.store import Transaction
from exporter.model import SESSION_CLUSTER_STATES, SessionCluster


class ClusterRow(NamedTuple):
    """What is remembered of a session cluster.

    `state_since` is when it was first seen in its state, `unlisted_at` when a complete listing
    first lacked it (`None` while it is listed): wall-clock seconds.
    """

    session_cluster_id: str
    state: str
    started_ms: int | None
    state_since: float
    unlisted_at: float | None


_COLUMNS = ", ".join(ClusterRow._fields)
_SELECT = f"SELECT {_COLUMNS} FROM main.session_cluster WHERE workspace_id = ?"  # noqa: S608 - constants
TABLE = Table("session_cluster", ("workspace_id", ClusterRow._fields[0]), ClusterRow._fields[1:])
_DROP = "DELETE FROM main.session_cluster WHERE workspace_id = ? AND unlisted_at < ?"
_IS_KNOWN = "SELECT 1 FROM main.workspace WHERE workspace_id = ?"
WORKSPACE = Table("workspace", ("workspace_id",))


class ClusterLedger:
    """The session clusters of one workspace, inside one transaction."""

    def __init__(self, transaction: Transaction, workspace_id: str) -> None:
        self._transaction = transaction
        self._db = transaction.db
        self._workspace_id = workspace_id
        self._left_at = math.inf
        """When the first of the clusters left that are remembered but not listed."""

    def record(
        self, clusters: Sequence[SessionCluster], empty_at: float | None
    ) -> Mapping[str, float]:
        """Count the states entered since the last complete listing; return since when each is.

        At the first contact nothing has been entered yet, as far as anybody saw; where an empty
        listing was read before it, `empty_at`, clusters created since then have.
        """
        where = (self._workspace_id,)
        has_contact = bool(self._db.query(_IS_KNOWN, where))
        rows = {values[0]: ClusterRow._make(values) for values in self._db.query(_SELECT, where)}
        written: list[ClusterRow] = []
        since: dict[str, float] = {}
        for cluster in clusters:
            before = rows.pop(cluster.session_cluster_id, None)
            after = updated_row(before, cluster, self._transaction.at)
            since[cluster.session_cluster_id] = after.state_since
            is_seen = has_contact or (empty_at is not None and is_created_after(cluster, empty_at))
            has_entered = is_seen and _has_entered(before, after)
            self._transaction.counters.add(self._entries(cluster, has_entered=has_entered))
            if after != before:
                written.append(after)
        at = self._transaction.at
        written += (row._replace(unlisted_at=at) for row in rows.values() if not row.unlisted_at)
        self._left_at = min(
            (row.unlisted_at for row in rows.values() if row.unlisted_at), default=at
        )
        if written:
            self._db.upsert(TABLE, [(self._workspace_id, *row) for row in written])
        if not has_contact:
            self._db.upsert(WORKSPACE, [where])
        return since

    def forget(self, *, unlisted_before: float) -> None:
        """Drop the rows of clusters that left before then (wall-clock seconds)."""
        if self._left_at < unlisted_before:
            self._db.execute(_DROP, (self._workspace_id, unlisted_before))

    def _entries(self, cluster: SessionCluster, *, has_entered: bool) -> list[tuple[Key, int]]:
        """Return the series of all states, which exist at 0 before they are entered."""
        labels = (self._workspace_id, cluster.kind, cluster.queue)
        return [
            (
                Key(catalog.SESSION_CLUSTER_STATE_ENTRIES, (*labels, state)),
                int(has_entered and state == cluster.state),
            )
            for state in SESSION_CLUSTER_STATES
        ]


def updated_row(before: ClusterRow | None, cluster: SessionCluster, at: float) -> ClusterRow:
    """Return the row of a cluster after a reading at `at`."""
    started_ms = cluster.started_ms
    if before is not None and started_ms is None:
        started_ms = before.started_ms
    after = ClusterRow(cluster.session_cluster_id, cluster.state, started_ms, at, None)
    if before is not None and not _has_entered(before, after):
        return after._replace(state_since=before.state_since)
    return after


def _has_entered(before: ClusterRow | None, after: ClusterRow) -> bool:
    """Whether a state was entered: another state, or the same one after another start."""
    if before is None or before.state != after.state:
        return True
    return before.started_ms is not None and before.started_ms != after.started_ms
