"""Whether a listing has an order by which it can be read in part, and where it ends."""

import structlog

from exporter.api import PAGE_SIZE
from exporter.clock import Clock
from exporter.sources.livy_sessions.alignment import ListingDiverged
from exporter.sources.livy_sessions.full_scan import SMALL_ROWS
from exporter.sources.livy_sessions.history import History

_log = structlog.get_logger(__name__)

HISTORY_DIVERGED = "history_diverged"
LISTING_ORDER_UNKNOWN = "listing_order_unknown"
HISTORY_TRUNCATED = "history_truncated"

MAX_DIVERGENCES = 3
"""Full scans in a row that the next incremental scan contradicts, until no order is believed."""

TRUNCATED_SCANS = 3
"""Scans that end at the same depth until the service is believed to show no more."""


class ListingTrust:
    """The experience with one listing; `interval` is in seconds between complete readings."""

    def __init__(self, target: str, clock: Clock, interval: float) -> None:
        self._target = target
        self._clock = clock
        self._interval = interval
        self._read_at = clock.monotonic()
        self._is_verified = True
        self._divergences = 0
        self._diverged_at = 0.0
        self._depths: list[int] = []
        """At which page each of the last scans ended too early."""
        self._warned: set[str] = set()
        self.is_verified_beside = False
        """Whether the history is verified beside the polls: then they need not do it at once."""

    def must_verify(self, history: History) -> bool:
        """Whether all of a history that has an order must be read again.

        It was read too long ago, or by another process.
        """
        is_old = self._clock.monotonic() - self._read_at >= self._interval
        return (is_old or not self._is_verified) and history.order is not None

    def allows_increments(self, history: History) -> bool:
        """Whether an incremental scan of a history is possible, and cheaper than a full one."""
        now = self._clock.monotonic()
        intervals = 2 if self.is_verified_beside else 1
        is_contradicted = self._divergences >= MAX_DIVERGENCES
        return (
            history.order is not None
            and len(history) > SMALL_ROWS
            # A full scan holds less in memory, and leaves nothing to verify.
            and len({at // PAGE_SIZE for at in history.unsettled()}) * PAGE_SIZE * 2 <= len(history)
            and (not is_contradicted or now - self._diverged_at >= self._interval)
            and now - self._read_at < intervals * self._interval
        )

    def note_loaded(self) -> None:
        """Note that the history comes from the ledger: settled rows may have changed since."""
        self._is_verified = False

    def note_read(self, history: History) -> None:
        """Note that the whole history has been read; warn, once, if every poll must do so."""
        self._read_at = self._clock.monotonic()
        self._is_verified = True
        is_usable = history.order is not None and self._divergences < MAX_DIVERGENCES
        if not is_usable and len(history) > SMALL_ROWS:
            self._warn_once(
                LISTING_ORDER_UNKNOWN,
                sessions=len(history),
                advice="every poll reads the whole history: raise poll.interval if that is much",
            )

    def note_agreement(self) -> None:
        """Note that an incremental scan has found the history as it was expected."""
        self._divergences = 0

    def note_divergence(self, divergence: ListingDiverged) -> None:
        """Note that a scan has not found the history as it was expected."""
        self._divergences += 1
        self._diverged_at = self._clock.monotonic()
        _log.info(HISTORY_DIVERGED, target=self._target, reason=str(divergence))

    def note_end(self) -> None:
        """Note that the history was read to its end."""
        self._depths.clear()
        self._warned.discard(HISTORY_TRUNCATED)

    def believes_truncation(self, depth: int) -> bool:
        """Whether a scan that ended too early, after `depth` pages, has seen all that is shown.

        It has where the last scans ended there, too; where nothing is shown, there is no end.
        """
        self._depths = [*self._depths, depth][-TRUNCATED_SCANS:]
        is_believed = depth > 0 and self._depths == [depth] * TRUNCATED_SCANS
        if is_believed:
            self._warn_once(
                HISTORY_TRUNCATED,
                pages=depth,
                advice="what lies behind is not counted, and every poll reads all that is shown: "
                "ask the service's support, and raise poll.interval if that is much",
            )
        return is_believed

    def _warn_once(self, event: str, **fields: object) -> None:
        if event not in self._warned:
            self._warned.add(event)
            _log.warning(event, target=self._target, **fields)
