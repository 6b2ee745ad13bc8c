"""What is believed of a listing: that its order tells where to read, and where it ends."""

import structlog

from exporter.api import PAGE_SIZE
from exporter.clock import Clock
from exporter.sources.livy_sessions.alignment import ListingDiverged
from exporter.sources.livy_sessions.full_scan import SMALL_PAGES
from exporter.sources.livy_sessions.history import History

_log = structlog.get_logger(__name__)

HISTORY_DIVERGED = "history_diverged"
LISTING_ORDER_UNKNOWN = "listing_order_unknown"
HISTORY_TRUNCATED = "history_truncated"

MAX_DIVERGENCES = 3
"""Full scans in a row that the next incremental scan contradicts, until no order is believed."""

TRUNCATED_SCANS = 3
"""Scans that end at the same depth until the service is believed to show no more."""


class OrderTrust:
    """Tells whether a poll may rely on what is known of a history; `interval` is in seconds."""

    def __init__(self, target: str, clock: Clock, interval: float) -> None:
        self._target = target
        self._clock = clock
        self._interval = interval
        self._read_at = clock.monotonic()
        self._is_verified = True
        self._divergences = 0
        self._diverged_at = 0.0
        self._has_warned = False
        self.is_verified_beside = False
        """Whether the history is verified beside the polls: then they need not do it at once."""

    def must_verify(self, history: History) -> bool:
        """Whether all of a history that has an order must be read again.

        It was read too long ago, or by another process.
        """
        is_old = self._clock.monotonic() - self._read_at >= self._interval
        return (is_old or not self._is_verified) and history.order is not None

    def allows(self, history: History) -> bool:
        """Whether an incremental scan of a history is possible, and cheaper than a full one."""
        now = self._clock.monotonic()
        patience = 2 if self.is_verified_beside else 1
        is_contradicted = self._divergences >= MAX_DIVERGENCES
        return (
            history.order is not None
            and len(history) > SMALL_PAGES * PAGE_SIZE
            # A full scan never holds all that it reads.
            and len({at // PAGE_SIZE for at in history.unsettled()}) * PAGE_SIZE * 2 <= len(history)
            and (not is_contradicted or now - self._diverged_at >= self._interval)
            and now - self._read_at < patience * self._interval
        )

    def note_loaded(self) -> None:
        """Note that the history comes from the ledger: settled rows may have changed since."""
        self._is_verified = False

    def note_read(self, history: History) -> None:
        """Note that the whole history has been read; warn, once, if every poll must do so."""
        self._read_at = self._clock.monotonic()
        self._is_verified = True
        is_usable = history.order is not None and self._divergences < MAX_DIVERGENCES
        if is_usable or self._has_warned or len(history) <= SMALL_PAGES * PAGE_SIZE:
            return
        self._has_warned = True
        _log.warning(
            LISTING_ORDER_UNKNOWN,
            target=self._target,
            sessions=len(history),
            advice="every poll reads the whole history: raise poll.interval if that is much",
        )

    def note_agreement(self) -> None:
        """Note that a poll has found the history as it was expected."""
        self._divergences = 0

    def note_divergence(self, divergence: ListingDiverged) -> None:
        """Note that a poll has not found the history as it was expected."""
        self._divergences += 1
        self._diverged_at = self._clock.monotonic()
        _log.info(HISTORY_DIVERGED, target=self._target, what=str(divergence))


class Truncation:
    """Tells whether the service ends at the same depth again and again."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._depths: list[int] = []
        self._has_warned = False

    def is_believed(self, depth: int) -> bool:
        """Whether a scan that ended too early, after `depth` pages, has seen all that is shown."""
        self._depths = [*self._depths, depth][-TRUNCATED_SCANS:]
        is_same = len(self._depths) == TRUNCATED_SCANS and len({*self._depths}) == 1
        is_believed = is_same and depth > 0  # where it shows nothing at all, it shows no end
        if is_believed and not self._has_warned:
            self._has_warned = True
            _log.warning(
                HISTORY_TRUNCATED,
                target=self._target,
                pages=depth,
                advice="what lies behind is not counted, and every poll reads all that is shown: "
                "ask the service's support, and raise poll.interval if that is much",
            )
        return is_believed

    def note_complete(self) -> None:
        """Note that the history was read to its end."""
        self._depths.clear()
        self._has_warned = False
