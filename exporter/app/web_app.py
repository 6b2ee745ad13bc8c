"""The web application of an exporter: its metrics, its health, and the page of its status."""

from functools import cached_property

from starlette.types import ASGIApp

from exporter import __revision__, __version__
from exporter.app.build import Exporter
from exporter.ledger import Key
from exporter.snapshot import Snapshot, groups_of
from exporter.web import Recorder, StatusBuilder, build_app

_POLLS_PER_BUCKET = 2
"""More than one, so that the number of polls per bucket is even."""


def web_app(exporter: Exporter) -> ASGIApp:
    """Build the application; its status page tells what happens from now on."""
    return build_app(
        answer=exporter.answers.answer,
        on_scrape=lambda page, is_prometheus: exporter.ledger.note_scrape(
            _ShownCounters(page.snapshot), is_prometheus=is_prometheus
        ),
        unhealthy=exporter.unhealthy,
        unready=exporter.unready,
        status=_status_builder(exporter).status,
        config=lambda: exporter.access.current,
        telemetry_path=exporter.settings.web.telemetry_path,
        health_auth=exporter.settings.web.health_auth,
    )


def _status_builder(exporter: Exporter) -> StatusBuilder:
    settings, ledger, snapshots = exporter.settings, exporter.ledger, exporter.snapshots
    width = _POLLS_PER_BUCKET * settings.poll.interval
    recorder = Recorder(exporter.clock, lambda: ledger.state, width=width)
    snapshots.watch(recorder.note)
    return StatusBuilder(
        snapshot=lambda: snapshots.current,
        ledger=lambda: ledger.state,
        ownership=ledger.ownership,
        failed_sessions=lambda: exporter.failed_sessions.latest,
        unhealthy=exporter.unhealthy,
        unready=exporter.unready,
        recorder=recorder,
        registry=exporter.registry,
        clock=exporter.clock,
        version=__version__,
        revision=__revision__,
        poll_interval=settings.poll.interval,
        configured_rate=settings.api.max_requests_per_second,
        telemetry_path=settings.web.telemetry_path,
    )


class _ShownCounters:
    """The counters on a page: listed only when asked for, since mostly none awaits a scrape."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @cached_property
    def _keys(self) -> frozenset[object]:
        return frozenset(
            Key(metric, sample.labels)
            for group in groups_of(self._snapshot.counters)
            for metric, samples in group.items()
            for sample in samples
        )

    def __contains__(self, key: object) -> bool:
        """Whether the series `key` is on the page."""
        return key in self._keys
