"""A listing of numbered rows, and a plain loop that drives a scan over it."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from exporter.model import LivySession, Page
from exporter.sources.livy_sessions.driver import Scan
from exporter.sources.livy_sessions.full_scan import FullScan
from exporter.sources.livy_sessions.history import History, Order
from exporter.sources.livy_sessions.settling import SettlePolicy

POLICY = SettlePolicy(settle_after=1800.0, now=1e9, monotonic=1e6, recently_ended=())


@dataclass
class Service:
    """A history of rows 0, 1, 2 …, of which the listing shows those from `start` to `stop`."""

    order: Order
    size: int
    stop: int
    start: int = 0
    has_count: bool = True
    past_end: str = "empty"
    requests: int = 0
    read: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return self.stop - self.start

    def place(self, row: int) -> int:
        """Return the place of a row in the listing, from 0."""
        is_newest_first = self.order is Order.NEWEST_FIRST
        return self.stop - 1 - row if is_newest_first else row - self.start

    def page(self, number: int) -> Page[LivySession]:
        """Serve a page."""
        self.requests += 1
        first = (number - 1) * self.size
        if first >= len(self) and self.past_end != "empty":
            last = max(len(self) - 1, 0) // self.size * self.size
            first = {"first": 0, "last": last}[self.past_end]
        places = range(first, min(first + self.size, len(self)))
        is_newest_first = self.order is Order.NEWEST_FIRST
        rows = [self.stop - 1 - at if is_newest_first else self.start + at for at in places]
        self.read.update(rows)
        return page_of(rows, len(self) if self.has_count else None)


def page_of(rows: list[int], count: int | None) -> Page[LivySession]:
    """Return a page of ended sessions; a row of a lower number was created earlier."""
    sessions = (LivySession(str(row), "terminated", created_ms=10_000 * (row + 9)) for row in rows)
    return Page(tuple(sessions), total_count=count)


def counts_of(sessions: Iterable[LivySession]) -> Counter[tuple[str, str]]:
    """Count sessions by queue and state."""
    return Counter((session.queue, session.state) for session in sessions)


def drive(
    scan: Scan,
    page: Callable[[int], Page[LivySession]],
    between: Callable[[], None] = lambda: None,
) -> int:
    """Read what a scan asks for; return how many pages that were."""
    pages = 0
    while (number := scan.next_page()) is not None:
        pages += 1
        scan.take(number, page(number))
        scan.settle(POLICY)
        between()
    return pages


def history_of(order: Order, rows: int, size: int) -> History:
    """Return the history of rows 0 up to `rows`."""
    scan = FullScan({}, size=size)
    drive(scan, Service(order, size, rows).page)
    return scan.result()


def listed(history: History, count: int | None = None) -> list[int]:
    """Return the rows of a history, from old to new; or only the first `count` of them."""
    stop = len(history) if count is None else count
    return [int(row.name) for row in history.rows.between(0, stop)]
