"""Puts the parts together. Nothing starts here, and no other module knows all of them."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry

import exporter
from exporter.api import Client, CredentialSource
from exporter.app.clients import ClientFactory, vendor_credentials
from exporter.app.plan import Plan, plan
from exporter.clock import Clock
from exporter.errors import ThreadLimitError
from exporter.exposition import OwnMetrics, PageResponses, RenderedSnapshotStore
from exporter.ledger import Ledger, Location
from exporter.model import Scope, Source, Standing, Target, Work
from exporter.poller import (
    Polling,
    PollJob,
    PollSource,
    TargetRegistry,
    Timing,
    may_show,
    problems_of_health,
    problems_of_lease,
    problems_of_looks,
    problems_of_readiness,
    summary,
)
from exporter.settings import Settings
from exporter.snapshot import Snapshot
from exporter.sources import (
    Discovery,
    FailedSessions,
    Inventory,
    LivySessions,
    ScanTiming,
    SeriesLimits,
    SessionClusters,
)
from exporter.telemetry import ApiMeter, Telemetry
from exporter.web import ReloadingWebConfig


@dataclass(frozen=True, eq=False, kw_only=True)
class Exporter:
    """The parts of an exporter."""

    settings: Settings
    clock: Clock
    registry: CollectorRegistry
    telemetry: Telemetry
    access: ReloadingWebConfig
    ledger: Ledger
    snapshots: RenderedSnapshotStore
    polling: Polling
    targets: TargetRegistry
    answers: PageResponses
    own: OwnMetrics
    failed_sessions: FailedSessions

    def unhealthy(self) -> Sequence[str]:
        """Say what is wrong with the process, in sentences; nothing where all is well."""
        timing = self.polling.timing
        duration, at = self.settings.lease.duration, self.clock.boottime()
        return [
            *problems_of_looks(self.ledger.ownership(), timing, duration, at),
            *problems_of_health(
                self.snapshots.current,
                timing,
                discovery_interval=self.settings.discovery.interval,
                silence=self.clock.monotonic() - self.polling.last_progress,
            ),
        ]

    def unready(self) -> Sequence[str]:
        """Say what keeps the exporter from doing its work, in sentences; nothing if all is well."""
        duration, at = self.settings.lease.duration, self.clock.boottime()
        return [
            *problems_of_lease(self.ledger.ownership(), duration, at),
            *problems_of_readiness(self.snapshots.current),
        ]

    def summary(self) -> str:
        """Say in a line how the targets are."""
        return summary(self.snapshots.current, self.ledger.ownership())

    async def tick(self) -> None:
        """Do what is due by time alone; poll or not, as this process owns the ledger or not."""
        await self.polling.tick()  # reads the totals of a ledger that was taken over, first
        self.follow_lease()

    def follow_lease(self) -> None:
        """Poll or not, as this process owns the ledger or not."""
        ownership = self.ledger.ownership()
        if ownership is not None:
            if ownership.standing is Standing.STANDBY:
                self.ledger.withdraw()
                self.polling.touch()  # nothing is due; once it owns the ledger, the first poll is
            self.targets.follow(ownership.standing, ownership.acquisitions)


def build(
    settings: Settings,
    *,
    clock: Clock,
    http: httpx.AsyncClient,
    ledger_location: Location,
    birth_hold: float,
    credentials: Callable[[str], CredentialSource] = vendor_credentials,
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
    clients = ClientFactory(
        settings,
        planned.shards,
        clock=clock,
        http=http,
        credentials=credentials,
        on_rate_limiter=telemetry.watch_rate,
    )
    ledger = _ledger(settings, planned, ledger_location, clock, telemetry, birth_hold=birth_hold)
    snapshots = RenderedSnapshotStore(Snapshot())
    poll = settings.poll
    timing = Timing(poll.interval, poll.timeout, poll.stale_after)
    polling = Polling(snapshots, ledger, telemetry, clock, timing)
    failed = FailedSessions()
    factory = _SourceFactory(settings, clock, clients, planned.inventory, ledger, telemetry, failed)
    own = OwnMetrics(registry)
    return Exporter(
        settings=settings,
        clock=clock,
        registry=registry,
        telemetry=telemetry,
        access=access,
        ledger=ledger,
        snapshots=snapshots,
        polling=polling,
        targets=TargetRegistry(
            planned.inventory,
            polling,
            snapshots,
            clock,
            new_job=factory.job,
            new_reader=factory.reader,
        ),
        answers=PageResponses(snapshots, own, partial(may_show, ledger)),
        own=own,
        failed_sessions=failed,
    )


@dataclass(frozen=True, slots=True)
class _SourceFactory:
    """Builds what polls a target, and what discovers a scope."""

    settings: Settings
    clock: Clock
    clients: ClientFactory
    inventory: Inventory
    ledger: Ledger
    telemetry: Telemetry
    failed: FailedSessions

    def job(self, target: Target) -> PollJob:
        client, meter = self._client(target)
        source: PollSource
        if target.source is Source.SESSION_CLUSTERS:
            source = SessionClusters(target, client, ledger=self.ledger, telemetry=self.telemetry)
        else:
            sessions, livy = self.settings.sessions, self.settings.livy
            source = LivySessions(
                target,
                client,
                ledger=self.ledger,
                telemetry=self.telemetry,
                clock=self.clock,
                limits=SeriesLimits(sessions.ended_retention, sessions.max_series_sessions),
                timing=ScanTiming(livy.full_walk_interval, livy.settle_after),
                failed=self.failed,
            )
        return PollJob(source, lambda: meter.requests)

    def reader(self, scope: Scope) -> Discovery:
        client, _ = self._client(scope)
        return Discovery(scope, client, self.inventory, self.ledger)

    def _client(self, work: Work) -> tuple[Client, ApiMeter]:
        self.telemetry.expect_calls(work)
        meter = self.telemetry.api_meter(work.account, work.region_id)
        return self.clients.client(work, meter), meter


def _ledger(
    settings: Settings,
    planned: Plan,
    location: Location,
    clock: Clock,
    telemetry: Telemetry,
    *,
    birth_hold: float,
) -> Ledger:
    usage = settings.usage
    ledger = Ledger(
        location,
        clock=clock,
        birth_hold=birth_hold,
        forget_after=settings.ledger.forget_after,
        max_proxy_users=usage.max_proxy_users if usage.by_proxy_user else 0,
        sources=planned.sources,
    )
    try:
        ledger.start_thread()
    except RuntimeError as error:
        ledger.close()
        raise ThreadLimitError from error
    ledger.on_commit(telemetry.watch_ledger(lambda: ledger.is_up))
    if ledger.ownership() is not None:
        telemetry.watch_lease(ledger.ownership)
    return ledger


def _telemetry(registry: CollectorRegistry, planned: Plan) -> Telemetry:
    telemetry = Telemetry(registry)
    telemetry.build_info(
        version=exporter.__version__,
        revision=exporter.__revision__,
        python_version=platform.python_version(),
    )
    telemetry.expect_sources(planned.sources)
    return telemetry
