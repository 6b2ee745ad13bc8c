"""The session clusters in error, and the Livy sessions, live and ended: pure functions."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from exporter import catalog
from exporter.catalog import Metric
from exporter.model import LivySession, SessionCluster, Source, Target, seconds
from exporter.snapshot import TargetView
from exporter.sources import FailedSession
from exporter.web.status.display_names import Anchors
from exporter.web.status.targets_view import Moment
from exporter.web.status.view import (
    Clusters,
    Coverage,
    FailedCluster,
    QueueEnds,
    Sessions,
    SessionStatus,
)

MAX_CLUSTERS: Final = 200
MAX_LIVE: Final = 500
MAX_ENDED: Final = 200
ENDS_SECONDS: Final = 3600.0
"""The window of the ratio of sessions that failed; that of the alert on it, too."""


def clusters(moment: Moment) -> Clusters:
    """Return the session clusters in error, those first that entered it last."""
    anchors = Anchors()
    failed = [
        (target, cluster, since)
        for target, view in moment.snapshot.targets.items()
        for cluster, since in view.records.clusters
        if cluster.state == "error"
    ]
    failed.sort(key=lambda cluster: -(cluster[2] or 0.0))
    shown = failed[:MAX_CLUSTERS]
    return Clusters(
        coverage=_coverage(moment, Source.SESSION_CLUSTERS),
        by_state=_by_state(moment, catalog.SESSION_CLUSTERS),
        workspaces_unknown=_unknown(moment, Source.SESSION_CLUSTERS),
        in_error=tuple(_failed_cluster(moment, anchors, *cluster) for cluster in shown),
        errors_not_shown=len(failed) - len(shown),
    )


def sessions(moment: Moment, failed: Sequence[FailedSession]) -> Sessions:
    """Return the live Livy sessions, newest first, those that failed last, and others that ended.

    Links of alerts and dashboards lead to the first session of an id: one that `failed`.
    """
    anchors = Anchors()
    lost = [_failed_session(moment, anchors, session) for session in failed]
    live = [record for record in _records(moment) if not record[1].has_ended]
    ended = [
        record for record in _records(moment) if record[1].has_ended and record[1].state != "error"
    ]
    live.sort(key=lambda record: -(record[1].created_ms or 0))
    ended.sort(key=lambda record: -(record[1].ended_ms or 0))
    shown = [_session(moment, anchors, *record) for record in live[:MAX_LIVE]]
    past = [_session(moment, anchors, *record) for record in ended[:MAX_ENDED]]
    ends, ends_seconds = moment.recorder.ended(ENDS_SECONDS)
    return Sessions(
        coverage=_coverage(moment, Source.LIVY_SESSIONS),
        by_state=_by_state(moment, catalog.LIVY_SESSIONS),
        gateways_unknown=_unknown(moment, Source.LIVY_SESSIONS),
        live=tuple(shown),
        live_not_shown=len(live) - len(shown),
        failed=tuple(lost),
        ended=tuple(past),
        ended_not_shown=len(ended) - len(past),
        ends=tuple(_ends(moment, ends)),
        ends_seconds=ends_seconds,
    )


def _ends(moment: Moment, counts: Mapping[tuple[str, ...], int]) -> Iterator[QueueEnds]:
    """Yield the queues in which sessions ended, those first in which most failed."""
    ended, failed = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for (*queue, state), count in counts.items():
        ended[tuple(queue)] += count
        failed[tuple(queue)] += count if state == "error" else 0
    for key in sorted(ended, key=lambda key: (-failed[key], key)):
        workspace_id, livy_compute_id, queue_name = key
        yield QueueEnds(
            workspace_id=workspace_id,
            workspace_name=moment.names.workspace(workspace_id),
            livy_compute_id=livy_compute_id,
            gateway_name=moment.names.gateway(workspace_id, livy_compute_id),
            queue=queue_name,
            ended=ended[key],
            failed=failed[key],
        )


def _by_state(moment: Moment, metric: Metric) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for view in moment.snapshot.targets.values():
        for sample in view.gauges.get(metric, ()):
            counts[sample.labels[-1]] += int(sample.value)
    return dict(counts)


def _coverage(moment: Moment, source: Source) -> Coverage:
    """Return how much of a source is known; what was never discovered is unknown."""
    views = [view for target, view in moment.snapshot.targets.items() if target.source is source]
    is_undiscovered = any(
        view.last_success_at is None
        for scope, view in moment.snapshot.discoveries.items()
        if source is Source.LIVY_SESSIONS or not scope.workspace_id
    )
    if not views:
        return "no_poll_yet" if is_undiscovered else "nothing_to_poll"
    if not any(_is_read(view, moment.monotonic) for view in views):
        return "stale" if any(view.gauges_read for view in views) else "no_poll_yet"
    is_whole = all(_is_known(view, moment.monotonic) for view in views)
    return "complete" if is_whole and not is_undiscovered else "partial"


def _unknown(moment: Moment, source: Source) -> int:
    """Count the targets that were not listed yet, not to the end, or not for too long."""
    return sum(
        not _is_known(view, moment.monotonic)
        for target, view in moment.snapshot.targets.items()
        if target.source is source
    )


def _is_known(view: TargetView, monotonic: float) -> bool:
    """Whether a target was listed completely and is not stale; the list may be empty."""
    is_truncated = any(sample.value for sample in view.gauges.get(catalog.HISTORY_TRUNCATED, ()))
    return _is_read(view, monotonic) and not is_truncated


def _is_read(view: TargetView, monotonic: float) -> bool:
    return view.gauges_read > 0 and not view.is_stale(monotonic)


def _records(moment: Moment) -> Iterator[tuple[Target, LivySession]]:
    for target, view in moment.snapshot.targets.items():
        for session in view.records.sessions:
            yield target, session


def _failed_cluster(
    moment: Moment, anchors: Anchors, target: Target, cluster: SessionCluster, since: float | None
) -> FailedCluster:
    return FailedCluster(
        anchor=anchors.take("cluster", cluster.session_cluster_id, target.workspace_id),
        workspace_id=target.workspace_id,
        workspace_name=moment.names.workspace(target.workspace_id),
        session_cluster_id=cluster.session_cluster_id,
        name=cluster.name,
        kind=cluster.kind,
        queue=cluster.queue,
        user_name=cluster.user_name,
        state_code=cluster.state_code,
        state_message=cluster.state_message,
        since=since,
        age=moment.age(since),
        spark_ui=cluster.web_ui,
    )


def _failed_session(moment: Moment, anchors: Anchors, failed: FailedSession) -> SessionStatus:
    found = _session(moment, anchors, failed.target, failed.session)
    return replace(found, ended_at=failed.failed_at, ended_age=moment.age(failed.failed_at))


def _session(
    moment: Moment, anchors: Anchors, target: Target, session: LivySession
) -> SessionStatus:
    created = seconds(session.created_ms)
    ended = seconds(session.ended_ms) if session.has_ended else None
    gateway = (target.workspace_id, target.livy_compute_id)
    return SessionStatus(
        anchor=anchors.take("session", session.session_id, "/".join(gateway)),
        workspace_id=target.workspace_id,
        workspace_name=moment.names.workspace(target.workspace_id),
        livy_compute_id=target.livy_compute_id,
        gateway_name=moment.names.gateway(*gateway),
        session_id=session.session_id,
        name=session.name,
        queue=session.queue,
        proxy_user=session.proxy_user,
        state=session.state,
        info=session.info,
        created_at=created,
        age=moment.age(created),
        ended_at=ended,
        ended_age=moment.age(ended),
        cu_hours=session.usage.cu_hours,
        vcore_seconds=session.usage.vcore_seconds,
        mb_seconds=session.usage.mb_seconds,
        spark_ui=session.web_ui,
    )
