"""What is remembered of a history, in columns: 100,000 rows take a few megabytes. Pure.

Only rows that have to be read again, or have series of their own, are kept as records.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import accumulate, pairwise

from exporter.ledger import SessionKey
from exporter.model import LivySession
from exporter.sources.livy_sessions.rows import NO_TIME, Kind, Row, changed_keys
from exporter.sources.livy_sessions.settling import SettlePolicy, Watched

_TOLERATED = 100
"""One step in so many may go the wrong way: a create time may be set before its row is."""


class Order(Enum):
    """The order of a listing, from its first row on: not documented, so it is observed."""

    NEWEST_FIRST = "newest first"
    OLDEST_FIRST = "oldest first"


def observe(created: Iterable[int]) -> Order | None:
    """Tell the order of a listing by its create times; `None` where there is none to rely on.

    Steps between equal times, and rows without one, say nothing. A few steps in the wrong
    direction do no harm: what a poll relies on is that new rows come in at one end, and every
    poll checks that.
    """
    known = [each for each in created if each != NO_TIME]
    up = sum(later > earlier for earlier, later in pairwise(known))
    down = sum(later < earlier for earlier, later in pairwise(known))
    if down > up * _TOLERATED:
        return Order.NEWEST_FIRST
    if up > down * _TOLERATED:
        return Order.OLDEST_FIRST
    return None


@dataclass(frozen=True, slots=True)
class Change:
    """What has become of the known rows: the line without its first `gone` is what is listed.

    The line is the first `kept` of the known rows and then `tail`, from old to new. `found` are
    those of the kept rows, by index, that were read, and are watched or of another kind.
    """

    gone: int
    kept: int
    tail: Sequence[Row]
    found: Mapping[int, Row]


@dataclass(frozen=True, slots=True)
class History:
    """The rows of one listing, from old to new. Every column has one entry for each row.

    `kinds` are places in `legend`. `places` has the index of each row that is `watched`,
    `newest` the newest create time of each id that was seen with several.
    """

    order: Order | None
    keys: "array[int]"
    created: "array[int]"
    kinds: "array[int]"
    names: "Texts"
    legend: Sequence[Kind]
    watched: Mapping[int, Watched]
    places: Mapping[int, int]
    newest: Mapping[str, int]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.keys)

    def kind(self, index: int) -> Kind:
        """Return queue and state of a row."""
        return self.legend[self.kinds[index]]

    def counts(self) -> Counter[tuple[str, str]]:
        """Count the readable rows by queue and state."""
        counted = Counter(self.kinds)
        kinds = {kind: counted[at] for at, kind in enumerate(self.legend) if kind is not None}
        return Counter({kind: count for kind, count in kinds.items() if count})

    def unsettled(self) -> list[int]:
        """Return the indices of the rows that have to be read again."""
        return [self.places[key] for key, row in self.watched.items() if not row.is_settled]

    def records(self) -> Iterator[LivySession]:
        """Yield the records that are kept, except those of an id's former sessions."""
        for row in self.watched.values():
            record = row.record
            if record is not None and not self._is_former(record):
                yield record

    def left(self, change: Change) -> list[SessionKey]:
        """Return id and create time of the rows that are gone."""
        gone = range(min(change.gone, change.kept))
        rows = ((self.names[at], self.created[at]) for at in gone if self.kind(at) is not None)
        return [(name, None if created == NO_TIME else created) for name, created in rows]

    def advanced(self, change: Change, policy: SettlePolicy) -> "History":
        """Return the history after a change."""
        gone, kept = change.gone, change.kept
        more = change.tail[max(0, gone - kept) :]
        legend = Legend(self.legend)
        kinds, created = self.kinds[gone:kept], self.created[gone:kept]
        for index, row in change.found.items():
            if index >= gone:
                kinds[index - gone] = legend.place(row.kind)
                created[index - gone] = max(row.created_ms, created[index - gone])
        kinds.extend(legend.place(row.kind) for row in more)
        read = {**change.found, **dict(enumerate(change.tail, kept))}
        places = {**self.places, **{row.key: index for index, row in read.items()}}
        watched = {
            key: row
            for key, row in self._watched_after(read.values(), policy).items()
            if places[key] >= gone
        }
        return History(
            self.order,
            self.keys[gone:kept] + array("q", (row.key for row in more)),
            created + array("q", (row.created_ms for row in more)),
            kinds,
            self.names.spliced(gone, kept, (encoded(row.name) for row in more)),
            legend.kinds,
            watched,
            {key: places[key] - gone for key in watched},
            {**self.newest, **self._repeated_among(more)},
        ).renamed(read.values())

    def renamed(self, rows: Iterable[Row]) -> "History":
        """Return the history with the keys of now for `rows` whose create time has changed."""
        new = changed_keys(rows)
        if not new:
            return self
        keys = self.keys[:]
        for before, now in new.items():
            if before in keys:
                keys[keys.index(before)] = now
        watched = {new.get(key, key): row for key, row in self.watched.items()}
        places = {new.get(key, key): place for key, place in self.places.items()}
        return replace(self, keys=keys, watched=watched, places=places)

    def _watched_after(self, read: Iterable[Row], policy: SettlePolicy) -> dict[int, Watched]:
        watched = policy.unread(self.watched)
        for row in read:
            watched.pop(row.key, None)
            found = policy.judge(self.watched.get(row.key), row)
            if found is not None:
                watched[row.key] = found
        return watched

    def _is_former(self, record: LivySession) -> bool:
        created = self.newest.get(record.session_id)
        return created is not None and record.created_ms is not None and record.created_ms < created

    def _repeated_among(self, rows: Iterable[Row]) -> Mapping[str, int]:
        """Return the newest create time of each id that `rows` share with others."""
        known = ((self.names[at], self.created[at]) for at in self.places.values())
        return newest_of_repeated((*known, *((row.name, row.created_ms) for row in rows)))


def newest_of_repeated(rows: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the newest create time of each id that occurs with several."""
    newest: dict[str, int] = {}
    repeated: dict[str, int] = {}
    for name, created in rows:
        before = newest.setdefault(name, created)
        if created != before:
            newest[name] = repeated[name] = max(created, before)
    return repeated


class Legend:
    """Numbers the kinds in order of first sight."""

    def __init__(self, kinds: Sequence[Kind] = (None,)) -> None:
        self._places = {kind: at for at, kind in enumerate(kinds)}

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds, each at its place."""
        return tuple(self._places)

    def place(self, kind: Kind) -> int:
        """Return the number of a kind."""
        return self._places.setdefault(kind, len(self._places))


class Texts(Sequence[str]):
    """Many short texts in one piece of memory; as immutable as a tuple."""

    __slots__ = ("_data", "_ends", "_skipped")

    def __init__(self, data: bytes, ends: "array[int]", skipped: int = 0) -> None:
        """Take texts one behind the other, where each ends, and how many do not count."""
        self._data = data
        self._ends = ends
        self._skipped = skipped

    @classmethod
    def of(cls, texts: Iterable[bytes]) -> "Texts":
        """Pack texts, each encoded by `encoded`."""
        return cls(*_packed(texts, 0))

    def __len__(self) -> int:
        return len(self._ends) - self._skipped

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # no slices: see spliced
        return self._piece(index).decode("utf-8", "surrogatepass")

    def spliced(self, gone: int, kept: int, more: Iterable[bytes]) -> "Texts":
        """Return the texts from `gone` up to `kept`, and then `more`."""
        first, stop = self._skipped + gone, self._skipped + max(kept, gone)
        if first > len(self._ends) // 2:  # what was skipped costs more than a copy
            return Texts.of([*map(self._piece, range(gone, kept)), *more])
        end = self._ends[stop - 1] if stop else 0
        data, ends = _packed(more, end)
        return Texts(self._data[:end] + data, self._ends[:stop] + ends, first)

    def _piece(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(index)
        at = index + self._skipped
        start = self._ends[at - 1] if at else 0
        return self._data[start : self._ends[at]]


def encoded(text: str) -> bytes:
    """Return a text as it is packed; it may hold what is not valid Unicode."""
    return text.encode("utf-8", "surrogatepass")


def _packed(texts: Iterable[bytes], start: int) -> tuple[bytes, "array[int]"]:
    pieces = [*texts]
    ends = array("Q", accumulate(map(len, pieces), initial=start))
    del ends[0]
    return b"".join(pieces), ends
