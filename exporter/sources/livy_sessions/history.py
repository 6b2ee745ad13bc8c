"""The known rows of a listing. Pure.

Records are kept only of rows that have to be read again or have series of their own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from exporter.ledger import TOLERANCE_MS, SessionKey
from exporter.model import LivySession
from exporter.sources.livy_sessions.columns import Columns
from exporter.sources.livy_sessions.rows import NO_TIME, Identities, Row, dated
from exporter.sources.livy_sessions.settling import SettlePolicy, Watched

_TOLERATED = 100
"""One step in so many may go the wrong way: a create time may be set before its row is."""


class Order(Enum):
    """The order of a listing, which is not documented, and therefore observed."""

    NEWEST_FIRST = "newest first"
    OLDEST_FIRST = "oldest first"


def order_of(created: Iterable[int]) -> Order | None:
    """Return the order of a listing by its create times; `None` if there is none to rely on.

    Equal and missing times are ignored. A few steps in the wrong direction do no harm: polls rely
    on new rows coming in at one end, and each poll checks that.
    """
    known = [created_ms for created_ms in created if created_ms != NO_TIME]
    up = sum(later > earlier for earlier, later in pairwise(known))
    down = sum(later < earlier for earlier, later in pairwise(known))
    if down > up * _TOLERATED:
        return Order.NEWEST_FIRST
    if up > down * _TOLERATED:
        return Order.OLDEST_FIRST
    return None


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a listing, from old to new.

    The rows are now the first `kept` known ones and then `tail`, without the first `gone` of all
    these. `found` are those of the kept rows, by index, that were read, and are watched or of
    another kind.
    """

    gone: int
    kept: int
    tail: Sequence[Row]
    found: Mapping[int, Row]


@dataclass(frozen=True, slots=True)
class History:
    """The rows of one listing, from old to new.

    `places` has the index of each row that is `watched`, `newest` the newest create time of each
    id that was seen with several.
    """

    order: Order | None
    rows: Columns
    watched: Mapping[int, Watched]
    places: Mapping[int, int]
    newest: Mapping[str, int]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Count the readable rows by queue and state."""
        return {kind: count for kind, count in self.rows.counts.items() if kind is not None}

    def unsettled(self) -> list[int]:
        """Return the indices of the rows that have to be read again."""
        return [self.places[key] for key, row in self.watched.items() if not row.is_settled]

    def records(self) -> Iterator[LivySession]:
        """Yield the records that are kept, except those of an id's former sessions."""
        for row in self.watched.values():
            record = row.record
            if record is not None and not self._is_former(record):
                yield record

    def identities(self) -> Identities:
        """Return how the sessions that are kept as records are recognised."""
        return Identities(self._watched_sessions())

    def left(self, change: Change) -> list[SessionKey]:
        """Return id and create time of the rows that are gone."""
        return [row.session for row in self.rows.between(0, min(change.gone, change.kept))]

    def advanced(self, change: Change, policy: SettlePolicy) -> "History":
        """Return the history after a change."""
        gone, kept = min(change.gone, change.kept), change.kept
        tail = [*map(dated, change.tail[change.gone - gone :])]
        changed = {
            index: row
            for index, row in zip(change.found, map(dated, change.found.values()), strict=True)
            if row.key != self.rows.key(index) or row.kind != self.rows.kind(index)
        }
        read = {**change.found, **dict(enumerate(change.tail, kept))}
        places = {**self.places, **{row.key: index for index, row in read.items()}}
        keys = {row.key: dated(row).key for row in read.values()}
        watched = {**self.watched}
        policy.judge_all(read.values(), watched)
        watched = policy.still_watched(watched)
        watched = {key: row for key, row in watched.items() if places[key] >= change.gone}
        return History(
            self.order,
            self.rows.replaced(changed).spliced(gone, kept, tail),
            {keys.get(key, key): row for key, row in watched.items()},
            {keys.get(key, key): places[key] - change.gone for key in watched},
            {**self.newest, **self._repeated_among(tail)},
        )

    def _is_former(self, record: LivySession) -> bool:
        created = self.newest.get(record.session_id)
        if created is None or record.created_ms is None:
            return False
        return record.created_ms + TOLERANCE_MS < created

    def _repeated_among(self, rows: Iterable[Row]) -> Mapping[str, int]:
        """Return the newest create time of each id that `rows` share with others."""
        known = ((name, created_ms) for name, created_ms, _ in self._watched_sessions())
        return newest_of_repeated((*known, *((row.name, row.created_ms) for row in rows)))

    def _watched_sessions(self) -> Iterator[tuple[str, int, int]]:
        """Yield id, create time and key of the rows that are kept as records."""
        for key, row in self.watched.items():
            if row.record is not None:
                yield row.record.session_id, self.rows.created(self.places[key]), key


def newest_of_repeated(rows: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the newest create time of each id that occurs with several."""
    newest: dict[str, int] = {}
    repeated: dict[str, int] = {}
    for name, created in rows:
        before = newest.setdefault(name, created)
        if created != before:
            newest[name] = repeated[name] = max(created, before)
    return repeated
