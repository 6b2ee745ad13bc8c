"""Connects the status page with the parts of the exporter."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry

import exporter
from exporter.clock import Clock
from exporter.ledger import Ledger
from exporter.settings import Settings
from exporter.snapshot import SnapshotStore
from exporter.sources import FailedSessions
from exporter.web import Parts, Recorder, StatusBuilder

_POLLS_PER_BUCKET = 2
"""More than one, so that the number of polls per bucket is even."""


def status_builder(
    settings: Settings,
    snapshots: SnapshotStore,
    ledger: Ledger,
    registry: CollectorRegistry,
    clock: Clock,
    *,
    failed_sessions: FailedSessions,
    unhealthy: Callable[[], Sequence[str]],
    unready: Callable[[], Sequence[str]],
) -> StatusBuilder:
    """Start recording, and return what builds the view of the status."""
    width = _POLLS_PER_BUCKET * settings.poll.interval
    recorder = Recorder(clock, lambda: ledger.state, width=width)
    snapshots.watch(recorder.note)
    parts = Parts(
        snapshot=lambda: snapshots.current,
        ledger=lambda: ledger.state,
        ownership=ledger.ownership,
        failed_sessions=lambda: failed_sessions.latest,
        unhealthy=unhealthy,
        unready=unready,
        registry=registry,
        version=exporter.__version__,
        revision=exporter.__revision__,
        poll_interval=settings.poll.interval,
        configured_rate=settings.api.max_requests_per_second,
        telemetry_path=settings.web.telemetry_path,
    )
    return StatusBuilder(parts, recorder, clock)
