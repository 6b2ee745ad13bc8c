"""JSON as a service of another language writes it: also what a strict reader refuses."""

import enum
import json
import re
from dataclasses import dataclass
from decimal import Decimal
from json.encoder import encode_basestring

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


class Encoding(enum.Enum):
    """How text becomes bytes."""

    UTF8 = "utf8"
    """Plain UTF-8; a lone surrogate becomes the escape `\\ud800`, which is valid JSON text."""
    ASCII = "ascii"
    """Everything outside ASCII is escaped."""
    INVALID_UTF8 = "invalid_utf8"
    """Lone surrogates become the three bytes ED A0 80, which no strict decoder accepts."""


@dataclass(frozen=True, slots=True)
class Verbatim:
    """A piece of JSON text that is written as it is, valid or not."""

    text: str


def dump(value: object) -> str:
    """Write a value; decimals keep every digit, and `NaN` and `Infinity` pass."""
    match value:
        case str():
            return encode_basestring(value)
        case Verbatim():
            return value.text
        case Decimal():
            return str(value)
        case dict():
            return (
                "{" + ",".join(f"{encode_basestring(k)}:{dump(v)}" for k, v in value.items()) + "}"
            )
        case list() | tuple():
            return "[" + ",".join(map(dump, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def encode(text: str, encoding: Encoding = Encoding.UTF8) -> bytes:
    """Turn JSON text into the bytes of a body."""
    match encoding:
        case Encoding.UTF8:
            # For a lone surrogate Python's replacement is the very escape that JSON has.
            return text.encode("utf-8", "backslashreplace")
        case Encoding.INVALID_UTF8:
            return text.encode("utf-8", "surrogatepass")
        case Encoding.ASCII:
            # Outside ASCII there are only contents of strings, so that an escape is always right.
            return _NOT_ASCII.sub(lambda hit: json.dumps(hit[0])[1:-1], text).encode("ascii")
