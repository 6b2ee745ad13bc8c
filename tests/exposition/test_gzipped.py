"""Chunks, rows and members, held to zlib."""

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from exporter.exposition.crc import combined, shift_of
from exporter.exposition.gzipped import Chunk, Row, member

blobs = st.binary(max_size=300)


@given(blobs, blobs)
def test_the_crc_of_two_parts_is_that_of_the_whole(first: bytes, second: bytes) -> None:
    """It is found without the bytes."""
    found = combined(zlib.crc32(first), zlib.crc32(second), shift_of(len(second)))
    assert found == zlib.crc32(first + second)


def test_the_crc_of_large_parts() -> None:
    """The size may be any, also beyond what fits into memory here."""
    zeros = bytes(3 << 20)
    assert combined(zlib.crc32(b"x"), zlib.crc32(zeros), shift_of(len(zeros))) == zlib.crc32(
        b"x" + zeros
    )
    # 2^32 - 1 steps of the shift register are one full turn, and 8 of them are too.
    assert shift_of(2**32 - 1) == shift_of(0)


@given(st.lists(st.lists(blobs, max_size=3).map(tuple), min_size=1, max_size=5))
def test_any_row_of_chunks_is_one_member(pieces: list[tuple[bytes, ...]]) -> None:
    """Whatever was compressed on its own is together what gzip makes of the whole."""
    whole = b"".join(piece for each in pieces for piece in each)
    chunks = [Chunk.of(each) for each in pieces[:-1]]
    rows = [Row.of(chunks), Row.of([Chunk.of(pieces[-1], is_last=True)])]
    body = member(rows)
    reader = zlib.decompressobj(31)
    assert reader.decompress(body) + reader.flush() == whole
    assert (reader.eof, reader.unused_data) == (True, b"")
    assert gzip.decompress(body) == whole


def test_the_same_page_is_the_same_bytes() -> None:
    """No time and no name is in the header."""
    row = Row.of([Chunk.of((b"a 1\n",), is_last=True)])
    assert member([row])[:10] == bytes.fromhex("1f8b08000000000000ff")
