"""Chunks, sequences and gzip members, compared with zlib."""

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from exporter.exposition.gzip_chunks import Chunk, ChunkSequence, gzip_member

blobs = st.binary(max_size=300)


@given(st.lists(st.lists(blobs, max_size=3).map(tuple), min_size=1, max_size=5))
def test_any_sequence_of_chunks_is_one_gzip_member(pieces: list[tuple[bytes, ...]]) -> None:
    """Chunks that were compressed separately decompress to the whole page."""
    whole = b"".join(piece for some in pieces for piece in some)
    chunks = [Chunk.of(some) for some in pieces[:-1]]
    last = ChunkSequence.of([Chunk.of(pieces[-1], is_last=True)])
    body = gzip_member([ChunkSequence.of(chunks), last])
    reader = zlib.decompressobj(31)
    assert reader.decompress(body) + reader.flush() == whole
    assert (reader.eof, reader.unused_data) == (True, b"")
    assert gzip.decompress(body) == whole


def test_compressing_a_page_twice_gives_the_same_bytes() -> None:
    """The gzip header contains no time and no file name."""
    sequence = ChunkSequence.of([Chunk.of((b"a 1\n",), is_last=True)])
    assert gzip_member([sequence])[:10] == bytes.fromhex("1f8b08000000000000ff")
