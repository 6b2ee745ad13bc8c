"""Whether polls begin when they are due: where they do not, the process cannot keep up."""

from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog

from exporter.clock import Clock
from exporter.model import Source

_log = structlog.get_logger(__name__)

FALLING_BEHIND: Final = "falling_behind"
CAUGHT_UP: Final = "caught_up"

LATE_SHARE: Final = 0.1
"""Of the interval, and at least a second: polls that begin later than this are late."""

TOLERATED_SHARE: Final = 0.1
"""Of the polls, that may be late before the log warns."""

WINDOW_SECONDS: Final = 300.0

_ADVICE: Final = (
    "the process has too little CPU for its targets: give it more CPU, raise poll.interval, or "
    "divide the targets between installations"
)


class Lateness:
    """Counts the polls that begin late, and logs when these are many, and when no longer."""

    def __init__(self, interval: float, on_late: Callable[[Source], None], clock: Clock) -> None:
        """`interval` is that of the polls, in seconds; `on_late` is called for each late one."""
        self._limit = max(1.0, LATE_SHARE * interval)
        self._on_late = on_late
        self._clock = clock
        self._window_began = clock.monotonic()
        self._polls: Counter[bool] = Counter()
        """By whether they were late, in this window."""
        self._is_behind = False

    def note(self, source: Source, seconds: float) -> None:
        """Note that a poll begins, `seconds` after it was due."""
        is_late = seconds > self._limit
        self._polls[is_late] += 1
        if is_late:
            self._on_late(source)
        if self._clock.monotonic() - self._window_began >= WINDOW_SECONDS:
            self._judge()
            self._polls.clear()
            self._window_began = self._clock.monotonic()

    def _judge(self) -> None:
        late, polls = self._polls[True], self._polls.total()
        was_behind, self._is_behind = self._is_behind, late > TOLERATED_SHARE * polls
        if self._is_behind and not was_behind:
            _log.warning(FALLING_BEHIND, late=late, polls=polls, advice=_ADVICE)
        elif was_behind and not self._is_behind:
            _log.info(CAUGHT_UP, late=late, polls=polls)
