"""The timetable, on APScheduler: one job a target, and one tick for what is due by time.

APScheduler 3 runs a coroutine job as a task that it cancels at shutdown, and forgets
`max_instances` for work that a job starts in a task of its own; so each job awaits its work.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from exporter.model import Source
from exporter.poller.polling import Polling, PollSource

_JITTER = 0.1
"""Share of the interval by which polls are spread, so that targets do not call in step."""

_TICK_SECONDS = 1.0


class Schedule:
    """Runs polls on their interval until it is stopped."""

    def __init__(self, polling: Polling, on_skip: Callable[[Source], None]) -> None:
        self._polling = polling
        self._on_skip = on_skip
        self._sources: dict[str, Source] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(self._skipped, EVENT_JOB_MAX_INSTANCES | EVENT_JOB_MISSED)

    def start(self, jobs: Sequence[tuple[PollSource, Callable[[], int]]]) -> None:
        """Start polling: the first poll of each source at once, then on the interval."""
        for source, requests in jobs:
            self._polling.announce(source.target)
            self._add(source, requests)
        self._scheduler.add_job(
            self._polling.tick, IntervalTrigger(seconds=_TICK_SECONDS), id="tick"
        )
        self._scheduler.start()

    async def stop(self, deadline: float) -> None:
        """Start no more polls, and give the running ones `deadline` seconds to finish."""
        self._is_stopping = True
        self._scheduler.pause()
        if self._running:
            await asyncio.wait(self._running, timeout=deadline)
        for task in self._running:
            task.cancel()
        # Cancelled polls end at their next await; the ledger must not be closed before.
        await asyncio.gather(*self._running, return_exceptions=True)
        self._scheduler.shutdown(wait=False)

    def _add(self, source: PollSource, requests: Callable[[], int]) -> None:
        interval = self._polling.timing.interval
        job_id = str(source.target)
        self._sources[job_id] = source.target.source
        self._scheduler.add_job(
            partial(self._run, source, requests),
            IntervalTrigger(seconds=interval, jitter=interval * _JITTER, timezone=UTC),
            id=job_id,
            next_run_time=datetime.now(UTC),
        )

    async def _run(self, source: PollSource, requests: Callable[[], int]) -> None:
        if self._is_stopping:
            return
        task = asyncio.create_task(self._polling.poll(source, requests))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await task
        except asyncio.CancelledError:
            # To be cancelled by `stop` is no failure; APScheduler would log a traceback.
            if not self._is_stopping:
                raise

    def _skipped(self, event: JobEvent) -> None:
        source = self._sources.get(event.job_id)
        if source is not None:
            self._on_skip(source)
