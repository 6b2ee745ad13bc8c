"""One poll of one target, from start to published picture, and the one failure boundary.

Nothing here knows of a scheduler: tests call `Polling.poll` themselves.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar, runtime_checkable

from exporter.clock import Clock
from exporter.errors import LedgerError
from exporter.ledger import Ledger
from exporter.model import Target
from exporter.poller.boundary import attempt, log_change
from exporter.poller.totals import Totals
from exporter.snapshot import Board, Failure, TargetView, WalkProgress
from exporter.sources import PollResult, Progress
from exporter.telemetry import Telemetry

T = TypeVar("T")


class PollSource(Protocol):
    """What can be polled."""

    @property
    def target(self) -> Target:
        """Name what is polled."""

    async def poll(self, progress: Progress) -> PollResult:
        """Read everything; call `progress` whenever something arrives. Raises `PollError`."""


@runtime_checkable
class CheckedSource(Protocol):
    """What reads only a part in most polls, and is now and then read completely beside them."""

    async def check(self, progress: Progress) -> None:
        """Read everything if that is due. Raises `PollError`."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: between polls, without a sign of life, and until gauges are withdrawn."""

    interval: float
    timeout: float
    stale_after: float

    def stale_after_poll(self, duration: float) -> float:
        """Give the age at which gauges go: the setting, 3 intervals, or 2 polls, the longest."""
        return max(self.stale_after, 3 * self.interval, 2 * duration)


class Polling:
    """Polls targets, one call at a time for each, and publishes what comes of it."""

    def __init__(
        self,
        board: Board,
        ledger: Ledger,
        telemetry: Telemetry,
        clock: Clock,
        timing: Timing,
    ) -> None:
        self.timing = timing
        self._board = board
        self._ledger = ledger
        self._totals = Totals(ledger)
        self._telemetry = telemetry
        self._clock = clock
        self._last_life = clock.monotonic()
        self._checked: set[Target] = set()
        self._walk_shown_at: dict[Target, float] = {}
        # What was counted of old is there at once, also where no target is known yet.
        board.publish(self._totals.onto(board.current))

    @property
    def last_sign_of_life(self) -> float:
        """Give when a page arrived or a poll finished last (monotonic seconds)."""
        return self._last_life

    def note_life(self, _walked: WalkProgress | None = None) -> None:
        """Note that something has arrived, or finished."""
        self._last_life = self._clock.monotonic()

    def retire(self, target: Target) -> None:
        """Take a target off the page; its counters stay."""
        self._board.publish(self._board.current.without_target(target))

    def announce(self, target: Target) -> None:
        """Show a target that has not been polled yet, and the totals that are known of old."""
        view = TargetView(target, stale_after=self.timing.stale_after_poll(0))
        self._publish(view)

    async def poll(self, source: PollSource, requests: Callable[[], int]) -> None:
        """Poll `source` once; whatever goes wrong ends up on the page, not with the caller.

        `requests` counts the HTTP requests made for this source so far.
        """
        target = source.target
        started, requests_before = self._clock.monotonic(), requests()
        result, failure = await self._attempt(source)
        self.note_life()
        now = self._clock.monotonic()
        self._telemetry.poll_finished(target.source, failure.reason if failure else None)
        before = self._board.current.targets.get(target)
        if before is None:
            return  # the target was retired while it was polled
        log_change(str(target), before.failure, failure)
        view = replace(
            before,
            up=failure is None,
            failure=failure,
            last_duration=now - started,
            last_requests=requests() - requests_before,
            stale_after=self.timing.stale_after_poll(now - started),
            polls=before.polls + 1,
            walk=before.walk if target in self._checked else None,
        )
        if result is not None:
            view = replace(view, gauges=result.gauges, records=result.records, gauges_read=now)
        if failure is None:
            view = replace(view, last_success_at=self._clock.now())
        self._publish(view)

    async def check(self, source: PollSource) -> None:
        """Let `source` read everything beside its polls, if it is one that does so."""
        if not isinstance(source, CheckedSource):
            return
        target = source.target
        self._checked.add(target)
        try:
            _, failure = await self._watched(target, source.check)
        finally:
            self._checked.discard(target)
        log_change(f"{target} (whole history)", None, failure)
        view = self._board.current.targets.get(target)
        if view is not None and view.walk is not None:
            self._publish(replace(view, walk=None))

    async def tick(self) -> None:
        """Do what is due by time alone: withdraw stale gauges, release held increases."""
        if self._ledger.has_due():
            try:
                await asyncio.to_thread(self._ledger.release)
            except LedgerError as error:
                self._ledger_failure(error)
        current = self._board.current
        fresh = current.without_stale_gauges(self._clock.monotonic())
        self._board.publish(self._totals.onto(fresh))

    async def _attempt(self, source: PollSource) -> tuple[PollResult | None, Failure | None]:
        """Poll within the deadline; the gauges may be good where the ledger is not."""
        target = source.target
        result, failure = await self._watched(target, source.poll)
        if result is None:
            return None, failure
        return result, self._ledger_failure(result.ledger_error)

    async def _watched(
        self, target: Target, call: Callable[[Progress], Awaitable[T]]
    ) -> tuple[T | None, Failure | None]:
        """Make a call within the deadline, which each sign of life puts off; show its walk."""
        return await attempt(
            call,
            name=str(target),
            timeout=self.timing.timeout,
            on_life=partial(self._note_walk, target),
        )

    def _note_walk(self, target: Target, walked: WalkProgress | None = None) -> None:
        """Show now and then how far a walk has come; to publish has its price."""
        self.note_life()
        view = self._board.current.targets.get(target)
        if walked is None or view is None:
            return
        now = self._clock.monotonic()
        if view.walk is None or now - self._walk_shown_at[target] >= _WALK_SHOWN_SECONDS:
            self._walk_shown_at[target] = now
            self._publish(replace(view, walk=walked))

    def _ledger_failure(self, error: LedgerError | None) -> Failure | None:
        """Count a failure of the ledger, which makes a poll fail whose gauges are good."""
        if error is None:
            return None
        self._telemetry.ledger_failed(error.kind)
        return Failure(error.reason, str(error), error.advice)

    def _publish(self, view: TargetView) -> None:
        self._board.publish(self._totals.onto(self._board.current.with_target(view)))


_WALK_SHOWN_SECONDS = 0.5
