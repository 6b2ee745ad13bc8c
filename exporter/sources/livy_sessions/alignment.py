"""The places of a page's rows among the known rows. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.sources.livy_sessions.columns import Columns
from exporter.sources.livy_sessions.rows import Row


class ListingDiverged(Exception):  # noqa: N818 - no error: the history is read completely then
    """The listing is not what it would be if it had only grown and shrunk at its two ends."""


@dataclass(frozen=True, slots=True)
class ReadPage:
    """The rows of a page in order of listing, and the service's count of all rows, if any."""

    number: int
    size: int
    rows: Sequence[Row]
    count: int | None

    @property
    def start(self) -> int:
        """The place of the first row in the listing, from 0."""
        return (self.number - 1) * self.size

    @property
    def is_past_end(self) -> bool:
        """Whether the page lies behind the end of the listing; its rows are then ignored."""
        return not self.rows or (self.count is not None and self.start >= self.count)

    @property
    def is_last(self) -> bool:
        """Whether the listing ends on this page, which is not past the end."""
        if self.count is None:
            return len(self.rows) < self.size
        return self.count <= self.start + len(self.rows)

    def refuse_uncounted(self) -> None:
        """Raise `ListingDiverged` if this page shows more rows than the service counts."""
        if self.count is not None and self.start < self.count < self.start + len(self.rows):
            raise ListingDiverged("the service lists more sessions than it counts")

    def refuse_repeated(self, before: "ReadPage | None") -> None:
        """Raise `ListingDiverged` if this is the page `before` again, and there is no count."""
        if self.count is not None or before is None or self.number != before.number + 1:
            return
        if self.rows and [row.key for row in self.rows] == [row.key for row in before.rows]:
            raise ListingDiverged("a page is repeated, and no count tells whether it is the last")


def locate(rows: Sequence[Row], known: Columns, expected: int, *, may_be_newer: bool) -> int:
    """Return the index among the `known` rows of the first of `rows`; both go from old to new.

    Rows drift in one direction only: it is the `expected` index or a later one. The last of the
    rows may be newer than the known ones; all of them where they `may_be_newer`, since new rows
    push others on. Raises `ListingDiverged` if they are not one piece of the known ones.
    """
    first = known.index(rows[0].key, max(expected, 0))
    if first is None:
        if not may_be_newer or any(row in known for row in rows):
            raise ListingDiverged("sessions moved against the order")
        return len(known)
    pairs = zip(range(first, len(known)), rows, strict=False)
    if any(known.key(index) != row.key for index, row in pairs):
        raise ListingDiverged("sessions came or went in the middle of the history")
    return first
