"""From the records of one scan to the rows they change.

Batches are counted as they come, since usage that was reported is true whether or not the scan
reaches its end. Two conclusions need the whole scan: which sessions are gone, and whose record it
is that bears an earlier create time than a known session of its id.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

from exporter.ledger.counting import SessionRow, new_row, unlisted_row, updated_row
from exporter.ledger.matching import SessionKey, age, is_created_at, match
from exporter.ledger.session_table import SessionTable, is_unchanged
from exporter.model import LivySession

RowChange = tuple[SessionRow | None, SessionRow]
"""A row as it was (`None` if there was none) and as it becomes."""


class ScanTracker:
    """What one scan has seen so far: rows known before it began, and rows it added."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._added: set[int] = set()
        self._began_empty: bool | None = None
        self.deferred: list[LivySession] = []
        """Records whose session is known only at the end of the scan."""

    def __len__(self) -> int:
        """Return the number of sessions that the scan has seen."""
        return len(self._seen) + len(self._added)

    def begin(self, table: SessionTable, *, has_contact: bool) -> None:
        """Note, at the first batch, whether any session is known.

        Of a gateway with a contact some nearly always are, and to ask costs a round trip.
        """
        if self._began_empty is None:
            self._began_empty = not has_contact and table.is_empty()

    def may_know(self, session_id: str) -> bool:
        """Whether there may be a row of an id; the first row of an id has serial 0."""
        return not self._began_empty or self.has_seen(session_id, 0)

    def has_seen(self, session_id: str, serial: int) -> bool:
        """Whether the scan has seen a session."""
        key = hash((session_id, serial))
        return key in self._seen or key in self._added

    def mark_seen(self, session_id: str, serials: Iterable[int]) -> None:
        """Note that the scan has seen sessions of an id that had a row."""
        for serial in serials:
            key = hash((session_id, serial))
            if key not in self._added:
                self._seen.add(key)

    def mark_added(self, session_id: str, serials: Iterable[int]) -> None:
        """Note that the scan has added rows of an id."""
        for serial in serials:
            self._added.add(hash((session_id, serial)))

    def classify(
        self, rows: Sequence[SessionRow], records: Sequence[LivySession]
    ) -> tuple[list[LivySession], list[LivySession]]:
        """Split records of an id into those that may have a row, and those of new sessions.

        A record that is older than the newest known session of its id belongs either to that
        session, whose create time was corrected, or to a session of its own. Which of the two
        depends on whether another record of the scan belongs to that session; until that is
        known, the record is deferred.
        """
        if not rows:
            return [*records], []
        newest = self._newest_known(rows)
        unmatched = [record for record in records if _is_unmatched(record, rows)]
        rest = [record for record in records if record not in unmatched]
        if newest is not None and self._is_unclaimed(newest, rest):
            claims = [record for record in unmatched if _may_claim(record, newest)]
            self.deferred += claims
            unmatched = [record for record in unmatched if record not in claims]
        return rest, unmatched

    def resolve(
        self, rows: Sequence[SessionRow], records: Sequence[LivySession]
    ) -> tuple[SessionRow, list[LivySession], list[LivySession]]:
        """Split deferred records of an id into those of the newest row, and those of new sessions.

        Returns that row first.
        """
        newest = self._newest_known(rows) or max(rows, key=age)
        if not self._is_unclaimed(newest, ()):
            return newest, [], [*records]
        matches = list(match([newest], records))
        own = [record for row, some in matches if row is not None for record in some]
        return newest, own, [record for row, some in matches if row is None for record in some]

    def _newest_known(self, rows: Sequence[SessionRow]) -> SessionRow | None:
        known = [row for row in rows if hash((row.session_id, row.serial)) not in self._added]
        return max(known, key=age, default=None)

    def _is_unclaimed(self, row: SessionRow, records: Iterable[LivySession]) -> bool:
        """Whether no record of the scan belongs to a session so far."""
        is_seen = self.has_seen(row.session_id, row.serial)
        return not is_seen and not any(_is_of(record, row) for record in records)


def _is_unmatched(record: LivySession, rows: Sequence[SessionRow]) -> bool:
    return record.created_ms is not None and not any(_is_of(record, row) for row in rows)


def _may_claim(record: LivySession, newest: SessionRow) -> bool:
    """Whether a record may belong to a session whose create time differs."""
    created = record.created_ms
    return newest.created_ms is None or (created is not None and created < newest.created_ms)


def _is_of(record: LivySession, row: SessionRow) -> bool:
    return record.created_ms is not None and is_created_at(row, record.created_ms)


def rows_changed_by(
    records: Sequence[LivySession], table: SessionTable, tracker: ScanTracker, at: float | None
) -> Iterator[RowChange]:
    """Yield what a batch of records changes; `at` is the time of events, if they are any."""
    tracker.begin(table, has_contact=at is not None)
    groups = _grouped(records)
    glances = table.glances([*filter(tracker.may_know, groups)])
    other: dict[str, list[LivySession]] = {}
    for session_id, some in groups.items():
        known = glances.get(session_id, [])
        if not known and len(some) == 1:
            tracker.mark_added(session_id, (0,))
            yield None, new_row(some[0], 0, at)
        elif len(known) == len(some) == 1 and is_unchanged(known[0], some[0]):
            tracker.mark_seen(session_id, (known[0][-1],))
        else:
            other[session_id] = some
    rows_by_id = table.rows_of(other.keys() & glances.keys())
    for session_id, some in other.items():
        rows = rows_by_id.get(session_id, [])
        yield from _changes(rows, *tracker.classify(rows, some), tracker, at)


def rows_resolved(
    table: SessionTable, tracker: ScanTracker, at: float | None
) -> Iterator[RowChange]:
    """Yield what the deferred records change, at the end of a scan."""
    groups = _grouped(tracker.deferred)
    rows_by_id = table.rows_of(groups.keys())
    for session_id, some in groups.items():
        rows = rows_by_id[session_id]
        open_records = [record for record in some if _is_unmatched(record, rows)]
        yield from _overtaken([record for record in some if record not in open_records], rows, at)
        if not open_records:
            continue
        newest, own, unmatched = tracker.resolve(rows, open_records)
        yield from _changes([newest], own, [], tracker, at)
        yield from _changes(rows, [], unmatched, tracker, at)


def _overtaken(
    records: Iterable[LivySession], rows: Sequence[SessionRow], at: float | None
) -> Iterator[RowChange]:
    """Yield what deferred records change whose sessions the scan has read again since.

    The later reading stays the latest one; a higher figure of the earlier one counts.
    """
    for before in rows:
        after = before
        for record in records:
            if _is_of(record, before):
                latest = after.latest_nano_cu_hours
                after = updated_row(after, record, at)._replace(latest_nano_cu_hours=latest)
        if after != before:
            yield before, after


def rows_gone(
    table: SessionTable, tracker: ScanTracker, unreadable: Collection[str], at: float
) -> Iterator[RowChange]:
    """Yield the rows of listed sessions that a whole scan has not seen."""
    if table.count_listed() == len(tracker):
        return  # all that was seen is listed
    gone = {
        key for key in table.listed() if key[0] not in unreadable and not tracker.has_seen(*key)
    }
    for rows in table.rows_of({session_id for session_id, _ in gone}).values():
        yield from (
            (row, unlisted_row(row, at)) for row in rows if (row.session_id, row.serial) in gone
        )


def rows_left(
    table: SessionTable, tracker: ScanTracker, keys: Collection[SessionKey], at: float
) -> Iterator[RowChange]:
    """Yield the rows of listed sessions that are known to have left.

    A record that could not be read has told no create time. It was that of the one session of its
    id, if it is only one, that is listed and that the scan has not seen.
    """
    left: dict[tuple[str, int], SessionRow] = {}
    rows_by_id = table.rows_of({session_id for session_id, _ in keys})
    for session_id, created_ms in keys:
        listed = [row for row in rows_by_id[session_id] if row.unlisted_at is None]
        found = [row for row in listed if is_created_at(row, created_ms)]
        if created_ms is None:
            unseen = [row for row in listed if not tracker.has_seen(session_id, row.serial)]
            found = unseen if len(unseen) == 1 else []
        left |= {(session_id, row.serial): row for row in found}
    yield from ((row, unlisted_row(row, at)) for row in left.values())


def _changes(
    rows: Sequence[SessionRow],
    records: Sequence[LivySession],
    unmatched: Sequence[LivySession],
    tracker: ScanTracker,
    at: float | None,
) -> Iterator[RowChange]:
    """Yield the rows of one id that change; `unmatched` are of sessions without a row."""
    before = {row.serial: row for row in rows}
    after = _after(rows, records, max(before, default=-1) + 1, at)
    after |= _after((), unmatched, max((*before, *after), default=-1) + 1, at)
    if after:
        session_id = (*records, *unmatched)[0].session_id
        tracker.mark_seen(session_id, after.keys() & before.keys())
        tracker.mark_added(session_id, after.keys() - before.keys())
    for serial, row in after.items():
        if row != before.get(serial):
            yield before.get(serial), row


def _after(
    rows: Sequence[SessionRow],
    records: Sequence[LivySession],
    next_serial: int,
    at: float | None,
) -> dict[int, SessionRow]:
    """Return the rows that records of one id belong to, as they become, by serial."""
    after: dict[int, SessionRow] = {}
    for known, some in match(rows, records) if records else ():
        row = known or new_row(some.pop(0), next_serial, at)
        next_serial += known is None
        for record in some:
            row = updated_row(row, record, at)
        after[row.serial] = row
    return after


def _grouped(records: Sequence[LivySession]) -> dict[str, list[LivySession]]:
    groups: dict[str, list[LivySession]] = {}
    for record in records:
        groups.setdefault(record.session_id, []).append(record)
    return groups
