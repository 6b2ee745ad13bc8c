"""A complete walk beside the polls, held against what is remembered. Pure.

It goes from the newest row that is known at its start to the oldest. Polls go on meanwhile and
take up what comes and goes at the two ends, so all that this walk has to find is the rest.

Every page brings it one page further, whatever the polls know by then: rows only ever move to
the pages that are still to be read.
"""

from collections.abc import Sequence

from exporter.sources.livy_sessions.aligning import Line
from exporter.sources.livy_sessions.front import Page, Surprise
from exporter.sources.livy_sessions.history import History
from exporter.sources.livy_sessions.order import Order
from exporter.sources.livy_sessions.planner import SPARE_PAGES, Outcome

_ANY_DRIFT = -(10**12)
"""The history may know more, or less, than the page, which may have been read before a poll."""


class Check:
    """Says which page to read next, and takes the page for the history of that moment."""

    def __init__(self, history: History, size: int) -> None:
        self._size = size
        self._step = 1 if history.order is Order.NEWEST_FIRST else -1
        self._first = 1 if self._step > 0 else (len(history) - 1) // size + 1
        self._limit = 2 * (len(history) // size) + SPARE_PAGES
        self._before: Page | None = None
        self.next_page: int | None = self._first
        """The number of the page to read, `None` when all is checked."""
        self.pages = 0

    def take(
        self, history: History, number: int, rows: Sequence[int], count: int | None
    ) -> Outcome:
        """Take the page; give where its rows are in the history. Raises `Surprise`."""
        page, self.pages = Page(number, self._size, rows, count), self.pages + 1
        before, self._before = self._before, page
        nothing = Outcome(0, len(history), (), {})
        if self.pages > self._limit:
            raise Surprise("too many pages were needed")
        self.next_page = self._page_after(page, before)
        if history.order is None or page.is_past_end:
            return nothing
        found = Line(history.order, history.digests).align(page, _ANY_DRIFT)
        if self._step > 0 and found.first == 0:
            self.next_page = None  # the oldest row
        return Outcome(
            0, len(history), (), {digest: found.first + at for at, digest in enumerate(found.rows)}
        )

    def _page_after(self, page: Page, before: Page | None) -> int | None:
        if self._step < 0:
            last = page.number if page.count is None else -(-page.count // self._size) + 1
            return min(page.number, last) - 1 or None
        if page.is_past_end and page.count is not None and page.start < page.count:
            raise Surprise("the listing ends where known sessions were expected")
        is_repeated = page.count is None and before is not None and page.rows == before.rows
        return None if page.is_last or page.is_past_end or is_repeated else page.number + 1


def left_since(before: History, now: History, digests: Sequence[int]) -> set[int]:
    """Give those of some rows that were known before, and are not any more."""
    return set(digests).intersection(before.digests).difference(now.digests)
