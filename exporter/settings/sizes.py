"""Sizes in bytes as people write them: `16MiB`, `1.5GB`, or a bare number of bytes."""

import re
from decimal import Decimal

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMG]?i?B|)", re.IGNORECASE)
_WRITTEN_UNITS = ("GiB", "MiB", "KiB")

_ADVICE = "give a size such as 16MiB (units B, KB, MB, GB, KiB, MiB, GiB)"


def parse(value: object) -> int:
    """Read a size; gives bytes. Raises `ValueError` that says what to give."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(_ADVICE)
    size = Decimal(match[1]) * _UNITS[match[2].lower()]
    if size != int(size):
        raise ValueError("give a whole number of bytes")
    return int(size)


def write(size: int) -> str:
    """Write `size` bytes the way `parse` reads it, in the largest binary unit that fits."""
    for unit in _WRITTEN_UNITS:
        if size and size % _UNITS[unit.lower()] == 0:
            return f"{size // _UNITS[unit.lower()]}{unit}"
    return f"{size}B"
