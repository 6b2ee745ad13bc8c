"""Sizes in bytes as people write them: `16MiB`, `1.5GB`, or a bare number of bytes."""

import re
from decimal import Decimal

from pydantic import ByteSize

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMG]i?B|B|)", re.IGNORECASE)
_WRITTEN_UNITS = ("GiB", "MiB", "KiB")

_ADVICE = "give a size such as 16MiB (units B, KB, MB, GB, KiB, MiB, GiB)"


def parse(value: object) -> int:
    """Read a size; return bytes. Raises `ValueError` that says what to give.

    `ByteSize` itself cuts off fractions of a byte, and fails at numbers of hundreds of digits.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(_ADVICE)
    size = Decimal(match[1]) * _bytes(match[2] or "B")
    if size != int(size):
        raise ValueError("give a whole number of bytes")
    return int(size)


def write(size: int) -> str:
    """Write `size` bytes as `parse` reads it, in the largest binary unit that fits."""
    for unit in _WRITTEN_UNITS:
        if size and size % _bytes(unit) == 0:
            return f"{size // _bytes(unit)}{unit}"
    return f"{size}B"


def _bytes(unit: str) -> int:
    return int(ByteSize.byte_sizes[unit.lower()])
