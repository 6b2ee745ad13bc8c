"""Reads the whole history beside the polls. Pure."""

from collections.abc import Iterable

from exporter.model import LivySession, Page
from exporter.snapshot import ScanProgress
from exporter.sources.livy_sessions.history import History, Order
from exporter.sources.livy_sessions.incremental_scan import IncrementalScan


class Verification(IncrementalScan):
    """An incremental scan that wants every row of the history as it is when the scan begins.

    Polls go on meanwhile. What it finds takes the place of what they know: the next poll adds
    what has changed since. It may pause for as long as it has to.
    """

    is_long = True

    def __init__(self, order: Order, history: History, *, size: int) -> None:
        super().__init__(order, history, range(len(history)), size=size)
        self.progress = ScanProgress(0, -(-len(history) // size))
        self.is_abandoned = False

    def abandon(self) -> None:
        """End it: the history that it started from is of no use any more."""
        self.is_abandoned = True

    def next_page(self) -> int | None:
        """Return the number of the page to read, `None` at the end."""
        return None if self.is_abandoned else super().next_page()

    def _to_count(self, _page: Page[LivySession]) -> Iterable[LivySession]:
        """Leave the new end and the unsettled rows to the polls, which may have read them later."""
        return (row.record for row in self._settled if row.record is not None)
