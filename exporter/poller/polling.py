"""One poll of one target, from start to published picture, and the one failure boundary.

Nothing here knows of a scheduler: tests call `Polling.poll` themselves.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from exporter.clock import Clock
from exporter.errors import LedgerError, PollError, Reason
from exporter.ledger import Ledger
from exporter.model import Target
from exporter.poller.totals import Totals
from exporter.snapshot import Board, Failure, Samples, TargetView
from exporter.sources import PollResult
from exporter.telemetry import Telemetry

_log = structlog.get_logger(__name__)

POLL_FAILED = "poll_failed"
POLL_RECOVERED = "poll_recovered"
POLL_CRASHED = "poll_crashed"


class PollSource(Protocol):
    """What can be polled."""

    @property
    def target(self) -> Target:
        """Name what is polled."""

    async def poll(self, progress: Callable[[], None]) -> PollResult:
        """Read everything; call `progress` whenever something arrives. Raises `PollError`."""


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
        self, board: Board, ledger: Ledger, telemetry: Telemetry, clock: Clock, timing: Timing
    ) -> None:
        self.timing = timing
        self._board = board
        self._ledger = ledger
        self._totals = Totals(ledger)
        self._telemetry = telemetry
        self._clock = clock
        self._last_life = clock.monotonic()

    @property
    def last_sign_of_life(self) -> float:
        """Give when a page arrived or a poll finished last (monotonic seconds)."""
        return self._last_life

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
        gauges, failure = await self._attempt(source)
        self._last_life = now = self._clock.monotonic()
        self._telemetry.poll_finished(target.source, failure.reason if failure else None)
        before = self._board.current.targets[target]
        self._log_change(before, failure)
        view = replace(
            before,
            up=failure is None,
            failure=failure,
            last_duration=now - started,
            last_requests=requests() - requests_before,
            stale_after=self.timing.stale_after_poll(now - started),
        )
        if gauges is not None:
            view = replace(view, gauges=gauges, gauges_read=now)
        if failure is None:
            view = replace(view, last_success_at=self._clock.now())
        self._publish(view)

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

    async def _attempt(self, source: PollSource) -> tuple[Samples | None, Failure | None]:
        """Poll within the deadline and turn any error into its reason."""
        timeout = self.timing.timeout
        try:
            async with asyncio.timeout(timeout) as deadline:

                def progress() -> None:
                    self._last_life = self._clock.monotonic()
                    deadline.reschedule(asyncio.get_running_loop().time() + timeout)

                result = await source.poll(progress)
        except PollError as error:
            return None, Failure(error.reason, str(error), error.advice)
        except TimeoutError:
            message = f"nothing arrived for {timeout:g} s"
            return None, Failure(Reason.TIMEOUT, message, "see poll.timeout")
        except Exception:  # noqa: BLE001 - the poll boundary: a bug must not end the daemon
            _log.exception(POLL_CRASHED, target=str(source.target))
            message = "a bug of the exporter; the log has the details"
            return None, Failure(Reason.INTERNAL, message, "please report it")
        return result.gauges, self._ledger_failure(result.ledger_error)

    def _ledger_failure(self, error: LedgerError | None) -> Failure | None:
        """Count a failure of the ledger, which makes a poll fail whose gauges are good."""
        if error is None:
            return None
        self._telemetry.ledger_failed(error.kind)
        return Failure(error.reason, str(error), error.advice)

    def _publish(self, view: TargetView) -> None:
        self._board.publish(self._totals.onto(self._board.current.with_target(view)))

    def _log_change(self, before: TargetView, failure: Failure | None) -> None:
        """Log the first failure of its reason and the recovery from it, not every repetition."""
        was = before.failure
        if failure is None:
            if was is not None:
                _log.info(POLL_RECOVERED, target=str(before.target), reason=was.reason.value)
            return
        is_news = was is None or was.reason != failure.reason
        (_log.warning if is_news else _log.debug)(
            POLL_FAILED,
            target=str(before.target),
            reason=failure.reason.value,
            error=failure.message,
            advice=failure.advice,
        )
