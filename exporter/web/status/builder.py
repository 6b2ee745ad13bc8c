"""Builds the current `StatusView`: from the snapshot, the ledger, the recorder and the registry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from prometheus_client import CollectorRegistry

from exporter.clock import Clock
from exporter.ledger import LedgerState
from exporter.model import Ownership, Standing
from exporter.snapshot import Snapshot
from exporter.sources import FailedSession
from exporter.web.status import ledger_view, sessions_view, telemetry_view
from exporter.web.status.display_names import Names
from exporter.web.status.recorder import Recorder
from exporter.web.status.targets_view import Moment, discoveries, targets
from exporter.web.status.verdict import verdict
from exporter.web.status.view import About, StatusView, Verdict

_FRESH_SECONDS = 1.0
"""How long a view is reused, however many ask for it."""


@dataclass(slots=True, kw_only=True)
class StatusBuilder:
    """The current status; the same object for all who ask within a second.

    `unhealthy` and `unready` give the sentences of the health endpoints.
    """

    snapshot: Callable[[], Snapshot]
    ledger: Callable[[], LedgerState]
    ownership: Callable[[], Ownership | None]
    failed_sessions: Callable[[], Sequence[FailedSession]]
    unhealthy: Callable[[], Sequence[str]]
    unready: Callable[[], Sequence[str]]
    recorder: Recorder
    registry: CollectorRegistry
    clock: Clock
    version: str
    revision: str
    poll_interval: float
    configured_rate: float
    telemetry_path: str
    _last: StatusView | None = field(default=None, init=False)
    _last_of: Snapshot | None = field(default=None, init=False)
    _last_at: float = field(default=0.0, init=False)

    def status(self) -> StatusView:
        """Return the current view. Call it in the thread that publishes."""
        snapshot, monotonic = self.snapshot(), self.clock.monotonic()
        is_fresh = snapshot is self._last_of and monotonic - self._last_at < _FRESH_SECONDS
        if self._last is None or not is_fresh:
            self._last, self._last_of, self._last_at = self._view(), snapshot, monotonic
        return self._last

    def _view(self) -> StatusView:
        snapshot, state = self.snapshot(), self.ledger()
        now, monotonic = self.clock.now(), self.clock.monotonic()
        moment = Moment(snapshot, self.recorder, Names.of(snapshot), now, monotonic)
        found, scopes = targets(moment), discoveries(moment)
        clusters = sessions_view.clusters(moment)
        sessions = sessions_view.sessions(moment, self.failed_sessions())
        calls = telemetry_view.calls(self.registry, self.configured_rate)
        judged = verdict(
            unhealthy=self.unhealthy(),
            unready=self.unready(),
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
            verdict=_of_standby(judged, self.ownership()),
            about=self._about(monotonic),
            targets=found,
            clusters=clusters,
            sessions=sessions,
            usage=ledger_view.usage(state, self.recorder, moment.names, sessions.coverage),
            history=ledger_view.history(self.recorder, monotonic=monotonic, now=now),
            calls=calls,
            polls=telemetry_view.polls(self.registry),
            discoveries=scopes,
            ledger=ledger_view.ledger(state, self.ownership()),
        )

    def _about(self, monotonic: float) -> About:
        return About(
            version=self.version,
            revision=self.revision,
            started_at=self.recorder.started_at,
            uptime=monotonic - self.recorder.started_monotonic,
            poll_interval=self.poll_interval,
            links={
                "metrics": self.telemetry_path.lstrip("/"),
                "healthy": "-/healthy",
                "ready": "-/ready",
                "json": "api/v1/status",
            },
        )


def _of_standby(judged: Verdict, ownership: Ownership | None) -> Verdict:
    """Return a verdict that names the owner, for a standby replica without problems."""
    if ownership is None or ownership.standing is not Standing.STANDBY or judged.level != "ok":
        return judged
    return replace(judged, summary=f"Standby: {ownership.holder or 'nobody'} owns the ledger")
