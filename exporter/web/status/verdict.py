"""The verdict: problems, since when, and what to do: pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from exporter.web.status.view import (
    Calls,
    Clusters,
    DiscoveryStatus,
    Level,
    Problem,
    QueueEnds,
    Sessions,
    TargetStatus,
    Verdict,
    WorkStatus,
)

_StatusT = TypeVar("_StatusT", bound=WorkStatus)

_SLOWED_SHARE: Final = 0.5
"""Of the configured rate: down to this, throttling is nothing to worry about."""

_FAILED_SHARE: Final = 0.25
_LEAST_ENDED: Final = 4
"""More failures than this share, of at least so many ends in a queue, need a look.

As in the alert EmrSparkLivyFailureRatioHigh, so that page and alert agree.
"""
_RESTART: Final = "Restart the exporter; its counters continue where they were."

_MOST_QUEUES: Final = 3
"""Maximum number of queues that are named."""


def verdict(
    *,
    unhealthy: Sequence[str],
    unready: Sequence[str],
    targets: Sequence[TargetStatus],
    discoveries: Sequence[DiscoveryStatus],
    clusters: Clusters,
    sessions: Sessions,
    calls: Sequence[Calls],
    now: float,
) -> Verdict:
    """Judge; `unhealthy` and `unready` are the sentences of the health endpoints.

    What keeps the exporter from its work comes first.
    """
    failing = [target for target in targets if target.state in {"failing", "stale"}]
    states = [target.state for target in targets] + [discovery.state for discovery in discoveries]
    is_lost = bool(targets) and len(failing) == len(targets)
    is_starting = "pending" in states and not failing
    # Not ready before the first listings are read is expected, so it is not a problem.
    told = () if is_starting else unready
    polling = [
        *_discovery_problems(targets, discoveries),
        *_target_problems(failing, targets),
    ]
    problems = [
        *(Problem(_sentence(said), "targets", advice=_RESTART) for said in unhealthy),
        *(Problem(_sentence(said), "targets") for said in told if not polling),
        *polling,
        *_cluster_problems(clusters),
        *_session_problems(sessions),
        *_throttling_problems(calls),
    ]
    level = _level(problems, is_lost=bool(is_lost or unhealthy or told), is_starting=is_starting)
    aged = tuple(_with_age(problem, now) for problem in problems)
    if level == "starting":
        return Verdict(level, _starting(states.count("pending"), targets), aged)
    if level == "ok":
        return Verdict(level, _all_well(len(targets), clusters, sessions), aged)
    return Verdict(level, _trouble(level, aged), aged)


def _level(problems: Sequence[Problem], *, is_lost: bool, is_starting: bool) -> Level:
    if is_lost:
        return "failing"
    if is_starting:
        return "starting"
    return "attention" if problems else "ok"


def _starting(waiting: int, targets: Sequence[TargetStatus]) -> str:
    """Return what has not been listed yet, and the progress of first scans of long histories."""
    scans = [target.scan for target in targets if target.state == "pending" and target.scan]
    pages = sum(scan.pages for scan in scans)
    expected = sum(max(scan.pages, scan.expected or 0) for scan in scans)
    scanned = f" ({pages} of {expected} pages of long histories)" if expected else ""
    return f"Starting: {_counted(waiting, 'listing')} not read yet{scanned}"


def _all_well(targets: int, clusters: Clusters, sessions: Sessions) -> str:
    said = f"{_counted(targets, 'target')} polled"
    if clusters.coverage == "complete":
        said += ", no session cluster in error"
    failed = sum(queue.failed for queue in sessions.ends)
    if failed:
        ended = sum(queue.ended for queue in sessions.ends)
        return f"{said}, {failed} of {_counted(ended, 'Livy session')} that ended recently failed"
    return f"All is well: {said}"


def _trouble(level: Level, problems: Sequence[Problem]) -> str:
    if level == "failing":
        return "The exporter cannot do its work"
    return _counted(len(problems), "problem")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _discovery_problems(
    targets: Sequence[TargetStatus], discoveries: Sequence[DiscoveryStatus]
) -> Iterator[Problem]:
    failing = [discovery for discovery in discoveries if discovery.state == "failing"]
    for reason, group in _by_reason(failing).items():
        what = f"{len(group)} of {_counted(len(discoveries), 'discovery', 'discoveries')} fail"
        if len(group) == 1:
            what = f"{_looked_for(group[0])} cannot be listed"
        withheld = "" if targets else "; nothing is polled"
        yield _of_group(f"{what}: {reason}{withheld}", "discovery", group)
    if not targets and discoveries and all(discovery.state == "up" for discovery in discoveries):
        yield Problem(
            "Nothing is polled: no workspace was found",
            "discovery",
            advice="Check region-id, discovery.include and discovery.exclude, and that the "
            "credential belongs to the account that owns the workspaces.",
        )


def _looked_for(discovery: DiscoveryStatus) -> str:
    if discovery.workspace_id:
        return f"Gateways of {discovery.workspace_name}"
    return f"Workspaces in {discovery.region_id}"


def _target_problems(
    failing: Sequence[TargetStatus], targets: Sequence[TargetStatus]
) -> Iterator[Problem]:
    for reason, group in _by_reason(failing).items():
        stale = sum(target.state == "stale" for target in group)
        withdrawn = f"; the gauges of {stale} are withdrawn" if stale else ""
        what = f"{len(group)} of {_counted(len(targets), 'target')}"
        if len(group) == 1:
            what = f"{_polled(group[0])} (1 of {_counted(len(targets), 'target')})"
        yield _of_group(f"{what} cannot be polled: {reason}{withdrawn}", "targets", group)


def _polled(target: TargetStatus) -> str:
    if target.livy_compute_id:
        return f"Livy sessions of {target.gateway_name}"
    return f"Session clusters of {target.workspace_name}"


def _by_reason(failing: Sequence[_StatusT]) -> Mapping[str, Sequence[_StatusT]]:
    groups: dict[str, list[_StatusT]] = {}
    for status in failing:
        groups.setdefault(status.trouble.reason if status.trouble else "", []).append(status)
    return groups


def _of_group(text: str, anchor: str, group: Sequence[WorkStatus]) -> Problem:
    """Return the problem of all that fail for one reason, in the words of the latest failure."""
    troubles = [status.trouble for status in group if status.trouble]
    if not troubles:
        return Problem(text, anchor)
    latest = max(troubles, key=lambda trouble: trouble.at)
    since = min(trouble.since for trouble in troubles)
    return Problem(text, anchor, _sentence(latest.message), _sentence(latest.advice), since)


def _cluster_problems(clusters: Clusters) -> Iterator[Problem]:
    errors = len(clusters.in_error) + clusters.errors_not_shown
    if errors:
        yield Problem(
            f"{_counted(errors, 'session cluster')} in error",
            "clusters",
            advice="Fix the reason that is shown for each cluster, then start it again in the "
            "console.",
            since=min(filter(None, (cluster.since for cluster in clusters.in_error)), default=None),
        )


def _session_problems(sessions: Sessions) -> Iterator[Problem]:
    failing = [
        queue
        for queue in sessions.ends
        if queue.ended >= _LEAST_ENDED and queue.failed > queue.ended * _FAILED_SHARE
    ]
    for queue in failing[:_MOST_QUEUES]:
        yield Problem(
            f"{queue.failed} of {queue.ended} Livy sessions that ended recently in"
            f" {queue.queue or 'no queue'} ({queue.gateway_name}) failed",
            "failed",
            advice="Compare their messages: look for a common cause first (quota, storage, "
            "network, permission), then at each job.",
            since=min(_failures_of(queue, sessions), default=None),
        )
    if len(failing) > _MOST_QUEUES:
        more = _counted(len(failing) - _MOST_QUEUES, "more queue")
        yield Problem(f"The same in {more}", "failed")


def _failures_of(queue: QueueEnds, sessions: Sessions) -> Iterator[float]:
    """Yield when sessions of a queue failed, within the time in which `queue` counts."""
    key = (queue.workspace_id, queue.livy_compute_id, queue.queue)
    for session in sessions.failed:
        is_of_queue = (session.workspace_id, session.livy_compute_id, session.queue) == key
        if is_of_queue and session.ended_at and (session.ended_age or 0) <= sessions.ends_seconds:
            yield session.ended_at


def _throttling_problems(calls: Sequence[Calls]) -> Iterator[Problem]:
    for region in calls:
        if region.rate_limit <= region.configured_rate * _SLOWED_SHARE:
            yield Problem(
                f"The API throttles in {region.region_id}: {region.rate_limit:.1f} of"
                f" {region.configured_rate:g} requests per second are sent",
                "api",
                advice="If this persists, raise poll.interval or ask for a higher quota.",
            )


def _with_age(problem: Problem, now: float) -> Problem:
    age = None if problem.since is None else max(0.0, now - problem.since)
    return replace(problem, age=age)


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
