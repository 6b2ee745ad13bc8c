"""Rows in columns, in chunks that are shared with the columns derived from them. Pure.

100,000 rows take a few megabytes, and a change costs no more than the chunks that it touches.
"""

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, groupby, islice

from exporter.sources.livy_sessions.rows import Kind, Row, dated

CHUNK_ROWS = 512


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Up to `CHUNK_ROWS` rows, at least one; `kinds` are places in `legend`, `names` are JSON."""

    keys: "array[int]"
    created: "array[int]"
    kinds: "array[int]"
    legend: Sequence[Kind]
    names: str
    oldest: int
    newest: int

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "_Chunk":
        keys = array("q", [row.key for row in rows])
        created = array("q", [row.created_ms for row in rows])
        places: dict[Kind, int] = {}
        kinds = array("H", [places.setdefault(row.kind, len(places)) for row in rows])
        names = json.dumps([row.name for row in rows])
        return cls(keys, created, kinds, (*places,), names, min(created), max(created))

    def rows(self) -> list[Row]:
        names = json.loads(self.names)
        kinds = map(self.legend.__getitem__, self.kinds)
        columns = zip(names, self.created, kinds, self.keys, strict=True)
        return [Row(name, None, created, kind, key) for name, created, kind, key in columns]


class Columns:
    """Rows without their records, by index; as immutable as a tuple."""

    __slots__ = ("_chunks", "_skipped", "counts")

    def __init__(
        self, chunks: Sequence[_Chunk], skipped: int, counts: "Mapping[Kind, int]"
    ) -> None:
        """Take chunks that are full but for the last, and how many rows at the start are gone."""
        self._chunks = chunks
        self._skipped = skipped
        self.counts = counts
        """The number of rows of each kind."""

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Columns":
        """Pack rows."""
        return cls((), 0, {}).spliced(0, 0, rows)

    def __len__(self) -> int:
        full, last = self._chunks[:-1], self._chunks[-1:]
        return len(full) * CHUNK_ROWS + sum(len(chunk.keys) for chunk in last) - self._skipped

    def __contains__(self, row: Row) -> bool:
        # A key is made of a create time, so only chunks of that time can have it.
        is_anywhere = dated(row).key != row.key
        return any(
            row.key in (chunk.keys if number else chunk.keys[self._skipped :])
            for number, chunk in enumerate(self._chunks)
            if is_anywhere or chunk.oldest <= row.created_ms <= chunk.newest
        )

    def key(self, index: int) -> int:
        """Return the key of a row."""
        number, at = divmod(self._skipped + index, CHUNK_ROWS)
        return self._chunks[number].keys[at]

    def created(self, index: int) -> int:
        """Return the create time of a row."""
        number, at = divmod(self._skipped + index, CHUNK_ROWS)
        return self._chunks[number].created[at]

    def kind(self, index: int) -> Kind:
        """Return queue and state of a row."""
        number, at = divmod(self._skipped + index, CHUNK_ROWS)
        chunk = self._chunks[number]
        return chunk.legend[chunk.kinds[at]]

    def index(self, key: int, start: int) -> int | None:
        """Return the index of a key from `start` on; `None` if it is not there."""
        number, at = divmod(self._skipped + start, CHUNK_ROWS)
        for chunk in self._chunks[number:]:
            with suppress(ValueError):
                return number * CHUNK_ROWS + chunk.keys.index(key, at) - self._skipped
            number, at = number + 1, 0
        return None

    def between(self, start: int, stop: int) -> Iterator[Row]:
        """Yield the rows from `start` up to `stop`."""
        number, at = divmod(self._skipped + start, CHUNK_ROWS)
        rows = chain.from_iterable(chunk.rows() for chunk in self._chunks[number:])
        return islice(rows, at, at + stop - start)

    def replaced(self, rows: Mapping[int, Row]) -> "Columns":
        """Return these rows with others at some indices."""
        chunks, counts = [*self._chunks], Counter(self.counts)
        counts.subtract(map(self.kind, rows))
        counts.update(row.kind for row in rows.values())
        places = {self._skipped + index: row for index, row in rows.items()}
        for number, inside in groupby(sorted(places), lambda place: place // CHUNK_ROWS):
            content = chunks[number].rows()
            for place in inside:
                content[place % CHUNK_ROWS] = places[place]
            chunks[number] = _Chunk.of(content)
        return Columns(chunks, self._skipped, +counts)

    def spliced(self, gone: int, kept: int, more: Iterable[Row]) -> "Columns":
        """Return the rows from `gone` up to `kept`, and then `more`."""
        counts = Counter(self.counts)
        counts.subtract(map(self.kind, chain(range(gone), range(kept, len(self)))))
        first, skipped = divmod(self._skipped + gone, CHUNK_ROWS)
        last, used = divmod(self._skipped + kept, CHUNK_ROWS)

        def rest() -> Iterator[Row]:
            if used:
                yield from self._chunks[last].rows()[:used]
            for row in more:
                counts[row.kind] += 1
                yield row

        rows = rest()
        made = map(_Chunk.of, iter(lambda: [*islice(rows, CHUNK_ROWS)], []))
        return Columns((*self._chunks[first:last], *made), skipped, +counts)
