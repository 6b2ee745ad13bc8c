"""The timetable, on APScheduler: one job a target, and one tick for what is due by time.

APScheduler 3 runs a coroutine job as a task that it cancels at shutdown, and forgets
`max_instances` for work that a job starts in a task of its own; so each job awaits its work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog
from apscheduler.events import (
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    EVENT_JOB_SUBMITTED,
    JobEvent,
    JobSubmissionEvent,
)
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from exporter.clock import Clock
from exporter.model import Source, Target, Work
from exporter.poller.lateness import Lateness

_log = structlog.get_logger(__name__)

POLL_SKIPPED = "poll_skipped"

_JITTER = 0.1
"""Share of the interval by which polls are spread, so that targets do not call in step."""

_TICK_SECONDS = 1.0

_TOLERATED_STEP = timedelta(seconds=1)
"""The wall clock may be set back by so much at once before the timetable follows it."""


class _EveryInterval(IntervalTrigger):  # type: ignore[misc]  # the library has no types
    """An interval that begins with each run, so that runs which were missed are never listed.

    APScheduler's own steps through each of them: those of a year, once a second, take minutes and
    gigabytes where the wall clock is set. And without a time zone it would ask for the local one,
    which the machine may not know.
    """

    def __init__(self, seconds: float, jitter: float | None = None) -> None:
        super().__init__(seconds=seconds, jitter=jitter, timezone=UTC)

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        """Return the time one interval from now."""
        fire_time: datetime | None = super().get_next_fire_time(previous_fire_time and now, now)
        return fire_time


class Schedule:
    """Runs polls and discoveries on their intervals (seconds) until it is stopped."""

    def __init__(
        self,
        run: Callable[[Work], Coroutine[Any, Any, None]],
        verify: Callable[[Work], Coroutine[Any, Any, None]],
        *,
        poll_interval: float,
        discovery_interval: float,
        on_skip: Callable[[Source], None],
        on_late: Callable[[Source], None],
        clock: Clock,
    ) -> None:
        self._do = run
        self._verify = verify
        self._poll_interval = poll_interval
        self._discovery_interval = discovery_interval
        self._on_skip = on_skip
        self._works: dict[str, Work] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._verifications: dict[Work, asyncio.Task[None]] = {}
        self._is_stopping = False
        self._clock = clock
        self._wall_ahead = clock.now() - clock.monotonic()
        self._lateness = Lateness(poll_interval, on_late, clock)
        self._pulse: asyncio.Handle | None = None
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(self._skipped, EVENT_JOB_MAX_INSTANCES | EVENT_JOB_MISSED)
        self._scheduler.add_listener(self._submitted, EVENT_JOB_SUBMITTED)

    def start(self, tick: Callable[[], Awaitable[None]]) -> None:
        """Start, with `tick` every second."""
        self._scheduler.add_job(tick, _EveryInterval(_TICK_SECONDS), id="tick")
        self._scheduler.start()
        self._watch_clock()

    def add(self, work: Work) -> None:
        """Run `work` on its interval, for the first time at once."""
        interval = self._poll_interval if isinstance(work, Target) else self._discovery_interval
        self._works[_job_id(work)] = work
        self._scheduler.add_job(
            partial(self._run, work),
            _EveryInterval(interval, jitter=interval * _JITTER),
            id=_job_id(work),
            next_run_time=datetime.now(UTC),
        )

    def remove(self, work: Work) -> None:
        """Run `work` no more; what is under way goes on."""
        del self._works[_job_id(work)]
        self._scheduler.remove_job(_job_id(work))

    def cancel_runs(self) -> None:
        """Cancel what is under way: nobody wants its results."""
        for task in (*self._running, *self._verifications.values()):
            task.cancel()

    async def stop(self, deadline: float) -> None:
        """Start no more polls, and give the running ones `deadline` seconds to finish.

        What is read beside the polls takes long, and can be read again: it ends at once.
        """
        self._is_stopping = True
        if self._pulse is not None:
            self._pulse.cancel()
        self._scheduler.pause()
        for task in self._verifications.values():
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=deadline)
        for task in self._running:
            task.cancel()
        # Cancelled polls end at their next await; the ledger must not be closed before.
        await asyncio.gather(*self._running, *self._verifications.values(), return_exceptions=True)
        self._scheduler.shutdown(wait=False)

    def _watch_clock(self) -> None:
        """Keep all times where the wall clock is set back: APScheduler would wait for its old time.

        Set forth, it makes everything due at once, which is what a machine that slept wants.
        """
        self._pulse = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._watch_clock)
        before, self._wall_ahead = self._wall_ahead, self._clock.now() - self._clock.monotonic()
        step = timedelta(seconds=self._wall_ahead - before)
        if -step > _TOLERATED_STEP:
            for job in self._scheduler.get_jobs():
                job.modify(next_run_time=job.next_run_time + step)

    def _begin_verification(self, work: Work) -> None:
        """Let a verification go on beside the polls, unless the one before still does."""
        if _job_id(work) in self._works and work not in self._verifications:
            task = self._verifications[work] = asyncio.create_task(self._verify(work))
            task.add_done_callback(lambda _: self._verifications.pop(work))

    async def _run(self, work: Work) -> None:
        if self._is_stopping:
            return
        task = asyncio.create_task(self._do(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await task
        except asyncio.CancelledError:
            # A cancellation by this class is not a failure; APScheduler would log a traceback.
            if not (task.cancelled() or self._is_stopping):
                raise
        if isinstance(work, Target) and not self._is_stopping:
            self._begin_verification(work)

    def _submitted(self, event: JobSubmissionEvent) -> None:
        work = self._works.get(event.job_id)
        if isinstance(work, Target):
            due = event.scheduled_run_times[-1].timestamp()
            self._lateness.note(work.source, self._clock.now() - due)

    def _skipped(self, event: JobEvent) -> None:
        work = self._works.get(event.job_id)
        if work is not None:
            _log.info(POLL_SKIPPED, target=str(work))
        if isinstance(work, Target):
            self._on_skip(work.source)


def _job_id(work: Work) -> str:
    """Return an id that no other work has; names may be equal, since ids may hold slashes."""
    return repr(work)
