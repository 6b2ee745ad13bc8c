"""Which series are held, so that every increase is one that Prometheus can see.

Prometheus ignores the first sample of a series in `rate()` and `increase()`, and a window
shorter than a gap does not see what happened in the gap. So a series is held at what was
last published (or at its starting value) from its birth, or from the start of the process,
until some time has passed since the first scrape that showed it.
"""

from collections.abc import Iterable

from exporter.ledger.counting import Key


class Holding:
    """The held series of this process, and when each was first scraped (monotonic seconds)."""

    def __init__(self, hold: float, keys: Iterable[Key]) -> None:
        """Hold `keys`, each for `hold` seconds from its first scrape; at 0 hold nothing."""
        self._hold = hold
        self._first_scraped: dict[Key, float | None] = dict.fromkeys(keys)

    def __len__(self) -> int:
        """Count the series that are held."""
        return len(self._first_scraped)

    def is_held(self, key: Key) -> bool:
        """Tell whether the increases of `key` must not show yet."""
        return self._hold > 0 and key in self._first_scraped

    def scraped(self, keys: Iterable[Key], at: float) -> None:
        """Note that a scrape at `at` showed `keys`; only the first one of each counts."""
        if None not in self._first_scraped.values():
            return
        for key in keys:
            if key in self._first_scraped and self._first_scraped[key] is None:
                self._first_scraped[key] = at

    def due(self, now: float) -> list[Key]:
        """Give the series whose hold is over at `now`."""
        if self._hold <= 0:
            return list(self._first_scraped)
        return [
            key
            for key, first in self._first_scraped.items()
            if first is not None and now - first >= self._hold
        ]

    def settle(self, *, born: Iterable[Key], released: Iterable[Key]) -> None:
        """Take up what a committed transaction did: hold what is new, let go what was due."""
        for key in released:
            self._first_scraped.pop(key, None)
        if self._hold > 0:
            for key in born:
                self._first_scraped.setdefault(key, None)
