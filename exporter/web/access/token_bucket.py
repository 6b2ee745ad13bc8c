"""The toolkit's `rate_limit`: a bucket of tokens."""

import time
from collections.abc import Callable


class TokenBucket:
    """Lets `burst` requests through at once, and one more each `interval` (seconds)."""

    def __init__(
        self, interval: float, burst: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = interval
        self._burst = burst
        self._now = now
        self._tokens = float(burst)
        self._at = now()

    def try_acquire(self) -> bool:
        """Take a token; return whether there was one."""
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._at) / self._interval)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
