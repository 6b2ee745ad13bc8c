"""Whether all is well, in words: pure functions of the facts."""

from collections.abc import Iterator, Sequence

from exporter.web.status.view import (
    Calls,
    Clusters,
    DiscoveryStatus,
    Level,
    Problem,
    Sessions,
    TargetStatus,
    Verdict,
)

_SLOWED_SHARE = 0.5
"""Of the configured rate: down to this, throttling is nothing to worry about."""


def verdict(
    *,
    sentences: Sequence[str],
    targets: Sequence[TargetStatus],
    discoveries: Sequence[DiscoveryStatus],
    clusters: Clusters,
    sessions: Sessions,
    calls: Sequence[Calls],
) -> Verdict:
    """Judge; `sentences` are what health and readiness have to say.

    Livy sessions that failed are told, and are no trouble: in a large fleet there are always some.
    """
    failing = [each for each in targets if each.state in {"failing", "stale"}]
    waiting = [
        *(each.name for each in targets if each.state == "pending"),
        *(each.name for each in discoveries if each.state == "pending"),
    ]
    is_lost = bool(targets) and len(failing) == len(targets)
    is_starting = bool(waiting) and not failing
    # What is not read yet is not ready either: that is no news.
    told = () if is_starting else sentences
    problems = (
        *(Problem(f"{each[:1].upper()}{each[1:]}", "targets") for each in told),
        *_polling_problems(failing, targets, discoveries),
        *_other_problems(clusters, calls),
    )
    level = _level(problems, is_lost=is_lost or bool(told), is_starting=is_starting)
    if level == "starting":
        return Verdict(level, _starting(len(waiting), targets), problems)
    if level == "ok":
        return Verdict(level, _all_well(len(targets), sessions), problems)
    return Verdict(level, _trouble(level, problems), problems)


def _level(problems: Sequence[Problem], *, is_lost: bool, is_starting: bool) -> Level:
    if is_lost:
        return "failing"
    if is_starting:
        return "starting"
    return "attention" if problems else "ok"


def _starting(waiting: int, targets: Sequence[TargetStatus]) -> str:
    """Say what is not there yet, and how far the first scans of long histories have come."""
    scans = [each.scan for each in targets if each.state == "pending" and each.scan]
    pages = sum(each.pages for each in scans)
    expected = sum(max(each.pages, each.expected or 0) for each in scans)
    scanned = f" ({pages} of {expected} pages of long histories)" if expected else ""
    return f"Starting: {_counted(waiting, 'listing')} not read yet{scanned}"


def _all_well(targets: int, sessions: Sessions) -> str:
    said = f"{_counted(targets, 'target')} polled, no session cluster in error"
    failed = sum(each.state == "error" for each in sessions.ended)
    if failed:
        is_cut = sessions.ended_not_shown and failed == len(sessions.ended)
        least = "at least " if is_cut else ""
        return f"{said}, {least}{_counted(failed, 'Livy session')} failed lately"
    return f"All is well: {said}"


def _trouble(level: Level, problems: Sequence[Problem]) -> str:
    if level == "failing":
        return "The exporter cannot do its work"
    if len(problems) == 1:
        return "One thing needs a look"
    return f"{len(problems)} things need a look"


def _polling_problems(
    failing: Sequence[TargetStatus],
    targets: Sequence[TargetStatus],
    discoveries: Sequence[DiscoveryStatus],
) -> Iterator[Problem]:
    if failing:
        reasons = sorted({each.trouble.reason for each in failing if each.trouble})
        stale = sum(each.state == "stale" for each in failing)
        withdrawn = f"; the gauges of {stale} are withdrawn" if stale else ""
        yield Problem(
            f"{len(failing)} of {_counted(len(targets), 'target')} cannot be polled"
            f" ({', '.join(reasons)}){withdrawn}",
            "targets",
        )
    lost = sum(each.state == "failing" for each in discoveries)
    if lost:
        yield Problem(f"{_counted(lost, 'discovery', 'discoveries')} failing", "discovery")
    if not targets and all(each.state == "up" for each in discoveries):
        yield Problem("Nothing is polled: no workspace was found", "discovery")


def _other_problems(clusters: Clusters, calls: Sequence[Calls]) -> Iterator[Problem]:
    errors = len(clusters.in_error) + clusters.errors_not_shown
    if errors:
        yield Problem(f"{_counted(errors, 'session cluster')} in error", "clusters")
    for each in calls:
        if each.rate_limit <= each.configured_rate * _SLOWED_SHARE:
            yield Problem(
                f"The API throttles in {each.region_id}: {each.rate_limit:.1f} of"
                f" {each.configured_rate:g} requests a second are sent",
                "api",
            )


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
