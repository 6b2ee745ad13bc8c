"""A complete walk beside the polls, held against what is remembered. Pure.

It goes from the newest row that is known at its start to the oldest. Polls go on meanwhile and
take up what comes and goes at the two ends, so all that this walk has to find is the rest.
"""

from collections.abc import Sequence

from exporter.sources.livy_sessions.aligning import Line
from exporter.sources.livy_sessions.front import Page
from exporter.sources.livy_sessions.history import History
from exporter.sources.livy_sessions.order import Order
from exporter.sources.livy_sessions.planner import Outcome

_ANY_DRIFT = -(10**12)
"""The history may know more, or less, than the page, which may have been read before a poll."""


class Check:
    """Says which page to read next, for the history of that moment, and takes the page."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lowest: int | None = None
        """Digest of the oldest row that was checked."""
        self._drift = 0
        self._history: History | None = None

    def next_page(self, history: History) -> int | None:
        """Give the number of the page to read, `None` when all is checked."""
        if history.order is None:
            return None
        index = self._index(history) - 1
        if index < 0:
            return None
        line = Line(history.order, history.digests)
        place = line.place(index, self._drift if history is self._history else 0)
        return max(0, place) // self._size + 1

    def take(
        self, history: History, number: int, rows: Sequence[int], count: int | None
    ) -> Outcome:
        """Take the page; give where its rows are in the history. Raises `Surprise`."""
        page = Page(number, self._size, rows, count)
        nothing = Outcome(0, len(history), (), {})
        if history.order is None or page.is_past_end:
            self._lowest = history.digests[0]  # what was there has left
            return nothing
        found = Line(history.order, history.digests).align(page, _ANY_DRIFT)
        wanted = self._index(history) - 1
        is_newest_first = history.order is Order.NEWEST_FIRST
        if page.is_last if is_newest_first else number == 1:
            self._lowest = history.digests[0]  # this is the old end
        elif found.first <= wanted:
            self._lowest = history.digests[found.first]
        self._drift, self._history = found.drift, history
        return Outcome(
            0, len(history), (), {digest: found.first + at for at, digest in enumerate(found.rows)}
        )

    def _index(self, history: History) -> int:
        """Give the index of the oldest row that was checked; of nothing if it has left."""
        if self._lowest is None:
            return len(history)
        try:
            return history.digests.index(self._lowest)
        except ValueError:
            return 0


def left_since(before: History, now: History, digests: Sequence[int]) -> set[int]:
    """Give those of some rows that were known before, and are not any more."""
    return set(digests).intersection(before.digests).difference(now.digests)
