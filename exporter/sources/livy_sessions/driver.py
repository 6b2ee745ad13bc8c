"""Drives scans: the one place where pages are read and their sessions go to the ledger."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import structlog

from exporter.api import Client, fetch_page
from exporter.clock import Clock
from exporter.errors import LedgerError, PollError
from exporter.ledger import GatewayScan, Ledger
from exporter.model import LivySession, Page, Target
from exporter.sources.failed_sessions import FailedSessions
from exporter.sources.listing import Progress, record_anomalies
from exporter.sources.livy_sessions.alignment import ListingDiverged
from exporter.sources.livy_sessions.full_scan import FullScan
from exporter.sources.livy_sessions.incremental_scan import IncrementalScan
from exporter.sources.livy_sessions.settling import SettlePolicy, presume_ended
from exporter.telemetry import Telemetry

_log = structlog.get_logger(__name__)

SCAN_PROGRESS = "scan_progress"
SESSION_FAILED = "session_failed"

BATCH_ROWS = 2000
"""Rows that are counted in one transaction, and held until then."""

LOG_SECONDS = 15.0
"""Between two lines about how far a scan has come."""

RESUME_SECONDS = 1800.0
"""The longest pause after which a scan that failed goes on where it was."""

FRESH_SECONDS = 60.0
"""What was read longer ago is read again before it is published, where the order is known."""

Scan = FullScan | IncrementalScan
ScanT = TypeVar("ScanT", bound=Scan)


@dataclass(slots=True)
class Run(Generic[ScanT]):
    """A scan under way, and the counting of its sessions.

    After an `error` of the ledger the scan goes on, since its gauges are true, but it counts
    nothing more: all of it must be read again.
    """

    scan: ScanT
    counted: GatewayScan
    began_at: float
    error: LedgerError | None = None


class Driver:
    """Reads the pages that the scans of one gateway ask for, and records what they report."""

    def __init__(
        self,
        target: Target,
        client: Client,
        ledger: Ledger,
        telemetry: Telemetry,
        clock: Clock,
        failed: FailedSessions,
        *,
        retention: float,
        settle_after: float,
    ) -> None:
        """`retention` is in seconds from the moment a session's end was first seen."""
        self._target = target
        self._gateway = (target.workspace_id, target.livy_compute_id)
        self._client = client
        self._ledger = ledger
        self._telemetry = telemetry
        self._clock = clock
        self._failed = failed
        self._retention = retention
        self._settle_after = settle_after
        self._term = 0
        """The term in which the gateway was read first: what is remembered holds only then."""
        self._read_at = self._logged_at = clock.monotonic()
        self.recently_ended: Collection[str] = frozenset()
        """The ids of the sessions whose end was first seen less than `retention` ago."""

    @property
    def policy(self) -> SettlePolicy:
        """How rows are judged now."""
        clock = self._clock
        return SettlePolicy(self._settle_after, clock.now(), clock.monotonic(), self.recently_ended)

    def begin(self, scan: ScanT) -> Run[ScanT]:
        """Begin a scan, or resume one whose counting begins again."""
        self._term = self._term or self._ledger.term
        counted = self._ledger.open_scan(self._gateway, term=self._term)
        return Run(scan, counted, self._clock.monotonic())

    def may_resume(self, run: Run[ScanT]) -> bool:
        """Whether a scan that failed is worth resuming: counted so far, long, and not over."""
        pause = self._clock.monotonic() - self._read_at
        is_under_way = run.scan.is_long and run.scan.next_page() is not None
        return run.error is None and is_under_way and pause <= RESUME_SECONDS

    def is_fresh(self, run: Run[ScanT]) -> bool:
        """Whether what a scan has read may be published as it is."""
        return self._clock.monotonic() - run.began_at <= FRESH_SECONDS

    async def read(
        self, run: Run[ScanT], progress: Progress, lock: asyncio.Lock | None = None
    ) -> None:
        """Read the pages that a scan asks for, to its end; its last batch is left to `finish`.

        Raises `PollError` or `ListingDiverged`. Pages read until then are still counted:
        usage that was reported is true whether or not the rest could be read. The `lock` is held
        while a batch is counted.
        """
        scan = run.scan
        try:
            while (number := scan.next_page()) is not None:
                scan.take(number, await self._page(scan, number, progress))
                self._report(scan, progress)
                if len(scan.uncounted) >= BATCH_ROWS:
                    await self._count(run, lock)
        except (PollError, ListingDiverged):
            await self._count(run, lock)
            raise

    async def finish(
        self, run: Run[ScanT], *, is_complete: bool = False, is_confirmed: bool = True
    ) -> None:
        """Count the last batch of a scan, and the sessions that are gone.

        These are those that have left, and if it `is_complete`, all that it has not found.
        """
        records = [*run.scan.uncounted]
        finish = partial(
            run.counted.finish,
            records,
            left=run.scan.left(),
            unreadable=run.scan.unreadable,
            is_complete=is_complete,
            is_confirmed=is_confirmed,
        )
        await self._write(run, finish, records)
        run.scan.settle(self.policy)

    async def _page(self, scan: Scan, number: int, progress: Progress) -> Page[LivySession] | None:
        read = partial(
            self._client.livy_sessions_page,
            *self._gateway,
            low_priority=scan.is_long,
            on_queued=progress,
        )
        page = await fetch_page(read, number, scan.count)
        progress()
        self._read_at = self._clock.monotonic()
        if page is None:
            return None
        record_anomalies(self._telemetry, self._target, page)
        return presume_ended(page, self._clock.now() - self._settle_after)

    def _report(self, scan: Scan, progress: Progress) -> None:
        pages, expected = scan.progress
        if pages == 1:
            self._logged_at = self._read_at
        if not scan.is_long:
            return
        progress(scan.progress)
        if self._read_at - self._logged_at >= LOG_SECONDS:
            self._logged_at = self._read_at
            _log.info(SCAN_PROGRESS, target=str(self._target), pages=pages, expected=expected)

    async def _count(self, run: Run[ScanT], lock: asyncio.Lock | None) -> None:
        if run.scan.uncounted:
            records = [*run.scan.uncounted]
            async with lock or nullcontext():
                await self._write(run, partial(run.counted.add, records), records)
        run.scan.settle(self.policy)

    async def _write(
        self, run: Run[ScanT], write: Callable[[], None], records: Sequence[LivySession]
    ) -> None:
        """Write `records`, note which sessions ended recently, and log those that failed."""
        if run.error is not None:
            return
        since = self._clock.now() - self._retention
        # By id, since a row may be read twice in one scan.
        failed = {record.session_id: record for record in records if record.state == "error"}

        def work() -> tuple[Mapping[str, str], Mapping[str, str]]:
            before = self._ledger.ended_since(self._gateway, since) if failed else {}
            write()
            return before, self._ledger.ended_since(self._gateway, since)

        try:
            before, after = await self._ledger.run(work)
        except LedgerError as error:
            run.error = error
            return
        self.recently_ended = frozenset(after)
        for session_id, record in failed.items():
            if after.get(session_id) == "error":
                self._failed.note(self._target, record, self._clock.now())
                if before.get(session_id) != "error":
                    self._log_failure(record)

    def _log_failure(self, record: LivySession) -> None:
        _log.info(
            SESSION_FAILED,
            workspace=self._target.workspace_id,
            gateway=self._target.livy_compute_id,
            session=record.session_id,
            name=record.name,
            user=record.proxy_user,
            queue=record.queue,
            message=record.info,
        )
