"""The new end of a listing: the rows that came in since it was last read. Pure.

Pages are read from the new end inwards until the known part begins. Read in this direction
no row can slip past: with the newest row first, rows that come in push others towards the pages
still to be read; with the oldest first, rows that leave pull them there.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from exporter.sources.livy_sessions.alignment import ListingDiverged, ReadPage
from exporter.sources.livy_sessions.columns import Columns
from exporter.sources.livy_sessions.history import History, Order
from exporter.sources.livy_sessions.rows import Row


@dataclass(frozen=True, slots=True)
class Head:
    """The new end: of the known rows the first `kept` were not read; `tail` was, from old to new.

    The `first` page has the newest row, and the count that fits these rows; the known part begins
    on the `last` page.
    """

    kept: int
    tail: Sequence[Row]
    first: ReadPage
    last: ReadPage


def read_head(order: Order, history: History, size: int) -> Generator[int, ReadPage, Head]:
    """Read the new end. Raises `ListingDiverged`.

    Each page leads one further inwards, so it ends at the other end of the listing at the latest.
    """
    is_newest_first = order is Order.NEWEST_FIRST
    known, kept = history.rows, len(history)
    read: dict[int, Row] = {}
    page = (yield 1) if is_newest_first else (yield from _last_page((kept - 1) // size + 1))
    first = page
    while True:
        if page.is_past_end:
            raise ListingDiverged("the listing ends where known sessions were expected")
        rows = page.rows if is_newest_first else page.rows[::-1]
        kept = _read_on(rows, read, known, kept)
        if kept < len(known) and known.key(kept) == rows[-1].key:
            return Head(kept, [*reversed(read.values())], first, page)
        if page.is_last if is_newest_first else page.number == 1:
            raise ListingDiverged("no known session is where it was")
        page = yield page.number + (1 if is_newest_first else -1)


def _read_on(rows: Sequence[Row], read: dict[int, Row], known: Columns, kept: int) -> int:
    """Add rows, from new to old, to those that were read; return how many known ones are not."""
    fresh: list[Row] = []
    # Rows newer than those of the first page came in since; the next poll reads them.
    overlap = next((at for at, row in enumerate(rows) if row.key in read), 0)
    for row in rows[overlap:]:
        if kept and known.key(kept - 1) == row.key:
            kept -= 1
        elif row.key not in read:
            fresh.append(row)
        read[row.key] = row
    if any(row in known for row in fresh):
        raise ListingDiverged("known sessions are listed in another order")
    return kept


def _last_page(number: int) -> Generator[int, ReadPage, ReadPage]:
    """Find the last page, beginning with `number`.

    Without a count it is the page before an empty one, read after that one, since rows may have
    moved there meanwhile.
    """
    before, void = None, 0
    while number:
        page = yield number
        page.refuse_repeated(before)
        before = page
        is_before_void = page.count is None and page.number + 1 == void
        if not page.is_past_end and (page.is_last or is_before_void):
            return page
        if page.count is not None:
            number = (page.count - 1) // page.size + 1
        elif page.is_past_end:
            void, number = number, number - 1
        else:
            number += 1
    raise ListingDiverged("the listing is empty")
