"""The session clusters of one workspace."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from exporter import catalog
from exporter.api import Client, scan_tokens
from exporter.errors import LedgerError
from exporter.ledger import Ledger
from exporter.model import SESSION_CLUSTER_STATES, Page, SessionCluster, Target, seconds
from exporter.snapshot import GroupedSamples, Records, Samples, SampleSet
from exporter.sources.listing import DisappearanceGuard, PollResult, Progress, record_anomalies
from exporter.sources.sample_cache import SampleCache
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
        self._guard = DisappearanceGuard(partial(ledger.run, ledger.listed_count, target))
        self._cache = sample_cache(target.workspace_id)

    async def poll(self, progress: Progress) -> PollResult:
        """Read the complete listing and record its states. Raises `PollError`."""
        workspace_id, term = self.target.workspace_id, self._ledger.term

        async def fetch(token: str) -> Page[SessionCluster]:
            page = await self._client.session_clusters_page(workspace_id, token, on_queued=progress)
            record_anomalies(self._telemetry, self.target, page)
            progress()
            return page

        clusters = await scan_tokens(fetch, key=_identity)
        is_confirmed = await self._guard.check(len(clusters))
        since: Mapping[str, float] = {}
        ledger_error = None
        try:
            since = await self._ledger.run(
                self._ledger.record_session_clusters,
                workspace_id,
                clusters,
                is_confirmed=is_confirmed,
                term=term,
            )
        except LedgerError as error:
            ledger_error = error
        gauges = samples(workspace_id, clusters, since, self._cache)
        return PollResult(gauges, ledger_error, Records(clusters=self._cache.shown))


def _identity(cluster: SessionCluster) -> str:
    return cluster.session_cluster_id


_Shown = tuple[SessionCluster, float | None]
"""A cluster, and when it entered its state (seconds since 1970) where that is known."""


def sample_cache(workspace_id: str) -> SampleCache[_Shown]:
    """Return a cache of the samples of single session clusters."""
    return SampleCache(partial(_of_cluster, workspace_id))


def samples(
    workspace_id: str,
    clusters: Sequence[SessionCluster],
    since: Mapping[str, float],
    cache: SampleCache[_Shown],
) -> Samples:
    """Return the gauges of a complete listing; what did not change is taken from the `cache`.

    `since` tells when clusters entered their states (seconds since 1970), where it is known.
    """
    totals = SampleSet()
    counts = Counter((cluster.kind, cluster.queue, cluster.state) for cluster in clusters)
    for kind, queue in sorted({(kind, queue) for kind, queue, _ in counts}):
        for state in SESSION_CLUSTER_STATES:
            labels = (workspace_id, kind, queue, state)
            totals.add(catalog.SESSION_CLUSTERS, labels, counts[kind, queue, state])
    shown = {
        cluster.session_cluster_id: (cluster, since.get(cluster.session_cluster_id))
        for cluster in sorted(clusters, key=_identity)
    }
    return GroupedSamples((totals.freeze(), *cache.samples_of(shown)))


def _of_cluster(workspace_id: str, shown: _Shown) -> Samples:
    cluster, entered_at = shown
    samples = SampleSet()
    labels = (workspace_id, cluster.session_cluster_id)
    samples.add_state(catalog.SESSION_CLUSTER_STATE, labels, SESSION_CLUSTER_STATES, cluster.state)
    attributes = (
        cluster.name,
        cluster.kind,
        cluster.queue,
        cluster.user_name,
        cluster.release_version,
        "" if cluster.fusion is None else str(cluster.fusion).lower(),
    )
    samples.add(catalog.SESSION_CLUSTER_INFO, (*labels, *attributes), 1)
    samples.add(catalog.SESSION_CLUSTER_CREATED, labels, seconds(cluster.created_ms))
    samples.add(catalog.SESSION_CLUSTER_START, labels, seconds(cluster.started_ms))
    samples.add(catalog.SESSION_CLUSTER_AUTO_START, labels, cluster.auto_start)
    samples.add(catalog.SESSION_CLUSTER_AUTO_STOP, labels, cluster.auto_stop)
    samples.add(catalog.SESSION_CLUSTER_PUBLIC_ENDPOINT, labels, cluster.public_endpoint)
    if cluster.auto_stop and cluster.auto_stop_idle_minutes is not None:
        idle = cluster.auto_stop_idle_minutes * 60
        samples.add(catalog.SESSION_CLUSTER_IDLE_TIMEOUT, labels, idle)
    if cluster.state == "error":
        samples.add(catalog.SESSION_CLUSTER_ERROR_INFO, (*labels, cluster.state_code), 1)
    samples.add(catalog.SESSION_CLUSTER_STATE_SINCE, labels, entered_at)
    return samples.freeze()
