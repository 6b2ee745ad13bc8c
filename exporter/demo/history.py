"""The list of Livy sessions of one gateway, in the order in which it is served."""

import bisect
import enum
import hashlib
from collections.abc import Iterator
from itertools import islice
from typing import TypeAlias

from exporter.demo.records import SessionKey, SimulatedSession

_Rank: TypeAlias = tuple[int, str, int]


class HistoryOrder(enum.Enum):
    """In which order the service lists sessions; the real one is not documented."""

    NEWEST_FIRST = "newest_first"
    OLDEST_FIRST = "oldest_first"
    SHUFFLED = "shuffled"


class SimulatedHistory:
    """Sessions by key, always sorted: no page costs a sort, and rows keep their order."""

    def __init__(self, order: HistoryOrder, seed: int) -> None:
        """Start empty; `seed` decides the shuffled order."""
        self._order = order
        self._seed = seed
        self._rows: dict[SessionKey, SimulatedSession] = {}
        self._ranks: list[tuple[_Rank, SessionKey]] = []

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._rows)

    def __iter__(self) -> Iterator[SimulatedSession]:
        """Walk the rows in the order of listing."""
        return (self._rows[key] for _, key in self._ranks)

    def get(self, key: SessionKey) -> SimulatedSession | None:
        """Find a row."""
        return self._rows.get(key)

    def put(self, session: SimulatedSession) -> None:
        """Insert a row, or replace the one with the same key."""
        if session.key not in self._rows:
            bisect.insort(self._ranks, (self._rank(session.key), session.key))
        self._rows[session.key] = session

    def remove(self, key: SessionKey) -> SimulatedSession:
        """Take a row out."""
        row = self._rows.pop(key)
        del self._ranks[bisect.bisect_left(self._ranks, (self._rank(key), key))]
        return row

    def rows(self, start: int, stop: int) -> list[SimulatedSession]:
        """Return the rows of a range of places."""
        return [self._rows[key] for _, key in self._ranks[start:stop]]

    def oldest(self, count: int) -> list[SessionKey]:
        """Return the keys of the oldest rows by create time."""
        by_age = sorted(self._rows, key=lambda key: (key.create_time_ms, key.session_id))
        return list(islice(by_age, count))

    def older_than(self, create_time_ms: int) -> list[SessionKey]:
        """Return the keys of the rows created before a time."""
        return [key for key in self._rows if key.create_time_ms < create_time_ms]

    def _rank(self, key: SessionKey) -> _Rank:
        match self._order:
            case HistoryOrder.NEWEST_FIRST:
                first = -key.create_time_ms
            case HistoryOrder.OLDEST_FIRST:
                first = key.create_time_ms
            case HistoryOrder.SHUFFLED:
                # A hash, not a generator: a row's place must not depend on what came before.
                name = f"{self._seed}/{key.session_id}/{key.create_time_ms}"
                digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8)
                first = int.from_bytes(digest.digest(), "big")
        return (first, key.session_id, key.create_time_ms)
