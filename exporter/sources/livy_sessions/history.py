"""What is remembered of a history, in columns: 100,000 rows take a few megabytes. Pure.

Only rows that have to be read again, or have series of their own, are kept as records.
"""

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Self

import msgspec
from msgspec import structs

from exporter.ledger import TOLERANCE_MS
from exporter.model import LivySession
from exporter.sources.livy_sessions.columns import Texts
from exporter.sources.livy_sessions.order import NO_TIME, Order, observe
from exporter.sources.livy_sessions.planner import Outcome

Kind = tuple[str, str] | None
"""Queue and state; `None` for a row that could not be read."""

_NO_KIND: tuple[Kind, ...] = (None,)


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row of a page. One that could not be read has a name of the parser's instead of an id.

    `created_ms` is `NO_TIME` where it is not known, `kind` what the row is counted under. The
    `digest` tells rows apart: ids may be reused by sessions created later.
    """

    name: str
    record: LivySession | None
    created_ms: int
    kind: Kind
    digest: int

    @classmethod
    def of(cls, record: LivySession) -> Self:
        """Make the row of a session."""
        name = record.session_id
        created = NO_TIME if record.created_ms is None else record.created_ms
        kind = record.queue, record.state
        return cls(name, record, created, kind, hash((name, created, False)))

    @classmethod
    def unreadable(cls, name: str) -> Self:
        """Make a row of which no more than a name is known."""
        return cls(name, None, NO_TIME, None, hash((name, NO_TIME, True)))


@dataclass(frozen=True, slots=True)
class Watched:
    """A row that is kept as a record.

    `changed_at` is when it was last seen to change, in monotonic seconds. Once `is_settled`
    it is not read again, but may still have series of its own.
    """

    record: LivySession | None
    changed_at: float
    is_settled: bool


@dataclass(frozen=True, slots=True)
class History:
    """The rows of one listing, from old to new. Every column has one entry for each row.

    `kinds` are places in `legend`. `places` has the index of each row that is `watched`,
    `newest` the newest create time of each id that was seen with several.
    """

    order: Order | None
    digests: "array[int]"
    created: "array[int]"
    kinds: "array[int]"
    names: Texts
    legend: Sequence[Kind]
    watched: Mapping[int, Watched]
    places: Mapping[int, int]
    newest: Mapping[str, int]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.digests)

    def counts(self) -> Counter[tuple[str, str]]:
        """Count the readable rows by queue and state."""
        counted = Counter(self.kinds)
        kinds = {kind: counted[at] for at, kind in enumerate(self.legend) if kind is not None}
        return Counter({kind: count for kind, count in kinds.items() if count})

    def wanted(self) -> list[int]:
        """Give the indices of the rows that have to be read again."""
        return [self.places[digest] for digest, row in self.watched.items() if not row.is_settled]

    def records(self) -> Iterator[LivySession]:
        """Give the records that are kept, but not those of an id's former sessions."""
        for row in self.watched.values():
            record = row.record
            if record is not None and not self._is_former(record):
                yield record

    def left(self, outcome: Outcome) -> list[tuple[str, int | None]]:
        """Give id and create time of the rows that an outcome says are gone."""
        gone = range(min(outcome.gone, outcome.kept))
        rows = ((self.names[at], self.created[at], self.legend[self.kinds[at]]) for at in gone)
        return [
            (name, None if created == NO_TIME else created)
            for name, created, kind in rows
            if kind is not None
        ]

    def advanced(
        self, outcome: Outcome, rows: Mapping[int, Row], watched: Mapping[int, Watched]
    ) -> "History":
        """Give the history after a short poll that read `rows`; `watched` are those of now."""
        gone, kept, tail = outcome.gone, outcome.kept, outcome.tail
        more = [rows[digest] for digest in tail[max(0, gone - kept) :]]
        legend = _Legend(self.legend)
        kinds, created = self.kinds[gone:kept], self.created[gone:kept]
        for digest, place in outcome.places.items():
            if gone <= place < kept:
                kinds[place - gone] = legend.place(rows[digest].kind)
                if rows[digest].created_ms != NO_TIME:
                    created[place - gone] = rows[digest].created_ms
        kinds.extend(legend.place(row.kind) for row in more)
        return History(
            self.order,
            self.digests[gone:kept] + array("q", (row.digest for row in more)),
            created + array("q", (row.created_ms for row in more)),
            kinds,
            self.names.spliced(gone, kept, (row.name for row in more)),
            legend.kinds,
            watched,
            {each: outcome.places.get(each, self.places.get(each, 0)) - gone for each in watched},
            self._newest_with(more),
        )

    def renamed(self, rows: Iterable[Row]) -> "History":
        """Give the history with the identity of now for `rows` whose create time has changed."""
        names = _new_names(rows)
        if not names:
            return self
        digests = self.digests[:]
        for old, new in names.items():
            digests[digests.index(old)] = new
        watched = {names.get(digest, digest): row for digest, row in self.watched.items()}
        places = {names.get(digest, digest): place for digest, place in self.places.items()}
        return replace(self, digests=digests, watched=watched, places=places)

    def _is_former(self, record: LivySession) -> bool:
        created = self.newest.get(record.session_id)
        return created is not None and record.created_ms is not None and record.created_ms < created

    def _newest_with(self, rows: Iterable[Row]) -> Mapping[str, int]:
        """Note which of `rows`, or of the watched ones, are of an id with another row."""
        by_id: dict[str, set[int]] = {}
        kept = (Row.of(each.record) for each in self.watched.values() if each.record)
        for row in (*kept, *rows):
            by_id.setdefault(row.name, set()).add(row.created_ms)
        more = {name: max(created) for name, created in by_id.items() if len(created) > 1}
        return {**self.newest, **more} if more else self.newest


class Identities:
    """Recognises sessions whose create time is told late, or not every time.

    As in the ledger, a row without it is one of the newest session of its id, and a second more
    or less makes no difference. Only watched rows are known here: the others have settled.
    """

    def __init__(self, watched: Mapping[int, Watched] = MappingProxyType({})) -> None:
        self._known: dict[str, list[tuple[int, int]]] = {}
        """Create time and digest by id."""
        for digest, row in watched.items():
            if row.record is not None:
                self._add(structs.replace(Row.of(row.record), digest=digest))

    def add_undated(self, rows: Iterable[Row]) -> None:
        """Remember those of `rows` that have no create time."""
        for row in rows:
            if row.created_ms == NO_TIME and row.record is not None:
                self._add(row)

    def of(self, rows: Sequence[Row]) -> list[Row]:
        """Give `rows` the identity that they are known by."""
        present = {row.digest for row in rows}
        known = self._known
        return [self._of(row, present) if row.name in known else row for row in rows]

    def _add(self, row: Row) -> None:
        self._known.setdefault(row.name, []).append((row.created_ms, row.digest))

    def _of(self, row: Row, present: Collection[int]) -> Row:
        if row.record is None:
            return row
        known = sorted(self._known[row.name], key=_newest_first)
        if any(digest == row.digest for _, digest in known):
            return row
        for created_ms, digest in known:
            is_undated = NO_TIME in {row.created_ms, created_ms}
            is_same = is_undated or abs(row.created_ms - created_ms) <= TOLERANCE_MS
            if is_same and digest not in present:
                return structs.replace(row, digest=digest)
        return row


def _new_names(rows: Iterable[Row]) -> dict[int, int]:
    """Give the digest by the create time of now for each row that is known under another one."""
    dated = ((row, hash((row.name, row.created_ms, False))) for row in rows if row.record)
    return {
        row.digest: digest
        for row, digest in dated
        if row.created_ms != NO_TIME and row.digest != digest
    }


def _newest_first(known: tuple[int, int]) -> float:
    created_ms, _ = known
    return float("-inf") if created_ms == NO_TIME else -created_ms


class _Legend:
    """Numbers the kinds in order of first sight."""

    def __init__(self, kinds: Sequence[Kind] = _NO_KIND) -> None:
        self._places = {kind: at for at, kind in enumerate(kinds)}

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return tuple(self._places)

    def place(self, kind: Kind) -> int:
        return self._places.setdefault(kind, len(self._places))


class HistoryBuilder:
    """Gathers the rows of a complete walk in the order in which they are first seen."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._created = array("q")
        self._kinds = array("I")
        self._names: list[bytes] = []
        self._legend = _Legend()
        self._late: set[int] = set()
        self._redated: list[Row] = []

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._places)

    def add(self, rows: Iterable[Row], *, is_late: bool) -> None:
        """Add the rows of a page, or read them again; `is_late` where it is not the deepest."""
        places, kinds, place_of = self._places, self._kinds, self._legend.place
        for row in rows:
            next_place = len(kinds)
            place = places.setdefault(row.digest, next_place)
            if place < next_place:
                kinds[place] = place_of(row.kind)
                if row.created_ms not in {NO_TIME, self._created[place]}:
                    self._created[place] = row.created_ms
                    self._redated.append(row)
                continue
            kinds.append(place_of(row.kind))
            self._created.append(row.created_ms)
            self._names.append(row.name.encode("utf-8", "surrogatepass"))
            if is_late:
                self._late.add(place)

    def build(self, watched: Mapping[int, Watched]) -> History:
        """Give the history that the walk has found."""
        on_time = [at for at in range(len(self._kinds)) if at not in self._late]
        order = observe([*map(self._created.__getitem__, on_time)])
        places = self._from_old_to_new(on_time, order)
        digests = array("q", self._places)
        names = [self._names[at].decode("utf-8", "surrogatepass") for at in places]
        return History(
            order,
            array("q", map(digests.__getitem__, places)),
            array("q", map(self._created.__getitem__, places)),
            array("I", map(self._kinds.__getitem__, places)),
            Texts.of(names),
            self._legend.kinds,
            watched,
            self._indices(watched, places),
            self._newest(names, places),
        ).renamed(self._redated)

    def _from_old_to_new(self, on_time: list[int], order: Order | None) -> list[int]:
        """Put rows that were found late where their create time says; they are few."""
        places = on_time[::-1] if order is Order.NEWEST_FIRST else on_time
        if order is None:
            return [*places, *sorted(self._late)]
        late = sorted(self._late, key=self._created.__getitem__)
        merged: list[int] = []
        for at in places:
            while late and self._created[late[0]] < self._created[at]:
                merged.append(late.pop(0))
            merged.append(at)
        return [*merged, *late]

    def _indices(self, watched: Mapping[int, Watched], places: Sequence[int]) -> dict[int, int]:
        """Give where each watched row stands in a row of places."""
        index_of = {at: index for index, at in enumerate(places)}
        return {digest: index_of[self._places[digest]] for digest in watched}

    def _newest(self, names: Sequence[str], places: Sequence[int]) -> dict[str, int]:
        if len(set(names)) == len(names):
            return {}
        repeated = {name for name, count in Counter(names).items() if count > 1}
        newest: dict[str, int] = {}
        for name, at in zip(names, places, strict=True):
            if name in repeated:
                newest[name] = max(newest.get(name, NO_TIME), self._created[at])
        return newest
