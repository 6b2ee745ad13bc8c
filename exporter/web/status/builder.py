"""Builds the current `StatusView`: from the snapshot, the ledger, the recorder and the registry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry

from exporter.clock import Clock
from exporter.ledger import LedgerState
from exporter.model import Ownership, Standing
from exporter.snapshot import Snapshot
from exporter.sources import FailedSession
from exporter.web.status import sessions_view, telemetry_view, usage
from exporter.web.status.display_names import Names
from exporter.web.status.recorder import BUCKETS, Recorder
from exporter.web.status.targets_view import Moment, discoveries, targets
from exporter.web.status.verdict import verdict
from exporter.web.status.view import About, StatusView, Verdict

_FRESH_SECONDS = 1.0
"""How long a view is reused, however many ask for it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the facts come from. `unhealthy` and `unready` give their sentences."""

    snapshot: Callable[[], Snapshot]
    ledger: Callable[[], LedgerState]
    ownership: Callable[[], Ownership | None]
    failed_sessions: Callable[[], Sequence[FailedSession]]
    unhealthy: Callable[[], Sequence[str]]
    unready: Callable[[], Sequence[str]]
    registry: CollectorRegistry
    version: str
    revision: str
    poll_interval: float
    configured_rate: float
    telemetry_path: str


class StatusBuilder:
    """The current status; the same object for all who ask within a second."""

    def __init__(self, parts: Parts, recorder: Recorder, clock: Clock) -> None:
        self._parts = parts
        self._recorder = recorder
        self._clock = clock
        self._last: StatusView | None = None
        self._last_of: Snapshot | None = None
        self._last_at = 0.0

    def status(self) -> StatusView:
        """Return the current view. Call it in the thread that publishes."""
        snapshot, monotonic = self._parts.snapshot(), self._clock.monotonic()
        is_fresh = snapshot is self._last_of and monotonic - self._last_at < _FRESH_SECONDS
        if self._last is None or not is_fresh:
            self._last, self._last_of, self._last_at = self._view(), snapshot, monotonic
        return self._last

    def _view(self) -> StatusView:
        parts, recorder = self._parts, self._recorder
        snapshot, state = parts.snapshot(), parts.ledger()
        now, monotonic = self._clock.now(), self._clock.monotonic()
        moment = Moment(snapshot, recorder, Names.of(snapshot), now, monotonic)
        found, scopes = targets(moment), discoveries(moment)
        clusters = sessions_view.clusters(moment)
        sessions = sessions_view.sessions(moment, parts.failed_sessions())
        calls = telemetry_view.calls(parts.registry, parts.configured_rate)
        judged = verdict(
            unhealthy=parts.unhealthy(),
            unready=parts.unready(),
            targets=found,
            discoveries=scopes,
            clusters=clusters,
            sessions=sessions,
            calls=calls,
            now=now,
        )
        return StatusView(
            schema=1,
            generated_at=now,
            verdict=_of_standby(judged, parts.ownership()),
            about=self._about(monotonic),
            targets=found,
            clusters=clusters,
            sessions=sessions,
            usage=usage.usage(state, recorder, moment.names, sessions.coverage),
            history=usage.history(recorder, monotonic=monotonic, now=now, buckets=BUCKETS),
            calls=calls,
            polls=telemetry_view.polls(parts.registry),
            discoveries=scopes,
            ledger=usage.ledger(state, parts.ownership()),
        )

    def _about(self, monotonic: float) -> About:
        parts, recorder = self._parts, self._recorder
        return About(
            version=parts.version,
            revision=parts.revision,
            started_at=recorder.started_at,
            uptime=monotonic - recorder.started_monotonic,
            poll_interval=parts.poll_interval,
            links={
                "metrics": parts.telemetry_path.lstrip("/"),
                "healthy": "-/healthy",
                "ready": "-/ready",
                "json": "api/v1/status",
            },
        )


def _of_standby(judged: Verdict, ownership: Ownership | None) -> Verdict:
    """Return a verdict that names the owner, for a standby replica without problems."""
    is_standby = ownership is not None and ownership.standing is Standing.STANDBY
    if ownership is None or not is_standby or judged.level != "ok":
        return judged
    return replace(judged, summary=f"Standby: {ownership.holder or 'nobody'} owns the ledger")
