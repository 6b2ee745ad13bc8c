"""Puts the parts together. Nothing starts here, and no other module knows all of them."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from starlette.applications import Starlette

import exporter
from exporter import catalog
from exporter.api import CredentialSource
from exporter.app.clients import Clients
from exporter.app.plan import PlannedTarget, plan
from exporter.clock import Clock
from exporter.exposition import Page, render
from exporter.ledger import Key, Ledger
from exporter.model import Source
from exporter.poller import (
    Polling,
    PollSource,
    Timing,
    problems_of_health,
    problems_of_readiness,
)
from exporter.settings import Settings
from exporter.snapshot import Board, Samples, SampleSet, Snapshot
from exporter.sources import LivySessions, SeriesLimits, SessionClusters
from exporter.telemetry import Telemetry
from exporter.web import Site, site


@dataclass(frozen=True, slots=True)
class Job:
    """A source to poll, and how many requests were made for it so far."""

    source: PollSource
    requests: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Exporter:
    """The parts of a running exporter that something outside has to start, stop or read."""

    ledger: Ledger
    telemetry: Telemetry
    registry: CollectorRegistry
    polling: Polling
    jobs: Sequence[Job]
    page: Callable[[], Page]
    web: Starlette


def build(
    settings: Settings,
    *,
    clock: Clock,
    http: httpx.AsyncClient,
    credentials: Callable[[str], CredentialSource],
    ledger_path: Path | None,
    birth_hold: float,
) -> Exporter:
    """Build the exporter that `settings` describe.

    `credentials` gives the source of credentials for a role to assume (`""` for none). Raises
    `SettingsError` where there is nothing to poll, `LedgerError` where the ledger is unusable.
    """
    planned = plan(settings)
    registry = CollectorRegistry()
    telemetry = _telemetry(registry, planned)
    ledger = Ledger(
        ledger_path,
        clock=clock,
        birth_hold=birth_hold,
        forget_after=settings.ledger.forget_after,
        max_proxy_users=settings.usage.max_proxy_users if settings.usage.by_proxy_user else 0,
    )
    board = _RenderedBoard(Snapshot(infos=infos(planned)))
    timing = Timing(settings.poll.interval, settings.poll.timeout, settings.poll.stale_after)
    polling = Polling(board, ledger, telemetry, clock, timing)
    clients = Clients(settings, clock, http, credentials)
    sources = _Sources(settings, clock, clients, ledger, telemetry)
    return Exporter(
        ledger=ledger,
        telemetry=telemetry,
        registry=registry,
        polling=polling,
        jobs=[sources.job(each) for each in planned],
        page=board.page,
        web=site(
            Site(
                page=board.page,
                own_metrics=registry,
                unhealthy=lambda: problems_of_health(
                    timing, polling.last_sign_of_life, clock.monotonic()
                ),
                unready=lambda: problems_of_readiness(board.current),
                on_scrape=lambda page, is_prometheus: ledger.scraped(
                    _shown(page.snapshot), is_prometheus=is_prometheus
                ),
                version=exporter.__version__,
                telemetry_path=settings.web.telemetry_path,
            )
        ),
    )


class _RenderedBoard(Board):
    """A board whose page is rendered when a picture is published, not when it is read."""

    def __init__(self, first: Snapshot) -> None:
        super().__init__(first)
        self._page = render(first)

    def publish(self, snapshot: Snapshot) -> None:
        super().publish(snapshot)
        if self._page.snapshot is not self.current:
            self._page = render(self.current)

    def page(self) -> Page:
        """Give the bytes of the current picture."""
        return self._page


@dataclass(frozen=True, slots=True)
class _Sources:
    """Makes the source of each target."""

    settings: Settings
    clock: Clock
    clients: Clients
    ledger: Ledger
    telemetry: Telemetry

    def job(self, planned: PlannedTarget) -> Job:
        """Give what polls `planned`."""
        target = planned.target
        meter = self.telemetry.api_meter(target.account, target.region_id)
        client = self.clients.client(planned, meter)
        source: PollSource
        if target.source is Source.SESSION_CLUSTERS:
            source = SessionClusters(target, client, ledger=self.ledger, telemetry=self.telemetry)
        else:
            sessions = self.settings.sessions
            source = LivySessions(
                target,
                client,
                ledger=self.ledger,
                telemetry=self.telemetry,
                clock=self.clock,
                limits=SeriesLimits(sessions.ended_retention, sessions.max_series_sessions),
            )
        return Job(source, lambda: meter.requests)


def _telemetry(registry: CollectorRegistry, planned: Sequence[PlannedTarget]) -> Telemetry:
    telemetry = Telemetry(registry)
    telemetry.build_info(
        version=exporter.__version__,
        revision=exporter.__revision__,
        python_version=platform.python_version(),
    )
    targets = [each.target for each in planned]
    telemetry.expect_sources({target.source for target in targets})
    for target in targets:
        telemetry.expect_calls(target.account, target.region_id, target.source)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return telemetry


def infos(planned: Sequence[PlannedTarget]) -> Samples:
    """Say which workspaces and gateways are polled; their names are their ids so far."""
    found = SampleSet()
    for workspace_id, region_id, account in sorted(
        {(each.target.workspace_id, each.target.region_id, each.target.account) for each in planned}
    ):
        labels = (workspace_id, workspace_id, region_id, account)
        found.add(catalog.WORKSPACE_INFO, labels, 1)
    for target in sorted(each.target for each in planned):
        if target.source is Source.LIVY_SESSIONS:
            gateway = (target.workspace_id, target.livy_compute_id)
            found.add(catalog.LIVY_GATEWAY_INFO, (*gateway, target.livy_compute_id, "", ""), 1)
    return found.freeze()


def _shown(snapshot: Snapshot) -> list[Key]:
    return [
        Key(metric, sample.labels)
        for metric, samples in snapshot.counters.items()
        for sample in samples
    ]
