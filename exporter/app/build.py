"""Puts the parts together. Nothing starts here, and no other module knows all of them."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

import exporter
from exporter.api import CredentialSource
from exporter.app.clients import ClientFactory
from exporter.app.plan import Plan, plan
from exporter.app.status import status_source
from exporter.clock import Clock
from exporter.exposition import Answers, OwnMetrics, RenderedBoard
from exporter.ledger import Key, Ledger
from exporter.model import Scope, Source, Target
from exporter.poller import (
    Polling,
    PollJob,
    PollSource,
    TargetRegistry,
    Timing,
    problems_of_health,
    problems_of_readiness,
    summary,
)
from exporter.settings import Settings
from exporter.snapshot import Snapshot, groups_of
from exporter.sources import (
    Discovery,
    Inventory,
    LivySessions,
    ScanTiming,
    SeriesLimits,
    SessionClusters,
)
from exporter.telemetry import Telemetry
from exporter.web import ReloadingWebConfig, build_app


@dataclass(frozen=True, slots=True)
class Exporter:
    """The parts of a running exporter that something outside has to start, stop or read."""

    ledger: Ledger
    board: RenderedBoard
    telemetry: Telemetry
    own: OwnMetrics
    polling: Polling
    targets: TargetRegistry
    answers: Answers
    access: ReloadingWebConfig
    web: ASGIApp
    unhealthy: Callable[[], Sequence[str]]
    """Says what is wrong with the process, in sentences; nothing where all is well."""
    summary: Callable[[], str]
    """Says in a line how the targets are."""

    @property
    def jobs(self) -> Sequence[PollJob]:
        """Give the jobs of what is polled now."""
        return tuple(self.targets.jobs.values())


def build(
    settings: Settings,
    *,
    clock: Clock,
    http: httpx.AsyncClient,
    credentials: Callable[[str], CredentialSource],
    ledger_path: Path | None,
    birth_hold: float,
    web_config: Path | None = None,
) -> Exporter:
    """Build the exporter that `settings` describe.

    `credentials` gives the source of credentials for a role to assume (`""` for none). Raises
    `SettingsError` where there is nothing to poll, `WebConfigError` where the file `web_config` is
    wrong, `LedgerError` where the ledger is unusable.
    """
    planned = plan(settings)
    registry = CollectorRegistry()
    telemetry = _telemetry(registry, planned)
    access = ReloadingWebConfig(web_config, telemetry.web_config_read)
    ledger = Ledger(
        ledger_path,
        clock=clock,
        birth_hold=birth_hold,
        forget_after=settings.ledger.forget_after,
        max_proxy_users=settings.usage.max_proxy_users if settings.usage.by_proxy_user else 0,
        sources=planned.sources,
    )
    board = RenderedBoard(Snapshot())
    timing = Timing(settings.poll.interval, settings.poll.timeout, settings.poll.stale_after)
    polling = Polling(board, ledger, telemetry, clock, timing)
    clients = ClientFactory(
        settings.api,
        planned.shards,
        clock=clock,
        http=http,
        credentials=credentials,
        total_timeout=settings.poll.timeout,
        on_rate_limiter=telemetry.watch_rate,
    )
    targets = TargetRegistry(
        planned.inventory,
        polling,
        board,
        clock,
        new_job=partial(_poll_job, settings, clock, clients, ledger, telemetry),
        new_reader=partial(_discovery, clients, planned.inventory, ledger, telemetry),
    )
    own = OwnMetrics(registry)
    answers = Answers(board, own)

    def unhealthy() -> Sequence[str]:
        return problems_of_health(
            board.current,
            timing,
            discovery_interval=settings.discovery.interval,
            silence=clock.monotonic() - polling.last_progress,
        )

    def unready() -> Sequence[str]:
        return problems_of_readiness(board.current)

    status = status_source(
        settings,
        board,
        ledger,
        registry,
        clock,
        sentences=lambda: [*unhealthy(), *unready()],
    )
    web = build_app(
        answer=answers.answer,
        unhealthy=unhealthy,
        unready=unready,
        on_scrape=lambda page, is_prometheus: ledger.note_scrape(
            _ShownCounters(page.snapshot), is_prometheus=is_prometheus
        ),
        status=status.status,
        config=lambda: access.current,
        telemetry_path=settings.web.telemetry_path,
        health_auth=settings.web.health_auth,
    )
    return Exporter(
        ledger=ledger,
        board=board,
        telemetry=telemetry,
        own=own,
        polling=polling,
        targets=targets,
        answers=answers,
        access=access,
        web=web,
        unhealthy=unhealthy,
        summary=lambda: summary(board.current),
    )


def _poll_job(
    settings: Settings,
    clock: Clock,
    clients: ClientFactory,
    ledger: Ledger,
    telemetry: Telemetry,
    target: Target,
) -> PollJob:
    """Build what polls `target`."""
    telemetry.expect_polls(target.account, target.region_id, target.source)
    meter = telemetry.api_meter(target.account, target.region_id)
    client = clients.client(target.account, target.region_id, meter)
    source: PollSource
    if target.source is Source.SESSION_CLUSTERS:
        source = SessionClusters(target, client, ledger=ledger, telemetry=telemetry)
    else:
        sessions, livy = settings.sessions, settings.livy
        source = LivySessions(
            target,
            client,
            ledger=ledger,
            telemetry=telemetry,
            clock=clock,
            limits=SeriesLimits(sessions.ended_retention, sessions.max_series_sessions),
            timing=ScanTiming(livy.full_walk_interval, livy.settle_after),
        )
    return PollJob(source, lambda: meter.requests)


def _discovery(
    clients: ClientFactory, inventory: Inventory, ledger: Ledger, telemetry: Telemetry, scope: Scope
) -> Discovery:
    """Build what discovers `scope`."""
    telemetry.expect_discovery(scope)
    meter = telemetry.api_meter(scope.account, scope.region_id)
    return Discovery(
        scope, clients.client(scope.account, scope.region_id, meter), inventory, ledger
    )


def _telemetry(registry: CollectorRegistry, planned: Plan) -> Telemetry:
    telemetry = Telemetry(registry)
    telemetry.build_info(
        version=exporter.__version__,
        revision=exporter.__revision__,
        python_version=platform.python_version(),
    )
    telemetry.expect_sources(planned.sources)
    return telemetry


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
