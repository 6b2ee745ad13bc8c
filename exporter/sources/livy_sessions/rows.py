"""The rows of a listing, and the keys that tell one from another. Pure."""

from collections.abc import Collection, Iterable, Sequence

import msgspec
from msgspec import structs

from exporter.ledger import TOLERANCE_MS, SessionKey
from exporter.model import LivySession, Page

NO_TIME = -1
"""Stands for a create time that is not known."""

Kind = tuple[str, str] | None
"""Queue and state; `None` for a row that could not be read."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row of a page. One that could not be read has a name of the parser's instead of an id.

    `created_ms` is `NO_TIME` where it is not known, `kind` what the row is counted under. The
    `record` is `None` also where only the rest is remembered.
    """

    name: str
    record: LivySession | None
    created_ms: int
    kind: Kind
    key: int
    """The hash of id and create time: ids may be reused by sessions created later."""

    @property
    def session(self) -> SessionKey:
        """Id and create time, as the ledger takes them."""
        return self.name, None if self.created_ms == NO_TIME else self.created_ms


def rows_of(page: Page[LivySession]) -> list[Row]:
    """Return the rows of a page in order of listing, including those that could not be read."""
    rows = [*map(_row, page.records)]
    for at, name in zip(page.malformed_at, page.malformed, strict=True):
        rows.insert(at, Row(name, None, NO_TIME, None, hash((name, NO_TIME, True))))
    return rows


def _row(record: LivySession) -> Row:
    name = record.session_id
    created = NO_TIME if record.created_ms is None else record.created_ms
    return Row(name, record, created, (record.queue, record.state), row_key(name, created))


def row_key(name: str, created_ms: int | None) -> int:
    """Return the key of a readable row."""
    return hash((name, NO_TIME if created_ms is None else created_ms, False))


class Identities:
    """Recognises sessions whose create time is told late, or not every time.

    As in the ledger, a row without a create time is of the newest session of its id, and a second
    more or less makes no difference.
    """

    def __init__(self, known: Iterable[tuple[str, int, int]] = ()) -> None:
        """`known` are id, create time and key of sessions that may still change."""
        self._known: dict[str, list[tuple[bool, int, int]]] = {}
        """By id: whether the create time is not known, the create time, and the key."""
        for name, created_ms, key in known:
            self._add(name, created_ms, key)

    def add_undated(self, rows: Iterable[Row]) -> None:
        """Remember those of `rows` that have no create time."""
        for row in rows:
            if row.created_ms == NO_TIME and row.record is not None:
                self._add(row.name, NO_TIME, row.key)

    def of(self, rows: Sequence[Row]) -> list[Row]:
        """Return `rows` with the keys that they are known by."""
        if self._known.keys().isdisjoint(row.name for row in rows):
            return [*rows]
        present = {row.key for row in rows}
        return [self._of(row, present) if row.name in self._known else row for row in rows]

    def _add(self, name: str, created_ms: int, key: int) -> None:
        self._known.setdefault(name, []).append((created_ms == NO_TIME, created_ms, key))

    def _of(self, row: Row, present: Collection[int]) -> Row:
        known = sorted(self._known[row.name], reverse=True)
        if row.record is None or any(key == row.key for _, _, key in known):
            return row
        for is_undated, created_ms, key in known:
            is_told = row.created_ms != NO_TIME
            is_near = abs(row.created_ms - created_ms) <= TOLERANCE_MS
            if (is_undated or not is_told or is_near) and key not in present:
                known_ms = row.created_ms if is_told else created_ms
                return structs.replace(row, key=key, created_ms=known_ms)
        return row


def dated(row: Row) -> Row:
    """Return a row with the key of its create time, if it is known by another one."""
    if row.kind is None or row.created_ms == NO_TIME:
        return row
    key = row_key(row.name, row.created_ms)
    return row if key == row.key else structs.replace(row, key=key)
