"""The rate limit of an account in a region, and the queue for it.

Requests are paced: one every 1/rate seconds, first come, first served, so that no second has more
requests than the rate, and no target starves. Where the service throttles, the rate is halved; it
recovers linearly.

Libraries looked at: aiolimiter paces well, but by the event loop's clock alone, lets a whole
period's requests go at once, and its rate is fixed; pyrate-limiter's rates are fixed too, and it
counts past calls instead of pacing; limits does not wait. None reports that a queue moves.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from exporter.clock import Clock
from exporter.errors import ThrottledError

DECREASE: Final = 0.5
"""What a throttled request leaves of the rate."""

RECOVERY_SECONDS: Final = 900.0
"""From nothing to the configured rate: slow, so that few requests are throttled on the way."""

FLOOR_SHARE: Final = 1 / 20
"""The share of the configured rate below which throttling does not lower it."""

LOW_PRIORITY_SHARE: Final = 0.5
"""The share of the rate that full scans of long histories may use together."""

MAX_CONCURRENT: Final = 20
"""Requests in flight: enough that a few targets whose requests hang do not block the others."""

MAX_WAIT: Final = 300.0
"""Seconds: a request that would be queued for longer fails at once."""

_BEAT_SECONDS: Final = 5.0

_NOTIFY_SECONDS: Final = 0.5
"""Between two notices to all that wait: one for each slot would cost the square of their number."""

OnQueued = Callable[[], None]
"""Called periodically while a request is queued, so that the caller can extend its deadline."""


def ignore_queueing() -> None:
    """Do nothing."""


class RateLimiter:
    """Limits the requests of one account in one region; `rate` is in requests per second."""

    def __init__(
        self,
        clock: Clock,
        rate: float,
        *,
        max_concurrent: int = MAX_CONCURRENT,
        max_wait: float = MAX_WAIT,
    ) -> None:
        self._clock = clock
        self._configured = rate
        self._slowed_to = rate
        self._slowed_at = clock.monotonic()
        self._concurrency = asyncio.Semaphore(max_concurrent)
        self._queue = _Queue(clock, lambda: self.rate, max_wait, self._acquire)
        # Only its head enters the other queue, so requests there wait for one of these at most.
        self._low_priority_queue = _Queue(
            clock, lambda: self.rate * LOW_PRIORITY_SHARE, max_wait, self._queue.wait
        )

    @property
    def rate(self) -> float:
        """The requests per second that are allowed at present."""
        since = self._clock.monotonic() - self._slowed_at
        grown = self._slowed_to + since * self._configured / RECOVERY_SECONDS
        return min(self._configured, grown)

    @asynccontextmanager
    async def slot(
        self, *, low_priority: bool = False, on_queued: OnQueued = ignore_queueing
    ) -> AsyncGenerator[None]:
        """Wait until one request may be sent; the block is the request.

        Raise `ThrottledError` at once if that would take too long.
        """
        await (self._low_priority_queue if low_priority else self._queue).wait(on_queued)
        sent_at = self._clock.monotonic()
        try:
            yield
        except ThrottledError:
            self._slow_down(sent_at)
            raise
        finally:
            self._concurrency.release()

    async def _acquire(self, _on_queued: OnQueued) -> None:
        await self._concurrency.acquire()

    def _slow_down(self, sent_at: float) -> None:
        """Lower the rate, unless the request was sent before the rate was last lowered."""
        if sent_at >= self._slowed_at:
            self._slowed_to = max(self._configured * FLOOR_SHARE, self.rate * DECREASE)
            self._slowed_at = self._clock.monotonic()


class _Queue:
    """Requests that wait, first come, first served; the head of the queue waits for `admit` too."""

    def __init__(
        self,
        clock: Clock,
        rate: Callable[[], float],
        max_wait: float,
        admit: Callable[[OnQueued], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._rate = rate
        self._max_wait = max_wait
        self._admit = admit
        self._head = asyncio.Lock()  # a lock is fair
        self._waiting: dict[object, OnQueued] = {}
        self._last_slot = self._notified_at = float("-inf")

    async def wait(self, on_queued: OnQueued) -> None:
        """Return when the caller may send its request."""
        self._check_wait()
        place = object()
        self._waiting[place] = on_queued
        try:
            async with self._head:
                await self._pace()
                # Nothing is awaited after this, so a cancelled caller was not admitted.
                await self._admit(self._notify_all)
                self._note_slot()
        finally:
            del self._waiting[place]

    def _check_wait(self) -> None:
        wait = len(self._waiting) / self._rate()
        if wait > self._max_wait:
            raise ThrottledError(
                f"{len(self._waiting)} requests are queued: {wait:.0f} s at the current rate of "
                f"{self._rate():.2g} a second",
                advice="Raise api.max-requests-per-second or poll.interval. After throttling, the "
                "rate recovers by itself.",
            )

    async def _pace(self) -> None:
        """Wait until the last request is long enough ago; the rate may change meanwhile."""
        while (wait := self._due() - self._clock.monotonic()) > _TICK:
            await self._clock.sleep(min(wait, _BEAT_SECONDS))
            self._notify_all()

    def _due(self) -> float:
        return self._last_slot + 1 / self._rate()

    def _note_slot(self) -> None:
        # The time that was due, not when the timer woke: its lateness must not add up.
        self._last_slot = max(self._due(), self._clock.monotonic() - _TICK)
        self._notify_all()

    def _notify_all(self) -> None:
        now = self._clock.monotonic()
        if now - self._notified_at >= _NOTIFY_SECONDS:
            self._notified_at = now
            for on_queued in self._waiting.values():
                on_queued()


_TICK: Final = 0.001
"""Seconds: the resolution of timers."""
