"""Pieces of a page, each deflated on its own, so that any sequence of them is one gzip member.

A full flush ends each chunk on a byte boundary and resets the compressor's window. So a chunk
that did not change is not compressed again, whatever stands before and after it. It is one
member because curl, httpx and others read only the first of several.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from typing import Self

from isal import isal_zlib

_RAW = -15  # neither a header nor a trailer, and the usual window
_LEVEL = 1  # the fastest one but 0, and on pages also the smallest result
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # deflate, no time, no name, unknown system


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some lines: as they are in `pieces`, and deflated; `size` is that of the lines."""

    pieces: tuple[bytes, ...]
    deflated: bytes
    size: int
    crc: int

    @classmethod
    def of(cls, pieces: tuple[bytes, ...], *, is_last: bool = False) -> Self:
        """Compress `pieces`; the last chunk of a member has to be made with `is_last`."""
        data = b"".join(pieces)
        compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
        mode = isal_zlib.Z_FINISH if is_last else isal_zlib.Z_FULL_FLUSH
        deflated = compressor.compress(data) + compressor.flush(mode)
        return cls(pieces, deflated, len(data), isal_zlib.crc32(data))


@dataclass(frozen=True, slots=True)
class ChunkSequence:
    """Consecutive chunks, with the size and CRC of their lines."""

    chunks: tuple[Chunk, ...]
    size: int
    crc: int

    @classmethod
    def of(cls, chunks: Iterable[Chunk]) -> Self:
        """Put `chunks` in a sequence."""
        every = tuple(chunks)
        return cls(every, sum(chunk.size for chunk in every), _crc_of(every))


def gzip_member(sequences: Iterable[ChunkSequence]) -> bytes:
    """Return one gzip member of all chunks; the last one must have been made with `is_last`."""
    every = tuple(sequences)
    size = sum(sequence.size for sequence in every) & 0xFFFFFFFF
    chunks = chain.from_iterable(sequence.chunks for sequence in every)
    trailer = _crc_of(every).to_bytes(4, "little") + size.to_bytes(4, "little")
    return b"".join((_HEADER, *(chunk.deflated for chunk in chunks), trailer))


def _crc_of(parts: Iterable[Chunk | ChunkSequence]) -> int:
    """Return the CRC of consecutive parts, without looking at their bytes again."""
    return reduce(lambda crc, part: isal_zlib.crc32_combine(crc, part.crc, part.size), parts, 0)
