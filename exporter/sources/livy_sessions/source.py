"""Polls one gateway: an incremental scan where that is enough, else a full one."""

import asyncio
from dataclasses import dataclass
from functools import partial

from exporter.api import PAGE_SIZE, Client
from exporter.clock import Clock
from exporter.errors import IncompleteError
from exporter.ledger import Ledger
from exporter.model import Target
from exporter.sources.failed_sessions import FailedSessions
from exporter.sources.listing import DisappearanceGuard, PollResult, Progress
from exporter.sources.livy_sessions.alignment import ListingDiverged
from exporter.sources.livy_sessions.driver import Driver, Run
from exporter.sources.livy_sessions.full_scan import FullScan
from exporter.sources.livy_sessions.history import History
from exporter.sources.livy_sessions.incremental_scan import IncrementalScan, Verification
from exporter.sources.livy_sessions.series import Gauges, SeriesLimits
from exporter.sources.livy_sessions.trust import ListingTrust
from exporter.sources.livy_sessions.warm_start import ListingMemory
from exporter.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class ScanTiming:
    """Seconds between complete readings, and without a change until an ended session settles."""

    full_walk_interval: float
    settle_after: float


class LivySessions:
    """Reads the sessions of one Livy gateway and hands their usage to the ledger."""

    def __init__(
        self,
        target: Target,
        client: Client,
        *,
        ledger: Ledger,
        telemetry: Telemetry,
        clock: Clock,
        limits: SeriesLimits,
        timing: ScanTiming,
        failed: FailedSessions,
    ) -> None:
        self.target = target
        self._driver = Driver(
            target,
            client,
            ledger,
            telemetry,
            clock,
            failed,
            retention=limits.ended_retention,
            settle_after=timing.settle_after,
        )
        self._gauges = Gauges((target.workspace_id, target.livy_compute_id), limits.max_sessions)
        self._guard = DisappearanceGuard(partial(ledger.run, ledger.listed_count, target))
        self._trust = ListingTrust(str(target), clock, timing.full_walk_interval)
        unsettled_for = max(limits.ended_retention, timing.settle_after)
        self._memory = ListingMemory(target, ledger, clock, unsettled_for)
        self._lock = asyncio.Lock()
        self._history: History | None = None
        self._full_scan: Run[FullScan] | None = None
        """A full scan that is not complete. Until it is, nothing else is read: a poll would not
        know what was found and counted since the scan has read its first pages."""
        self._verification: Verification | None = None

    async def poll(self, progress: Progress) -> PollResult:
        """Read what a complete listing needs and count its usage durably. Raises `PollError`."""
        async with self._lock:
            if self._history is None:
                self._history = await self._memory.load(progress)
                if self._history is not None:
                    self._trust.note_loaded()
            history = self._history
            if history and not self._full_scan and self._trust.allows_increments(history):
                result = await self._read_news(history, progress)
                if result is not None:
                    return result
            return await self._read_all(progress)

    async def verify(self, progress: Progress) -> None:
        """Verify the whole history beside the polls, when that is due. Raises `PollError`."""
        self._trust.is_verified_beside = True
        history = self._history
        if history is None or self._full_scan or not self._trust.must_verify(history):
            return
        scan = self._verification = self._verification or Verification(
            history, self._driver.policy, size=PAGE_SIZE
        )
        run = self._driver.begin(scan)
        try:
            await self._driver.read(run, progress, self._lock)
            async with self._lock:
                await self._adopt(run)
        except ListingDiverged as divergence:
            async with self._lock:
                if not scan.is_abandoned:
                    self._trust.note_divergence(divergence)
                    self._history = self._verification = None
        finally:
            if run.error is not None:
                self._verification = None  # what it has read is not counted, so it begins again
        if run.error is not None:
            raise run.error

    async def _adopt(self, run: Run[Verification]) -> None:
        """Go on from what a verification has found, unless a full scan has begun meanwhile."""
        if run.scan.is_abandoned:
            return
        self._verification = None
        await self._driver.finish(run)
        if run.error is None:
            self._history = run.scan.result(self._driver.policy)
            self._trust.note_read(self._history)
            run.error = await self._memory.record(self._history)

    async def _read_news(self, history: History, progress: Progress) -> PollResult | None:
        """Read what is new or may have changed; return `None` where the listing has diverged."""
        run = self._driver.begin(IncrementalScan(history, size=PAGE_SIZE))
        try:
            await self._driver.read(run, progress)
        except ListingDiverged as divergence:
            self._trust.note_divergence(divergence)
            return None
        await self._driver.finish(run)
        history = run.scan.result(self._driver.policy)
        await self._guard.check(len(history))
        self._trust.note_agreement()
        if run.error is None:
            self._history = history
            run.error = await self._memory.record_news(history, run.scan.first_read)
        return await self._gauges.publish(history, self._driver.recently_ended, run.error)

    async def _read_all(self, progress: Progress) -> PollResult:
        """Read the whole history, or the rest of it where the last full scan has failed.

        What was read before a pause counts, but it is too old to be published.
        """
        run = self._full_scan
        is_resumed = run is not None and self._driver.may_resume(run)
        if run is None or not is_resumed:
            run = self._begin_full_scan()
        is_truncated = await self._scan_fully(run, progress)
        history = await asyncio.to_thread(run.scan.result)
        self._history = None if is_truncated or run.error else history
        self._trust.note_read(history)
        run.error = run.error or await self._memory.record(None if is_truncated else history)
        if self._history and history.order and (is_resumed or not self._driver.is_fresh(run)):
            result = await self._read_news(history, progress)
            if result is not None:
                return result
        if is_resumed:
            return await self._read_all(progress)
        return await self._gauges.publish(
            history, self._driver.recently_ended, run.error, is_truncated=is_truncated
        )

    def _begin_full_scan(self) -> Run[FullScan]:
        if self._verification is not None:
            self._verification.is_abandoned = True
            self._verification = None
        known = self._history.watched if self._history else {}
        self._full_scan = self._driver.begin(FullScan(known, size=PAGE_SIZE))
        return self._full_scan

    async def _scan_fully(self, run: Run[FullScan], progress: Progress) -> bool:
        """Drive a full scan to its end; return whether the service does not show all there is."""
        is_truncated, is_confirmed = False, True
        try:
            await self._driver.read(run, progress)
            is_confirmed = await self._guard.check(run.scan.found)
            self._trust.note_end()
        except IncompleteError:
            is_truncated = self._trust.believes_truncation(run.scan.deepest)
            if not is_truncated:
                self._full_scan = None
                raise
        self._full_scan = None
        is_complete = not (is_truncated or run.scan.is_blurred)
        await self._driver.finish(run, is_complete=is_complete, is_confirmed=is_confirmed)
        return is_truncated
