"""Where each piece of a page stands, and which chunks have to be made again when some change.

A page is a table: a row for each family of metrics, a column for each part of the snapshot, such
as the gauges of one target. A cell holds the lines of a family in a part. Chunks are cut from
the cells in the order of the page, row by row, and keep their borders while cells change.
"""

from bisect import bisect_right
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import NamedTuple

from exporter.exposition.gzip_chunks import Chunk

_STEP = 1000
"""Units of work, each about a microsecond, after which a pause is due."""

Steps = Generator[None, None, None]
"""Work in steps of about a millisecond, between which an event loop gets its turn."""

Cells = Mapping[int, bytes]
"""The lines of a part by the row of their family."""


class Timeslice:
    """Tells when a pause is due, by the work that was done: the same in every run."""

    def __init__(self) -> None:
        self._done = 0

    def spend(self, units: int) -> bool:
        """Note work of so many units; return whether a pause is due, and begin a new slice then."""
        self._done += units
        if self._done < _STEP:
            return False
        self._done = 0
        return True


class Header(NamedTuple):
    """The header of a family in both formats."""

    text: bytes
    openmetrics: bytes


class PageChunk(NamedTuple):
    """A part of the page in both formats; the same object where the headers are the same."""

    text: Chunk
    openmetrics: Chunk


class Layout:
    """A page of a given set of parts, in chunks."""

    def __init__(self, headers: Sequence[Header], columns: int, chunk_bytes: int) -> None:
        """Make a page that is empty; `fill` it before anything else."""
        self._full = chunk_bytes
        self._headers = headers
        self._width = columns + 1  # the header of a family stands before its first column
        self._cells = [b""] * (len(headers) * self._width)
        self._filled = [0] * len(headers)
        self._starts: list[int] = []
        self._chunks: list[PageChunk] = []
        self._cut_sizes: list[int] = []

    @property
    def chunks(self) -> Sequence[PageChunk]:
        """The chunks in the order of the page."""
        return self._chunks

    def fill(self, columns: Sequence[Cells], known: Sequence[PageChunk], time: Timeslice) -> Steps:
        """Put in all cells, and cut the page; chunks among `known` are not compressed again."""
        for column, cells in enumerate(columns):
            for row, piece in cells.items():
                self._set(row, column, piece)
            if time.spend(len(cells)):
                yield
        yield from self._cut(time)
        by_first_piece = {chunk.text.pieces[:1]: chunk for chunk in known}
        for index in range(len(self._starts)):
            pieces = self._pieces(index)
            chunk = by_first_piece.get(pieces[0][:1])
            if chunk is None or (chunk.text.pieces, chunk.openmetrics.pieces) != pieces:
                chunk = _compressed(*pieces)
            self._chunks.append(chunk)
            if time.spend((chunk.text.size >> 10) + (self._width >> 4)):
                yield
        self._cut_sizes = self._sizes()

    def update(self, changes: Mapping[int, tuple[Cells, Cells]], time: Timeslice) -> Steps:
        """Replace the cells of some columns, each given as it was and as it is now."""
        dirty: set[int] = set()
        for column, (before, after) in changes.items():
            for row in {**before, **after}:
                changed = self._set(row, column, after.get(row, b""))
                dirty.update(bisect_right(self._starts, cell) - 1 for cell in changed)
            if time.spend(len(after)):
                yield
        for index in dirty:
            chunk = self._chunks[index] = _compressed(*self._pieces(index))
            if time.spend((chunk.text.size >> 10) + (self._width >> 4)):
                yield

    @property
    def is_lopsided(self) -> bool:
        """Whether a chunk has grown so much that the page is better cut again."""
        return any(
            size > 2 * self._full and size > 2 * cut
            for size, cut in zip(self._sizes(), self._cut_sizes, strict=True)
        )

    def _sizes(self) -> list[int]:
        return [chunk.text.size for chunk in self._chunks]

    def _set(self, row: int, column: int, piece: bytes) -> Iterator[int]:
        """Set a cell, and the header of its family; return the cells that changed."""
        first = row * self._width
        cell = first + 1 + column
        before = self._cells[cell]
        if before == piece:
            return iter(())
        self._cells[cell] = piece
        was_shown = self._filled[row] > 0
        self._filled[row] += bool(piece) - bool(before)
        is_shown = self._filled[row] > 0
        if was_shown is is_shown:
            return iter((cell,))
        self._cells[first] = self._headers[row].text if is_shown else b""
        return iter((first, cell))

    def _cut(self, time: Timeslice) -> Steps:
        """Find where chunks start: any cell may be the first one of a chunk."""
        self._starts = [0]
        size = 0
        for first in range(0, len(self._cells), self._width):
            if size >= self._full // 8:  # so that a large family is cut the same way each time
                self._starts.append(first)
                size = 0
            for cell in range(first, first + self._width):
                if size >= self._full:
                    self._starts.append(cell)
                    size = 0
                size += len(self._cells[cell])
            if time.spend(self._width >> 4):
                yield

    def _pieces(self, index: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        start = self._starts[index]
        is_last = index + 1 == len(self._starts)
        cells = self._cells[start : None if is_last else self._starts[index + 1]]
        text = tuple(filter(None, cells))
        has_other_header = False
        first_row = -(-start // self._width)
        for row in range(first_row, -(-(start + len(cells)) // self._width)):
            at = row * self._width - start
            header = self._headers[row]
            if cells[at] and header.text != header.openmetrics:
                cells[at] = header.openmetrics
                has_other_header = True
        return text, tuple(filter(None, cells)) if has_other_header else text


def _compressed(text: tuple[bytes, ...], openmetrics: tuple[bytes, ...]) -> PageChunk:
    chunk = Chunk.of(text)
    return PageChunk(chunk, chunk if openmetrics is text else Chunk.of(openmetrics))
