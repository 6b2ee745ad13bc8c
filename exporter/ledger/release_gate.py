"""Which series are held, so that every increase is one that Prometheus can see.

Prometheus ignores the first sample of a series in `rate()` and `increase()`, and a window
shorter than a gap does not see what happened in the gap. So a series is held at what was
last published (or at its starting value) from its creation, or from the start of the process,
until some time has passed since the first scrape that showed it.
"""

import threading
from collections.abc import Container, Iterable
from itertools import takewhile

from exporter.ledger.counting import Key

PROMETHEUS_GONE_SECONDS = 3600.0
"""How long only Prometheus' scrapes count after the last of them. Then it has gone for good, or
was replaced by a collector that does not name itself, and any reader of the page counts."""


class ReleaseGate:
    """The held series of this process, and when each was first scraped.

    All times are monotonic seconds. Scrapes are noted on one thread while another writes.
    """

    def __init__(
        self, hold: float, keys: Iterable[Key], *, started_at: float, knows_prometheus: bool
    ) -> None:
        """Hold `keys`, each for `hold` seconds from its first scrape; at 0 hold nothing.

        `knows_prometheus` tells that it has scraped before, maybe an earlier process.
        """
        self.is_active = hold > 0
        self._hold = hold
        self._lock = threading.Lock()
        self._waiting = dict.fromkeys(filter(_can_be_held, keys))
        """Series that no scrape has shown yet."""
        self._scraped: dict[Key, float] = {}
        """When each of the others was first scraped, the earliest first."""
        self.knows_prometheus = knows_prometheus
        self._last_prometheus = started_at

    def __len__(self) -> int:
        """Return the number of series that are held."""
        return len(self._waiting) + len(self._scraped) if self.is_active else 0

    def is_held(self, key: Key) -> bool:
        """Whether the increases of `key` must not be published yet."""
        return self.is_active and (key in self._waiting or key in self._scraped)

    def note_scrape(self, keys: Container[Key], at: float, *, is_prometheus: bool) -> None:
        """Note that a scrape at `at` showed `keys`; only the first one of each counts.

        Once Prometheus was seen, other readers of the page do not count as scrapes; nor does
        what they saw before it came.
        """
        with self._lock:
            is_expected = (
                self.knows_prometheus and at - self._last_prometheus <= PROMETHEUS_GONE_SECONDS
            )
            if is_prometheus:
                if not is_expected:
                    self._waiting |= dict.fromkeys(self._scraped)
                    self._scraped = {}
                self.knows_prometheus = True
                self._last_prometheus = at
            elif is_expected:
                return
            for key in [key for key in self._waiting if key in keys]:
                del self._waiting[key]
                self._scraped[key] = at

    def due(self, now: float) -> list[Key]:
        """Return the series whose hold is over at `now`."""
        with self._lock:
            if not self.is_active:
                return [*self._waiting, *self._scraped]
            over = takewhile(lambda item: now - item[1] >= self._hold, self._scraped.items())
            return [key for key, _ in over]

    def settle(self, *, new: Iterable[Key], released: Iterable[Key]) -> None:
        """Follow a committed transaction: hold new series, and let those go that were released."""
        with self._lock:
            for key in released:
                self._waiting.pop(key, None)
                self._scraped.pop(key, None)
            if self.is_active:
                for key in filter(_can_be_held, new):
                    if key not in self._scraped:
                        self._waiting[key] = None


def _can_be_held(key: Key) -> bool:
    """Whether a series has increases that Prometheus could miss; a gauge has none."""
    return key.metric.kind == "counter"
