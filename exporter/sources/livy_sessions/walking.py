"""A complete walk from nothing: staged in the ledger as it goes, and never held whole.

It can go on where it failed: what was read is remembered, and read again from there. A walk
with a pause in it is a slow walk, and as complete as any.
"""

from collections.abc import Awaitable, Callable, Sequence

from exporter.api import PAGE_SIZE, walk_pages
from exporter.model import NAMELESS, LivySession, Page
from exporter.snapshot import WalkProgress
from exporter.sources.livy_sessions.history import HistoryBuilder, Identities, Row, Watched
from exporter.sources.livy_sessions.reading import rows_of
from exporter.sources.livy_sessions.watching import Watch

BATCH_ROWS = 2000
"""Rows that are counted in one transaction, and held until then."""

Fetch = Callable[[int, bool], Awaitable[Page[LivySession]]]
"""Reads a page by its number; the second argument says that it is one of a long walk."""

Stage = Callable[[Sequence[LivySession]], Awaitable[Watch]]
"""Counts some records, and tells how to judge them."""

SHORT_WALK_PAGES = 5
"""Pages after which a walk counts as a long one, which draws on half of the budget only."""


def _identity(row: Row, number: int, count: int | None) -> int:
    """Tell a row from all others, where rows are held against the service's own `count`.

    Rows without an id may be the same to the last byte, as `null` is; each of them is a row all
    the same, but for those of a page past the end, which shows rows of another page again.
    """
    if row.record is not None or not row.name.startswith(NAMELESS):
        return row.digest
    is_counted = count is not None and (number - 1) * PAGE_SIZE < count
    return hash((row.digest, number)) if is_counted else row.digest


class CompleteWalk:
    """One complete walk. When it is done, `builder` and `watched` make up a history."""

    def __init__(self, known: dict[int, Watched], stage: Stage) -> None:
        """`known` are the rows that were watched so far."""
        self.builder = HistoryBuilder()
        self._identities = Identities()
        self.watched: dict[int, Watched] = {}
        self.unreadable: set[str] = set()
        self.count: int | None = None
        """How many rows there are, by what the service said last."""
        self.deepest = 0
        """The last page that had rows."""
        self._known = known
        self._stage = stage
        self._pages: list[tuple[int, Page[int]]] = []
        self._replayed = 0
        self._unstaged: list[Row] = []
        self.is_broken = False
        """Not all that was read was counted and judged, so the walk must begin anew."""

    @property
    def is_long(self) -> bool:
        """Whether so much was read that it is worth to go on from there after a failure."""
        return len(self._pages) > SHORT_WALK_PAGES

    @property
    def progress(self) -> WalkProgress:
        """Tell how far the walk has come; it may need a page more than were expected."""
        pages = len(self._pages)
        if self.count is None:
            return WalkProgress(pages, None)
        return WalkProgress(pages, max(1, pages, -(-self.count // PAGE_SIZE)))

    @property
    def is_blurred(self) -> bool:
        """Tell whether rows were listed that may be of any session."""
        return any(name.startswith(NAMELESS) for name in self.unreadable)

    @property
    def found(self) -> int:
        """Count the rows; none where the service says at the end that there are none any more."""
        return 0 if self.count == 0 else len(self.builder)

    async def run(self, fetch: Fetch, on_page: Callable[[], None]) -> None:
        """Walk on, to the end. Raises `PollError`; may then be called again."""
        self._replayed = 0

        async def page(number: int) -> Page[int]:
            found = self._replay(number)
            if found is None:
                found = await self._read(number, fetch)
                on_page()
            return found

        await walk_pages(page, PAGE_SIZE, lambda digest: digest)
        await self.flush()

    def _replay(self, number: int) -> Page[int] | None:
        """Give a page that was read before the walk failed, as long as the walk is the same."""
        if self._replayed < len(self._pages):
            if self._pages[self._replayed][0] == number:
                self._replayed += 1
                return self._pages[self._replayed - 1][1]
            del self._pages[self._replayed :]
        return None

    async def _read(self, number: int, fetch: Fetch) -> Page[int]:
        page = await fetch(number, len(self._pages) >= SHORT_WALK_PAGES)
        rows = self._identities.of(rows_of(page))
        self._identities.add_undated(rows)
        self.builder.add(rows, is_late=number <= self.deepest)
        if rows:
            self.deepest = max(self.deepest, number)
        self.unreadable.update(page.malformed)
        if page.total_count is not None:
            self.count = page.total_count
        self._unstaged += rows
        if len(self._unstaged) >= BATCH_ROWS:
            await self.flush()
        identities = tuple(_identity(row, number, self.count) for row in rows)
        found = Page(records=identities, total_count=page.total_count)
        self._pages.append((number, found))
        self._replayed = len(self._pages)
        return found

    async def flush(self) -> None:
        """Count what was read and not counted yet."""
        rows, self._unstaged = self._unstaged, []
        if not rows:
            return
        self.is_broken = True
        watch = await self._stage([row.record for row in rows if row.record is not None])
        for row in rows:
            before = self.watched.pop(row.digest, None) or self._known.get(row.digest)
            found = watch.again(before, row, is_changed=True) if before else watch.first_sight(row)
            if found is not None:
                self.watched[row.digest] = found
        self.is_broken = False
