"""One poll of one target, from its start to the published snapshot.

Nothing here depends on a scheduler: tests call `Polling.poll` themselves.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar, runtime_checkable

from exporter.clock import Clock
from exporter.errors import LedgerError
from exporter.ledger import Ledger
from exporter.model import Target
from exporter.poller.boundary import log_transition, run_guarded
from exporter.poller.ledger_samples import LedgerSamples
from exporter.snapshot import Failure, ScanProgress, SnapshotStore, TargetView
from exporter.sources import PollResult, Progress
from exporter.telemetry import Telemetry

T = TypeVar("T")

_SCAN_SHOWN_SECONDS = 0.5


class PollSource(Protocol):
    """A target that can be polled."""

    @property
    def target(self) -> Target:
        """The target that is polled."""

    async def poll(self, progress: Progress) -> PollResult:
        """Read what is needed; call `progress` whenever something arrives. Raises `PollError`."""


@runtime_checkable
class VerifiedSource(Protocol):
    """A source whose polls read only a part, so that all of it is verified beside them."""

    async def verify(self, progress: Progress) -> None:
        """Read everything, if that is due. Raises `PollError`."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: between polls, without progress until a poll fails, until gauges are withdrawn."""

    interval: float
    timeout: float
    stale_after: float

    def stale_after_poll(self, duration: float) -> float:
        """Return the longest of the setting, 3 intervals, and twice the last poll's duration."""
        return max(self.stale_after, 3 * self.interval, 2 * duration)


class Polling:
    """Polls targets, one call at a time for each, and publishes the results."""

    def __init__(
        self,
        snapshots: SnapshotStore,
        ledger: Ledger,
        telemetry: Telemetry,
        clock: Clock,
        timing: Timing,
    ) -> None:
        self.timing = timing
        self._snapshots = snapshots
        self._ledger = ledger
        self._ledger_samples = LedgerSamples(ledger)
        self._telemetry = telemetry
        self._clock = clock
        self.last_progress = clock.monotonic()
        """When a page arrived or a poll finished last (monotonic seconds)."""
        self._verifying: set[Target] = set()
        self._unverified: dict[Target, Failure | None] = {}
        """How the last verification of a target ended."""
        self._scan_shown_at: dict[Target, float] = {}
        # The totals are on the page before any target is known.
        snapshots.publish(self._ledger_samples.apply_to(snapshots.current))

    def touch(self, _scan: ScanProgress | None = None) -> None:
        """Note that something has arrived, or finished."""
        self.last_progress = self._clock.monotonic()

    def add_targets(self, targets: Iterable[Target]) -> None:
        """Show targets that have not been polled yet."""
        stale_after = self.timing.stale_after_poll(0)
        self._publish(*(TargetView(target, stale_after=stale_after) for target in targets))

    def remove_targets(self, targets: Collection[Target]) -> None:
        """Take targets off the page; their counters stay."""
        for target in targets:
            self._unverified.pop(target, None)
            self._scan_shown_at.pop(target, None)
        self._snapshots.publish(self._snapshots.current.without_targets(targets))

    async def poll(self, source: PollSource, requests: Callable[[], int]) -> None:
        """Poll `source` once; a failure goes to the page, not to the caller.

        `requests` counts the HTTP requests made for this source so far.
        """
        target = source.target
        started, requests_before = self._clock.monotonic(), requests()
        result, failure = await self._guarded(target, source.poll)
        if result is not None:  # its gauges are true, also if the ledger could not be written
            failure = self._ledger_failure(result.ledger_error)
        self.touch()
        now = self._clock.monotonic()
        self._telemetry.poll_finished(target.source, failure.reason if failure else None)
        before = self._snapshots.current.targets.get(target)
        if before is None:
            return  # the target was removed while it was polled
        log_transition(str(target), before.failure, failure)
        view = replace(
            before,
            up=failure is None,
            failure=failure,
            last_duration=now - started,
            last_requests=requests() - requests_before,
            stale_after=self.timing.stale_after_poll(now - started),
            polls=before.polls + 1,
            scan=before.scan if target in self._verifying else None,
        )
        if result is not None:
            view = replace(view, gauges=result.gauges, records=result.records, gauges_read=now)
        if failure is None:
            view = replace(view, last_success_at=self._clock.now())
        self._publish(view)

    async def verify(self, source: PollSource) -> None:
        """Let a source verify its whole listing beside the polls, if that is due."""
        if not isinstance(source, VerifiedSource):
            return
        target = source.target
        self._verifying.add(target)
        try:
            _, failure = await self._guarded(target, source.verify)
        finally:
            self._verifying.discard(target)
        before = self._unverified.get(target)
        log_transition(f"{target} (whole history)", before, failure)
        self._unverified[target] = failure
        view = self._snapshots.current.targets.get(target)
        if view is not None and view.scan is not None:
            self._publish(replace(view, scan=None))

    async def tick(self) -> None:
        """Do what is due by time alone: withdraw stale gauges and release held increases."""
        if self._ledger.has_due() or self._ledger.is_unread:
            try:
                await self._ledger.run(self._ledger.release)
            except LedgerError as error:
                self._ledger_failure(error)
        current = self._snapshots.current
        fresh = current.without_stale_gauges(self._clock.monotonic())
        self._snapshots.publish(self._ledger_samples.apply_to(fresh))

    async def _guarded(
        self, target: Target, call: Callable[[Progress], Awaitable[T]]
    ) -> tuple[T | None, Failure | None]:
        """Make a call within the deadline, which progress extends, and show that progress."""
        return await run_guarded(
            call,
            name=str(target),
            timeout=self.timing.timeout,
            on_progress=partial(self._note_progress, target),
        )

    def _note_progress(self, target: Target, scan: ScanProgress | None = None) -> None:
        """Show now and then how far a long scan has come; publishing has its price."""
        self.touch()
        view = self._snapshots.current.targets.get(target)
        if scan is None or view is None:
            return
        now = self._clock.monotonic()
        if view.scan is None or now - self._scan_shown_at[target] >= _SCAN_SHOWN_SECONDS:
            self._scan_shown_at[target] = now
            self._publish(replace(view, scan=scan))

    def _ledger_failure(self, error: LedgerError | None) -> Failure | None:
        """Count a failure of the ledger; it makes a poll fail although its gauges are true."""
        if error is None:
            return None
        self._telemetry.ledger_failed(error.kind)
        return Failure(error.reason, str(error), error.advice)

    def _publish(self, *views: TargetView) -> None:
        snapshot = self._snapshots.current.with_targets(*views)
        self._snapshots.publish(self._ledger_samples.apply_to(snapshot))
