"""When a call is repeated: the only place of the program that retries."""

import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from exporter.api.error_mapping import is_nonce_used, is_retryable, is_token_refused
from exporter.api.meter import Meter
from exporter.clock import Clock
from exporter.errors import ApiError

T = TypeVar("T")

BACKOFF_BASE: Final = 0.5
BACKOFF_CAP: Final = 10.0
"""Seconds: the ceiling of the waits doubles from base to cap; each wait is drawn below it."""


class Retry:
    """Repeats one call: what may pass by itself, with growing waits; two cases once, at once.

    A used nonce is replaced by the next attempt's; a refused token by `renew`, which may raise
    our error of its own. Neither counts against `max_attempts`, nor is it ever too late for them.
    No other attempt begins after `total_timeout` seconds, so that a call ends with the reason why
    it failed, not with "too late".
    """

    def __init__(
        self,
        action: str,
        clock: Clock,
        meter: Meter,
        *,
        max_attempts: int,
        total_timeout: float,
        renew: Callable[[], Awaitable[object]],
    ) -> None:
        self._action = action
        self._clock = clock
        self._meter = meter
        self._max_attempts = max_attempts
        self._total_timeout = total_timeout
        self._since = clock.monotonic()
        self._renew = renew
        self._failures = 0
        self._repeated_at_once: set[Callable[[ApiError], bool]] = set()

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return the first result; raise the last error."""
        while True:
            try:
                return await attempt()
            except ApiError as error:
                wait = self._wait_after(error)
                if wait is None:
                    # Without the traceback, whose frames hold the answer: megabytes of it.
                    raise error.with_traceback(None)  # noqa: B904 - it is the same error
                is_refused = is_token_refused(error)
            if is_refused:
                await self._renew()
            self._meter.retried(self._action)
            await self._clock.sleep(wait)

    def note_queued(self) -> None:
        """Note that the call is queued: the total timeout starts again."""
        self._since = self._clock.monotonic()

    def _wait_after(self, error: ApiError) -> float | None:
        """Return the seconds to wait before the next attempt, `None` if there is none."""
        for case in (is_nonce_used, is_token_refused):
            if case(error):
                is_first = case not in self._repeated_at_once
                self._repeated_at_once.add(case)
                return 0.0 if is_first else None
        self._failures += 1
        left = self._total_timeout - (self._clock.monotonic() - self._since)
        if self._failures >= self._max_attempts or left <= 0 or not is_retryable(error):
            return None
        ceiling = min(BACKOFF_CAP, BACKOFF_BASE * 2 ** (self._failures - 1))
        # What was asked for is a minimum, and the draw on top keeps callers from coming at once.
        wait = (error.retry_after or 0.0) + random.uniform(0, ceiling)  # noqa: S311 (no secret)
        return min(wait, left)
