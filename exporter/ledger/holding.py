"""Which series are held, so that every increase is one that Prometheus can see.

Prometheus ignores the first sample of a series in `rate()` and `increase()`, and a window
shorter than a gap does not see what happened in the gap. So a series is held at what was
last published (or at its starting value) from its birth, or from the start of the process,
until some time has passed since the first scrape that showed it.
"""

import threading
from collections.abc import Iterable

from exporter.ledger.counting import Key

PATIENCE_SECONDS = 3600.0
"""How long only Prometheus' scrapes count after the last of them. Then it has gone for good, or
was replaced by a collector that does not name itself, and any reader of the page counts."""


class Holding:
    """The held series of this process, and when each was first scraped.

    All times are monotonic seconds. Scrapes are noted on one thread while another writes.
    """

    def __init__(
        self, hold: float, keys: Iterable[Key], *, started_at: float, knows_prometheus: bool
    ) -> None:
        """Hold `keys`, each for `hold` seconds from its first scrape; at 0 hold nothing.

        `knows_prometheus` says that it has scraped before, maybe an earlier process.
        """
        self.is_active = hold > 0
        self._hold = hold
        self._lock = threading.Lock()
        self._first_scraped: dict[Key, float | None] = dict.fromkeys(filter(_can_be_held, keys))
        self.knows_prometheus = knows_prometheus
        self._last_prometheus = started_at

    def __len__(self) -> int:
        """Count the series that are held."""
        return len(self._first_scraped) if self.is_active else 0

    def is_held(self, key: Key) -> bool:
        """Tell whether the increases of `key` must not show yet."""
        return self.is_active and key in self._first_scraped

    def scraped(self, keys: Iterable[Key], at: float, *, is_prometheus: bool) -> None:
        """Note that a scrape at `at` showed `keys`; only the first one of each counts.

        Once Prometheus was seen, other readers of the page do not count as scrapes; nor does
        what they saw before it came.
        """
        with self._lock:
            is_expected = self.knows_prometheus and at - self._last_prometheus <= PATIENCE_SECONDS
            if is_prometheus:
                if not is_expected:
                    self._first_scraped = dict.fromkeys(self._first_scraped)
                self.knows_prometheus = True
                self._last_prometheus = at
            elif is_expected:
                return
            if None in self._first_scraped.values():
                for key in keys:
                    if key in self._first_scraped and self._first_scraped[key] is None:
                        self._first_scraped[key] = at

    def due(self, now: float) -> list[Key]:
        """Give the series whose hold is over at `now`."""
        with self._lock:
            return [
                key
                for key, first in self._first_scraped.items()
                if not self.is_active or (first is not None and now - first >= self._hold)
            ]

    def settle(self, *, born: Iterable[Key], released: Iterable[Key]) -> None:
        """Take up what a committed transaction did: hold what is new, let go what was due."""
        with self._lock:
            for key in released:
                self._first_scraped.pop(key, None)
            if self.is_active:
                for key in filter(_can_be_held, born):
                    self._first_scraped.setdefault(key, None)


def _can_be_held(key: Key) -> bool:
    """Tell whether a series has increases that Prometheus could miss; a gauge has none."""
    return key.metric.kind == "counter"
