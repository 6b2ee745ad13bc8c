"""How the page is cut into stretches, each of which is compressed on its own."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

_BYTES = 1 << 18
"""A stretch is full at so many: enough to compress well, and yet quickly; and little enough to
stay as it was where only others changed."""

_SLICE = 256
"""Pieces that are put into a stretch at a time."""

Pieces = tuple[bytes, ...]


class Family(NamedTuple):
    """A family that is on the page: its headers and its lines."""

    text_header: bytes
    openmetrics_header: bytes
    lines: Sequence[bytes]


class Stretch(NamedTuple):
    """A part of the page in both formats, the same where the headers are the same."""

    text: Pieces
    openmetrics: Pieces


class _Open:
    """A stretch that is being filled."""

    def __init__(self) -> None:
        self._text: list[bytes] = []
        self._openmetrics: list[bytes] = []
        self.size = 0

    def add(self, text: Sequence[bytes], openmetrics: Sequence[bytes]) -> None:
        self._text += text
        self._openmetrics += openmetrics
        self.size += sum(map(len, text))

    def closed(self) -> Stretch:
        text = tuple(self._text)
        if self._text == self._openmetrics:
            return Stretch(text, text)
        return Stretch(text, tuple(self._openmetrics))


def stretches(families: Iterable[Family]) -> Iterator[Stretch]:
    """Cut the page; a stretch may begin and end anywhere between two pieces."""
    part = _Open()
    for family in families:
        if part.size >= _BYTES // 8:  # so that a large family is cut the same way each time
            yield part.closed()
            part = _Open()
        part.add((family.text_header,), (family.openmetrics_header,))
        for start in range(0, len(family.lines), _SLICE):
            lines = family.lines[start : start + _SLICE]
            part.add(lines, lines)
            if part.size >= _BYTES:
                yield part.closed()
                part = _Open()
    if part.size:
        yield part.closed()
