"""How many requests an account may send to a region, and whose turn it is.

Requests are paced: one every 1/rate seconds, in the order in which they were asked for, so that
in no second there are more than the rate, and no target starves. Where the service refuses
because of too many calls, the rate is halved; it grows back by equal steps in time.

Libraries looked at: aiolimiter paces well, but by the event loop's clock alone, lets a whole
period's requests go at once, and fixes its rate when it is made; pyrate-limiter fixes its rates
too, and counts past calls instead of pacing; limits does not wait. None lets those who stand in
line know that it moves.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from exporter.clock import Clock
from exporter.errors import ThrottledError

DECREASE: Final = 0.5
"""What a refusal leaves of the rate."""

RECOVERY_SECONDS: Final = 900.0
"""From nothing to the configured rate; so slowly that few calls find out that it is too much."""

FLOOR_SHARE: Final = 1 / 20
"""Of the configured rate: however often the service refuses, so much is tried."""

BULK_SHARE: Final = 0.5
"""Of the rate: what complete walks of long histories may draw together."""

MAX_CONCURRENT: Final = 20
"""Requests under way at once: those that hang, of a few targets, must not stop the others."""

MAX_WAIT: Final = 300.0
"""Seconds: who would wait longer is told so at once."""

_BEAT_SECONDS: Final = 5.0

OnWait = Callable[[], None]
"""Is called now and then while a turn is waited for: to wait in a line that moves is no halt."""


def ignore_waiting() -> None:
    """Let the time pass."""


class Budget:
    """The requests of one account in one region; `rate` is in requests per second."""

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
        self._slots = asyncio.Semaphore(max_concurrent)
        self._line = _Line(clock, lambda: self.rate, max_wait, self._take_slot)
        # Its first stands in the other line for all of them, so those there wait for one at most.
        self._bulk_line = _Line(clock, lambda: self.rate * BULK_SHARE, max_wait, self._line.stand)

    @property
    def rate(self) -> float:
        """Give the requests per second that are allowed at present."""
        since = self._clock.monotonic() - self._slowed_at
        grown = self._slowed_to + since * self._configured / RECOVERY_SECONDS
        return min(self._configured, grown)

    @asynccontextmanager
    async def turn(
        self, *, in_bulk: bool = False, on_wait: OnWait = ignore_waiting
    ) -> AsyncGenerator[None]:
        """Wait for a turn to send one request; the block is the request.

        Raise `ThrottledError` at once if the turn would not come in time.
        """
        await (self._bulk_line if in_bulk else self._line).stand(on_wait)
        sent_at = self._clock.monotonic()
        try:
            yield
        except ThrottledError:
            self._slow_down(sent_at)
            raise
        finally:
            self._slots.release()

    async def _take_slot(self, _on_wait: OnWait) -> None:
        await self._slots.acquire()

    def _slow_down(self, sent_at: float) -> None:
        """Lower the rate, unless the request was sent before that last happened."""
        if sent_at >= self._slowed_at:
            self._slowed_to = max(self._configured * FLOOR_SHARE, self.rate * DECREASE)
            self._slowed_at = self._clock.monotonic()


class _Line:
    """Those who wait for their turn, first come, first served.

    Who is first, and late enough after the last one, still has to be admitted.
    """

    def __init__(
        self,
        clock: Clock,
        rate: Callable[[], float],
        max_wait: float,
        admit: Callable[[OnWait], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._rate = rate
        self._max_wait = max_wait
        self._admit = admit
        self._first = asyncio.Lock()  # wakes those who wait for it in their order
        self._waiting: list[OnWait] = []
        self._last_turn = float("-inf")

    async def stand(self, on_wait: OnWait) -> None:
        """Return when it is the caller's turn."""
        self._check_wait()
        self._waiting.append(on_wait)
        try:
            async with self._first:
                await self._pace()
                # Nothing is awaited after this: a caller that is admitted learns of it.
                await self._admit(self._tell_all)
                self._note_turn()
        finally:
            self._waiting.remove(on_wait)

    def _check_wait(self) -> None:
        wait = len(self._waiting) / self._rate()
        if wait > self._max_wait:
            raise ThrottledError(
                f"{len(self._waiting)} requests wait for their turn: {wait:.0f} s at the present"
                f" rate of {self._rate():.2g} a second",
                advice="Raise api.max-requests-per-second or poll.interval. Where the service has"
                " refused calls, the rate recovers by itself.",
            )

    async def _pace(self) -> None:
        """Wait until the last turn is long enough ago; the rate may change meanwhile."""
        while (wait := self._due() - self._clock.monotonic()) > _TICK:
            await self._clock.sleep(min(wait, _BEAT_SECONDS))
            self._tell_all()

    def _due(self) -> float:
        return self._last_turn + 1 / self._rate()

    def _note_turn(self) -> None:
        # The time that was due, not when the timer woke, so that its lateness does not add up.
        self._last_turn = max(self._due(), self._clock.monotonic() - _TICK)
        self._tell_all()

    def _tell_all(self) -> None:
        for tell in self._waiting:
            tell()


_TICK: Final = 0.001
"""Seconds: shorter waits are finer than timers are."""
