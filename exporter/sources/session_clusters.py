"""The session clusters of one workspace."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from exporter import catalog
from exporter.api import Client, walk_tokens
from exporter.errors import LedgerError
from exporter.ledger import Ledger
from exporter.model import SESSION_CLUSTER_STATES, Page, SessionCluster, Target
from exporter.snapshot import GroupedSamples, Records, Samples, SampleSet
from exporter.sources.kept import KeptSeries
from exporter.sources.listing import DisappearanceGuard, PollResult, Progress, count_oddities
from exporter.telemetry import Telemetry


class SessionClusters:
    """Reads the session clusters of one workspace."""

    def __init__(
        self, target: Target, client: Client, *, ledger: Ledger, telemetry: Telemetry
    ) -> None:
        self.target = target
        self._client = client
        self._ledger = ledger
        self._telemetry = telemetry
        self._guard = DisappearanceGuard(partial(ledger.listed_count, target))
        self._kept = kept_series(target.workspace_id)

    async def poll(self, progress: Progress) -> PollResult:
        """Read the complete listing and note the states it shows. Raises `PollError`."""

        def on_page(page: Page[SessionCluster], *_: object) -> None:
            count_oddities(self._telemetry, self.target, page)
            progress()

        workspace_id = self.target.workspace_id
        listing = await walk_tokens(
            partial(self._client.session_clusters_page, workspace_id, on_wait=progress),
            key=_identity,
            on_page=on_page,
        )
        is_confirmed = await self._guard.check(len(listing.records))
        since: Mapping[str, float] = {}
        trouble = None
        try:
            since = await asyncio.to_thread(
                self._ledger.record_session_clusters,
                workspace_id,
                listing.records,
                is_confirmed=is_confirmed,
            )
        except LedgerError as error:
            trouble = error
        gauges = samples(workspace_id, listing.records, since, self._kept)
        return PollResult(gauges, trouble, Records(clusters=self._kept.shown))


def _identity(cluster: SessionCluster) -> str:
    return cluster.session_cluster_id


_Shown = tuple[SessionCluster, float | None]
"""A cluster, and when it entered its state (seconds since 1970) where that is known."""


def kept_series(workspace_id: str) -> KeptSeries[_Shown]:
    """Keep the series of the session clusters of a workspace."""
    return KeptSeries(partial(_of_cluster, workspace_id))


def samples(
    workspace_id: str,
    clusters: Sequence[SessionCluster],
    since: Mapping[str, float],
    kept: KeptSeries[_Shown] | None = None,
) -> Samples:
    """Give the gauges of a complete listing; of those in `kept`, only what changed is new.

    `since` tells when clusters entered their states (seconds since 1970), where it is known.
    """
    found = SampleSet()
    counts = Counter((each.kind, each.queue, each.state) for each in clusters)
    for kind, queue in sorted({(kind, queue) for kind, queue, _ in counts}):
        for state in SESSION_CLUSTER_STATES:
            labels = (workspace_id, kind, queue, state)
            found.add(catalog.SESSION_CLUSTERS, labels, counts[kind, queue, state])
    shown = {
        each.session_cluster_id: (each, since.get(each.session_cluster_id))
        for each in sorted(clusters, key=_identity)
    }
    series = kept or kept_series(workspace_id)
    return GroupedSamples((found.freeze(), *series.of(shown)))


def _of_cluster(workspace_id: str, shown: _Shown) -> Samples:
    cluster, entered_at = shown
    found = SampleSet()
    _add_cluster(found, workspace_id, cluster)
    identity = (workspace_id, cluster.session_cluster_id)
    found.add(catalog.SESSION_CLUSTER_STATE_SINCE, identity, entered_at)
    return found.freeze()


def _add_cluster(found: SampleSet, workspace_id: str, cluster: SessionCluster) -> None:
    labels = (workspace_id, cluster.session_cluster_id)
    found.add_state(catalog.SESSION_CLUSTER_STATE, labels, SESSION_CLUSTER_STATES, cluster.state)
    attributes = (
        cluster.name,
        cluster.kind,
        cluster.queue,
        cluster.user_name,
        cluster.release_version,
        "" if cluster.fusion is None else str(cluster.fusion).lower(),
    )
    found.add(catalog.SESSION_CLUSTER_INFO, (*labels, *attributes), 1)
    found.add(catalog.SESSION_CLUSTER_CREATED, labels, _seconds(cluster.created_ms))
    found.add(catalog.SESSION_CLUSTER_START, labels, _seconds(cluster.started_ms))
    found.add(catalog.SESSION_CLUSTER_AUTO_START, labels, cluster.auto_start)
    found.add(catalog.SESSION_CLUSTER_AUTO_STOP, labels, cluster.auto_stop)
    found.add(catalog.SESSION_CLUSTER_PUBLIC_ENDPOINT, labels, cluster.public_endpoint)
    if cluster.auto_stop and cluster.auto_stop_idle_minutes is not None:
        idle = cluster.auto_stop_idle_minutes * 60
        found.add(catalog.SESSION_CLUSTER_IDLE_TIMEOUT, labels, idle)
    if cluster.state == "error":
        found.add(catalog.SESSION_CLUSTER_ERROR_INFO, (*labels, cluster.state_code), 1)


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
