"""Reads the part of a listing that may have changed since it was last read. Pure.

It goes from the new end to the old one: the new rows; the pages where the wanted rows are expected
(by their known index and the drift observed so far); and the old end, if the service counts fewer
rows than are known.
"""

from bisect import bisect_left
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence

from exporter.api import PageSteps
from exporter.ledger import SessionKey
from exporter.model import LivySession, Page
from exporter.snapshot import ScanProgress
from exporter.sources.livy_sessions.alignment import ListingDiverged, ReadPage, locate
from exporter.sources.livy_sessions.head_scan import Head, read_head
from exporter.sources.livy_sessions.history import Change, History, Order
from exporter.sources.livy_sessions.rows import Row, rows_of
from exporter.sources.livy_sessions.settling import SettlePolicy

SPARE_PAGES = 12
"""Pages beyond those that are planned that a scan may read before it gives up."""


class IncrementalScan:
    """One scan of a history whose order is known.

    Rows move in one direction only, so each page holds rows that were looked for, or shows how far
    they have moved. If they move faster than pages are read, the number of pages is the limit.
    """

    is_long = False
    unreadable: Collection[str] = frozenset()

    def __init__(self, history: History, wanted: Iterable[int] | None = None, *, size: int) -> None:
        """`wanted` are the indices of the rows to be seen, those that are unsettled by default.

        Raises `ListingDiverged` where the history has no order.
        """
        if history.order is None:
            raise ListingDiverged("no order is known")
        self._order = history.order
        self._history = history
        self._size = size
        self._wanted = sorted(history.unsettled() if wanted is None else wanted)
        self._identities = history.identities()
        self._settled: list[Row] = []
        """The rows of the page that was read last that were settled before."""
        self._change: Change | None = None
        planned = len({index // size for index in self._wanted})
        self._limit = 2 * planned + SPARE_PAGES + len(history) // size // 2
        self._steps = PageSteps(self._scan())
        self.progress = ScanProgress(0, None)
        self.count: int | None = None
        self.uncounted: list[LivySession] = []

    def next_page(self) -> int | None:
        """Return the number of the page to read; `None` at the end."""
        return self._steps.next_page()

    def take(self, number: int, page: Page[LivySession] | None) -> None:
        """Take a page, `None` if there is none. Raises `ListingDiverged`."""
        page = page or Page()
        pages, expected = self.progress
        if pages >= self._limit:
            raise ListingDiverged("too many pages were needed")
        self.progress = ScanProgress(pages + 1, expected and max(expected, pages + 1))
        self.count = self.count if page.total_count is None else page.total_count
        rows = {row.key: row for row in self._identities.of(rows_of(page))}
        self._settled.clear()
        read = ReadPage(number, self._size, [*rows.values()], page.total_count)
        read.refuse_uncounted()
        self._steps.take(read)
        self.uncounted += self._to_count(page)

    def settle(self, _policy: SettlePolicy) -> None:
        """Forget the records, which are counted by now; the rows are judged at the end."""
        self.uncounted.clear()

    def left(self) -> list[SessionKey]:
        """Return the sessions that are no longer listed, at the end of the scan."""
        return self._history.left(self._outcome())

    @property
    def first_read(self) -> int:
        """The index, in the new history, of the oldest row that was read at the new end."""
        change = self._outcome()
        return max(0, change.kept - change.gone)

    def result(self, policy: SettlePolicy) -> History:
        """Return the new history, at the end of the scan."""
        return self._history.advanced(self._outcome(), policy)

    def _outcome(self) -> Change:
        if self._change is None:
            raise ListingDiverged("not all rows are accounted for")
        return self._change

    def _to_count(self, page: Page[LivySession]) -> Iterable[LivySession]:
        return page.records

    def _scan(self) -> Generator[int, ReadPage, None]:
        head = yield from read_head(self._order, self._history, self._size)
        rest = _Rest(self._order, self._history, head, self._wanted)
        tail, found = [*head.tail], dict[int, Row]()
        while (number := rest.next_page()) is not None:
            for index, row in rest.take((yield number)).items():
                if index >= head.kept:
                    tail[index - head.kept] = row
                elif self._may_have_changed(index, row):
                    found[index] = row
        self._change = Change(rest.old_end or 0, head.kept, tail, found)

    def _may_have_changed(self, index: int, row: Row) -> bool:
        if row.key in self._history.watched:
            return True
        self._settled.append(row)
        return self._history.rows.kind(index) != row.kind


class Verification(IncrementalScan):
    """An incremental scan that wants every row of the history as it is when the scan begins.

    Polls go on meanwhile. Its result takes the place of theirs; the next poll adds the changes
    since. It may pause for any time.
    """

    is_long = True

    def __init__(self, history: History, policy: SettlePolicy, *, size: int) -> None:
        super().__init__(history, range(len(history)), size=size)
        self._policy = policy
        self.progress = ScanProgress(0, -(-len(history) // size))
        self.is_abandoned = False
        """Whether a full scan has replaced the history that it started from: then it ends."""

    def next_page(self) -> int | None:
        """Return the number of the page to read, `None` at the end."""
        return None if self.is_abandoned else super().next_page()

    def left(self) -> list[SessionKey]:
        """Return the sessions that are no longer listed, if their create time is known.

        By its id alone one could be taken for a running one, whose record it does not count.
        """
        return [key for key in super().left() if key[1] is not None]

    def _may_have_changed(self, index: int, row: Row) -> bool:
        """Whether a row is watched, of another kind, or by its record has not settled.

        A history from the ledger may take such a row for settled.
        """
        is_due = super()._may_have_changed(index, row)
        return is_due or (row.record is not None and self._policy.judge(None, row) is not None)

    def _to_count(self, _page: Page[LivySession]) -> Iterable[LivySession]:
        """Count settled rows only: polls may have read the others later."""
        return (row.record for row in self._settled if row.record is not None)


class _Rest:
    """The part behind the new end; indices are those of all rows, from old to new.

    Rows drift: towards later pages as others come in, if the newest is first, else towards earlier
    pages as others leave.
    """

    def __init__(self, order: Order, history: History, head: Head, wanted: Sequence[int]) -> None:
        first, last = head.first, head.last
        self._is_newest_first = order is Order.NEWEST_FIRST
        self._rows = history.rows.spliced(0, head.kept, head.tail)
        self._wanted = [*wanted[: bisect_left(wanted, head.kept)]]
        self._size = first.size
        self._drift = 0 if self._is_newest_first else head.kept - last.start
        self._missing = None if first.count is None else len(self._rows) - first.count
        """How many rows were gone by the count when the newest one was read."""
        self.old_end: int | None = None
        """Index of the oldest row that is still listed, once it was seen at the old end."""
        self._probe: int | None = None
        self._end: int | None = last.count
        """No row is at this place or behind it, as far as it is known."""
        self._before: ReadPage | None = None
        self._lowest = head.kept
        if self._missing is not None and self._missing < 0:
            raise ListingDiverged("the service counts more sessions than are accounted for")
        if last.is_last if self._is_newest_first else last.number == 1:
            self.old_end = head.kept

    def next_page(self) -> int | None:
        """Return the number of the page to read; `None` when all rows are accounted for."""
        if self.old_end is not None:
            del self._wanted[: bisect_left(self._wanted, self.old_end)]
        if self._wanted:
            place = self._place(self._wanted[-1])
            is_past_end = self._end is not None and place >= self._end
            return self._old_page() if place < 0 or is_past_end else place // self._size + 1
        if self.old_end is None:
            return None if self._missing == 0 else self._old_page()
        if self.old_end < (self._missing or 0):
            raise ListingDiverged("sessions are missing that are not the oldest")
        return None

    def take(self, page: ReadPage) -> Mapping[int, Row]:
        """Take a page; return the rows on it that are not newer, by their indices."""
        self._end = self._end if page.count is None else page.count
        page.refuse_repeated(self._before)
        if page.is_past_end:
            self._take_void(page)
            return {}
        self._before = page
        rows = page.rows[::-1] if self._is_newest_first else page.rows
        expected = self._drift + (
            len(self._rows) - page.start - len(rows) if self._is_newest_first else page.start
        )
        first = locate(rows, self._rows, expected, may_be_newer=self._is_newest_first)
        self._drift += first - expected
        self._lowest = first
        if page.count is None and not page.is_last:
            # What was void may hold rows by now that came in meanwhile pushed there.
            is_probe = page.number == self._probe or page.start + page.size == self._end
            self._probe = page.number + 1 if is_probe else self._probe
            self._end = None if is_probe else self._end
        found = dict(zip(range(first, len(self._rows)), rows, strict=False))
        stop = bisect_left(self._wanted, first + len(found))
        del self._wanted[bisect_left(self._wanted, first) : stop]
        if page.is_last if self._is_newest_first else page.number == 1:
            self._see_old_end(first)
        return found

    def _place(self, index: int) -> int:
        """Return the place of a row in the listing, from 0."""
        newer = len(self._rows) - 1 - index
        return newer + self._drift if self._is_newest_first else index - self._drift

    def _old_page(self) -> int:
        """Return the page where the old end is to be seen."""
        if not self._is_newest_first:
            return 1
        if self._end is not None:
            if self._end <= 0:
                raise ListingDiverged("the listing is empty")
            return (self._end - 1) // self._size + 1
        if self._probe is None:
            self._probe = self._place(0) // self._size + 1
        return self._probe

    def _take_void(self, page: ReadPage) -> None:
        """Take a page past the end: without a count, the one before it is looked at."""
        if not self._is_newest_first:
            raise ListingDiverged("the listing ends where known sessions were expected")
        if page.count is None:
            self._end = page.start
            if self._before is not None and self._before.number == page.number - 1:
                self._see_old_end(self._lowest)

    def _see_old_end(self, index: int) -> None:
        if index == len(self._rows):
            raise ListingDiverged("the oldest sessions are not known")
        self.old_end = index
