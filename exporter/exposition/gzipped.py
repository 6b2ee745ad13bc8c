"""Pieces of a page, deflated each on its own so that any row of them is one gzip member.

A full flush ends each chunk on a byte and forgets what came before. So a chunk that did not
change is not compressed again, and what follows a chunk may be anything. One member, because
curl, httpx and others show only the first of several.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

from isal import isal_zlib

from exporter.exposition.crc import combined_all, shift_of

_RAW = -15  # neither a header nor a trailer, and the usual window
_LEVEL = 1  # the fastest one but 0, and on pages also the smallest result
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # deflate, no time, no name, unknown system


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some lines: as they are in `pieces`, and deflated."""

    pieces: tuple[bytes, ...]
    deflated: bytes
    size: int
    crc: int
    shift: int

    @classmethod
    def of(cls, pieces: tuple[bytes, ...], *, is_last: bool = False) -> Self:
        """Compress `pieces`; the last chunk of a member is made as such."""
        data = b"".join(pieces)
        compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
        mode = isal_zlib.Z_FINISH if is_last else isal_zlib.Z_FULL_FLUSH
        deflated = compressor.compress(data) + compressor.flush(mode)
        return cls(pieces, deflated, len(data), isal_zlib.crc32(data), shift_of(len(data)))


@dataclass(frozen=True, slots=True)
class Row:
    """Chunks in a row, with the size and CRC of the whole."""

    chunks: tuple[Chunk, ...]
    size: int
    crc: int
    shift: int

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> Self:
        """Put `chunks` in a row."""
        size = sum(chunk.size for chunk in chunks)
        crc = combined_all((chunk.crc, chunk.shift) for chunk in chunks)
        return cls(tuple(chunks), size, crc, shift_of(size))


def member(rows: Iterable[Row]) -> bytes:
    """Give one gzip member of all that is in `rows`; its last chunk must be made as the last."""
    every = tuple(rows)
    crc = combined_all((row.crc, row.shift) for row in every)
    size = sum(row.size for row in every) & 0xFFFFFFFF
    chunks = chain.from_iterable(row.chunks for row in every)
    trailer = crc.to_bytes(4, "little") + size.to_bytes(4, "little")
    return b"".join((_HEADER, *(chunk.deflated for chunk in chunks), trailer))
