"""What a terminal can show that a file cannot, and what must not reach either."""

import unicodedata
from collections.abc import Mapping
from typing import TextIO


def takes_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether the reader of `stream` wants colour; see https://no-color.org."""
    return takes_redrawing(stream, environ) and not environ.get("NO_COLOR")


def takes_redrawing(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a line on `stream` can be written over."""
    return stream.isatty() and environ.get("TERM") != "dumb"


def width(text: str) -> int:
    """Return the columns that a printable text takes: Chinese characters take two each."""
    wide = sum(unicodedata.east_asian_width(character) in {"W", "F"} for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) > 0 for character in text)


def printable(text: str) -> str:
    """Return a text without characters that move a cursor, begin a line or change its direction.

    Names come from the service, and from anyone who may create a session there. Characters that
    Python calls not printable become escapes; all others, in any script, stay.
    """
    return text if text.isprintable() else "".join(map(escape, text))


def escape(character: str) -> str:
    """Return a character as itself, or as an escape where it is not printable."""
    if character.isprintable():
        return character
    if character == "\r":  # as all others but line feed and tab, in digits
        return "\\x0d"
    return character.encode("unicode_escape").decode("ascii")
