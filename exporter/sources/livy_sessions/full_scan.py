"""Reads the whole of a listing from nothing. Pure."""

from array import array
from collections.abc import Mapping, Sequence
from heapq import merge

from exporter.api import PAGE_SIZE, NumberedScan, ReadRows
from exporter.ledger import SessionKey
from exporter.model import NAMELESS, LivySession, Page
from exporter.snapshot import ScanProgress
from exporter.sources.livy_sessions.columns import Columns
from exporter.sources.livy_sessions.history import History, Order, newest_of_repeated, order_of
from exporter.sources.livy_sessions.rows import NO_TIME, Identities, Kind, Row, dated, rows_of
from exporter.sources.livy_sessions.settling import SettlePolicy, Watched

MAX_SESSIONS = 350_000
"""Rows of one history: the process takes 210 MB with 300,000, and should stay below 256 MB."""

SMALL_PAGES = 3
SMALL_ROWS = SMALL_PAGES * PAGE_SIZE
"""A history of so many pages is read completely in every poll: that is as cheap."""


class FullScan:
    """One scan of all pages. It ends as a `NumberedScan` does, and may pause for any time."""

    def __init__(self, known: Mapping[int, Watched], *, size: int) -> None:
        """`known` are the rows that were watched so far, by their keys."""
        self._size = size
        self._pages = NumberedScan(size, max_rows=MAX_SESSIONS)
        self._identities = Identities()
        self._rows = HistoryBuilder()
        self._nameless: set[tuple[int, int]] = set()
        self._unjudged: list[Row] = []
        self._watched = {**known}
        self.uncounted: list[LivySession] = []
        self.unreadable: set[str] = set()
        self.deepest = 0
        """The last page that had rows."""

    @property
    def is_long(self) -> bool:
        """Whether it reads more than a few pages, and is worth resuming after a failure."""
        pages, expected = self.progress
        return (expected or pages) > SMALL_PAGES

    @property
    def count(self) -> int | None:
        """The number of rows, by what the service said last."""
        return self._pages.count

    @property
    def progress(self) -> ScanProgress:
        """The pages read, and those expected, which may be one too few."""
        pages, expected = self._pages.pages, self._pages.expected_pages
        return ScanProgress(pages, expected and max(expected, pages))

    @property
    def is_blurred(self) -> bool:
        """Whether there were rows without an id, which may be of any session."""
        return any(name.startswith(NAMELESS) for name in self.unreadable)

    @property
    def found(self) -> int:
        """The number of rows; 0 if the service says at the end that there are none any more."""
        return 0 if self.count == 0 else len(self._rows)

    def next_page(self) -> int | None:
        """Return the number of the page to read; `None` when the scan is over or has failed."""
        return self._pages.next_page()

    def take(self, number: int, page: Page[LivySession] | None) -> None:
        """Take a page, `None` if it was refused as one past the end. Raises `PollError`."""
        if page is None:
            self._pages.take(None)
            return
        rows = self._identities.of(rows_of(page))
        self._identities.add_undated(rows)
        self.unreadable.update(page.malformed)
        self.uncounted += page.records
        self._unjudged += rows
        is_first_known = not rows or rows[0].key in self._rows
        fresh = self._fresh_nameless(rows, number, page.total_count) if page.malformed else 0
        fresh += self._rows.add(rows, is_late=number <= self.deepest)
        self.deepest = max(self.deepest, number) if rows else self.deepest
        keys = tuple(row.key for row in rows)
        self._pages.take(ReadRows(keys, fresh, is_first_known, page.total_count))

    def _fresh_nameless(self, rows: Sequence[Row], number: int, count: int | None) -> int:
        """Return how many rows without an id are the same as others, to the last byte.

        The service counts each of them; but a page past the end shows rows of another page again.
        """
        count = self.count if count is None else count
        if count is None or (number - 1) * self._size >= count:
            return 0
        nameless = {(row.key, number) for row in rows if row.name.startswith(NAMELESS)}
        repeated = [key for key, _ in nameless - self._nameless if key in self._rows]
        self._nameless |= nameless
        return len(repeated)

    def settle(self, policy: SettlePolicy) -> None:
        """Judge the rows that were counted."""
        policy.judge_all(self._unjudged, self._watched)
        self._unjudged.clear()
        self.uncounted.clear()

    def left(self) -> Sequence[SessionKey]:
        """Return nothing: the ledger knows which sessions a complete scan has not found."""
        return ()

    def result(self) -> History:
        """Return the history that was found."""
        return self._rows.build(
            {key: row for key, row in self._watched.items() if key in self._rows}
        )


class HistoryBuilder:
    """Gathers the rows of a listing in the order in which they are first seen."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._created = array("q")
        self._kinds: list[Kind] = []
        self._same_kinds: dict[Kind, Kind] = {}
        self._names: list[str] = []
        self._late: set[int] = set()
        self._redated: list[Row] = []

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._places)

    def __contains__(self, key: int) -> bool:
        return key in self._places

    def add(self, rows: Sequence[Row], *, is_late: bool) -> int:
        """Add the rows of a page, or read them again; return how many are new.

        `is_late` tells that the page is not the deepest.
        """
        places, kinds, same = self._places, self._kinds, self._same_kinds.setdefault
        before = len(places)
        for row in rows:
            next_place = len(kinds)
            place = places.setdefault(row.key, next_place)
            if place < next_place:
                kinds[place] = same(row.kind, row.kind)
                if row.created_ms not in {NO_TIME, self._created[place]}:
                    self._created[place] = row.created_ms
                    self._redated.append(row)
                continue
            kinds.append(same(row.kind, row.kind))
            self._created.append(row.created_ms)
            self._names.append(row.name)
            if is_late:
                self._late.add(place)
        return len(places) - before

    def build(self, watched: Mapping[int, Watched]) -> History:
        """Return the history that was found."""
        on_time: Sequence[int] = range(len(self._kinds))
        if self._late:
            on_time = [at for at in on_time if at not in self._late]
        order = order_of(map(self._created.__getitem__, on_time))
        places = self._from_old_to_new(on_time, order)
        keys = array("q", self._places)
        index_of = {self._places[key]: 0 for key in watched}
        index_of.update((at, index) for index, at in enumerate(places) if at in index_of)
        new_keys = {row.key: dated(row).key for row in self._redated}
        for key, new in new_keys.items():
            keys[self._places[key]] = new
        rows = (
            Row(self._names[at], None, self._created[at], self._kinds[at], keys[at])
            for at in places
        )
        return History(
            order,
            Columns.of(rows),
            {new_keys.get(key, key): row for key, row in watched.items()},
            {new_keys.get(key, key): index_of[self._places[key]] for key in watched},
            newest_of_repeated(zip(self._names, self._created, strict=True)),
        )

    def _from_old_to_new(self, on_time: Sequence[int], order: Order | None) -> Sequence[int]:
        """Put rows that were found late where their create time says; they are few."""
        if order is None:
            return [*on_time, *sorted(self._late)]
        places = on_time[::-1] if order is Order.NEWEST_FIRST else on_time
        created = self._created.__getitem__
        return [*merge(places, sorted(self._late, key=created), key=created)]
