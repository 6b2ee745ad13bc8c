"""What a terminal can show that a file cannot: colour, and a line that is written over."""

from collections.abc import Mapping
from typing import TextIO


def takes_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether whoever reads `stream` wants colour; see https://no-color.org."""
    return takes_redrawing(stream, environ) and not environ.get("NO_COLOR")


def takes_redrawing(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a line on `stream` can be written over."""
    return stream.isatty() and environ.get("TERM") != "dumb"
