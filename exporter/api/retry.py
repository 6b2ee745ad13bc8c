"""When a call is repeated: the only place of the program that retries."""

import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from exporter.api.error_mapping import is_nonce_used, is_retryable, is_token_refused
from exporter.api.meter import Meter
from exporter.clock import Clock
from exporter.errors import ApiError

T = TypeVar("T")

BACKOFF_BASE: Final = 0.5
BACKOFF_CAP: Final = 10.0
"""Seconds: the ceiling of the waits doubles from base to cap; each wait is drawn below it."""

TOTAL_TIMEOUT: Final = 60.0
"""Seconds for one call with all its attempts; a poll that waits longer has its own deadline."""


class Retry:
    """Repeats one call: what may pass by itself, with growing waits; two cases once, at once.

    A used nonce is replaced by the next attempt's; a refused token by `renew`, which may raise
    our error of its own. Neither counts against `max_attempts`. No attempt begins after
    `total_timeout` seconds, so that a call ends with the reason why it failed, not with "too late".
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
        self._at_once: set[str] = set()
        self._repeats_at_once = False

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Give the first result; raise the last error."""
        retrying = AsyncRetrying(
            sleep=self._clock.sleep,
            retry=retry_if_exception(self._may_repeat),
            stop=self._must_stop,
            wait=self._wait,
            before_sleep=self._prepare,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except ApiError as error:
            # tenacity's frames refer to the error and its traceback to them and to the answer: a
            # cycle that would keep megabytes until the garbage collector runs.
            raise error.with_traceback(None)  # noqa: B904  it is the same error

    def note_queued(self) -> None:
        """Note that the call is queued: the total timeout starts again."""
        self._since = self._clock.monotonic()

    def _left(self) -> float:
        return self._total_timeout - (self._clock.monotonic() - self._since)

    def _must_stop(self, state: RetryCallState) -> bool:
        used_up = state.attempt_number >= self._max_attempts + len(self._at_once)
        return used_up or self._left() <= 0

    def _may_repeat(self, error: BaseException) -> bool:
        self._repeats_at_once = False
        for case, applies in (("nonce", is_nonce_used), ("token", is_token_refused)):
            if applies(error):
                self._repeats_at_once = case not in self._at_once
                self._at_once.add(case)
                return self._repeats_at_once
        return is_retryable(error)

    def _wait(self, state: RetryCallState) -> float:
        if self._repeats_at_once:
            return 0.0
        error = state.outcome.exception() if state.outcome else None
        asked = (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0
        ceiling = min(BACKOFF_CAP, BACKOFF_BASE * 2 ** (state.attempt_number - 1))
        # What was asked for is a minimum, and the draw on top keeps callers from coming at once.
        wait = asked + random.uniform(0, ceiling)  # noqa: S311 (no secret)
        return max(0.0, min(wait, self._left()))

    async def _prepare(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if is_token_refused(error):
            await self._renew()
        self._meter.retried(self._action)
