"""How polls and discoveries go: pure functions from what was published."""

from collections.abc import Iterator
from dataclasses import dataclass

from exporter.model import Target, Work
from exporter.snapshot import Snapshot, TargetView
from exporter.web.status.display_names import Names
from exporter.web.status.recorder import Recorder
from exporter.web.status.view import (
    DiscoveryStatus,
    Scan,
    TargetState,
    TargetStatus,
    Trouble,
)


@dataclass(frozen=True, slots=True)
class Moment:
    """What is looked at, and when: both clocks' readings in seconds."""

    snapshot: Snapshot
    recorder: Recorder
    names: Names
    now: float
    monotonic: float

    def age(self, at: float | None) -> float | None:
        """Return how long ago `at` was; never less than nothing, whatever the clock did."""
        return None if at is None else max(0.0, self.now - at)


def targets(moment: Moment) -> tuple[TargetStatus, ...]:
    """Return every target, those that fail first."""
    found = [_target(moment, target, view) for target, view in moment.snapshot.targets.items()]
    return tuple(
        sorted(found, key=lambda target: (_RANK[target.state], target.name, target.account))
    )


def discoveries(moment: Moment) -> tuple[DiscoveryStatus, ...]:
    """Return every discovery, those that fail first."""
    return tuple(sorted(_discoveries(moment), key=lambda scope: (_RANK[scope.state], scope.name)))


_RANK = {"failing": 0, "stale": 0, "pending": 1, "up": 2}


def _target(moment: Moment, target: Target, view: TargetView) -> TargetStatus:
    names = moment.names
    return TargetStatus(
        name=str(target),
        source=target.source.value,
        account=target.account,
        region_id=target.region_id,
        workspace_id=target.workspace_id,
        workspace_name=names.workspace(target.workspace_id),
        livy_compute_id=target.livy_compute_id,
        gateway_name=names.gateway(target.workspace_id, target.livy_compute_id),
        state=_state(view, moment.monotonic),
        last_success_at=view.last_success_at,
        last_success_age=moment.age(view.last_success_at),
        stale_after=view.stale_after,
        last_poll_duration=view.last_duration,
        last_poll_requests=view.last_requests,
        polls=view.polls,
        scan=Scan(*view.scan) if view.scan else None,
        trouble=_trouble(moment, target, is_current=view.failure is not None),
    )


def _state(view: TargetView, monotonic: float) -> TargetState:
    if view.up is None:
        return "pending"
    if view.up:
        return "up"
    return "stale" if view.is_stale(monotonic) else "failing"


def _discoveries(moment: Moment) -> Iterator[DiscoveryStatus]:
    for scope, view in moment.snapshot.discoveries.items():
        yield DiscoveryStatus(
            name=str(scope),
            account=scope.account,
            region_id=scope.region_id,
            workspace_id=scope.workspace_id,
            workspace_name=moment.names.workspace(scope.workspace_id),
            state="pending" if view.up is None else "up" if view.up else "failing",
            last_success_at=view.last_success_at,
            last_success_age=moment.age(view.last_success_at),
            trouble=_trouble(moment, scope, is_current=view.failure is not None),
        )


def _trouble(moment: Moment, work: Work, *, is_current: bool) -> Trouble | None:
    seen = moment.recorder.last_failure(work)
    if seen is None:
        return None
    failure = seen.failure
    return Trouble(
        reason=failure.reason.value,
        message=failure.message,
        advice=failure.advice,
        at=seen.at,
        age=max(0.0, moment.now - seen.at),
        since=seen.since,
        is_current=is_current,
    )
