"""Durations as people write them: `30s`, `1h30m`, `1.5d`, or bare seconds."""

import re
from decimal import Decimal

_UNITS = {
    "w": Decimal(7 * 24 * 3600),
    "d": Decimal(24 * 3600),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
"""Seconds in each unit, the largest first, which is also the order in a chain."""

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_BARE = re.compile(_NUMBER)
_CHAIN = re.compile("".join(f"(?:({_NUMBER}){unit})?" for unit in _UNITS))

_WRITTEN_UNITS = ("d", "h", "m", "s", "ms")
"""Units that `write` uses: `400d` tells more than `57w1d`."""

LONGEST = 36500 * 24 * 3600.0
"""A hundred years, in seconds: timers and clocks overflow beyond it."""

_ADVICE = "give a duration such as 30s, 5m or 1h30m (units ms s m h d w, the largest first)"


def parse(value: object) -> float:
    """Read a duration.

    Return seconds, more than 0 and at most `LONGEST`. Raises `ValueError` that says what to give.
    """
    seconds = _seconds(value)
    if not seconds > 0:
        raise ValueError("give a duration of more than 0")
    if seconds > LONGEST:
        raise ValueError(f"give a duration of at most {write(LONGEST)}")
    return seconds


def write(seconds: float) -> str:
    """Write `seconds` the way `parse` reads it, in the largest unit that stays a whole number."""
    exact = Decimal(repr(seconds))
    for unit in _WRITTEN_UNITS:
        if exact % _UNITS[unit] == 0:
            return f"{exact / _UNITS[unit]:.0f}{unit}"
    return f"{exact:f}s"


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        # An integer may be too large for a float; what is out of bounds is refused either way.
        return float(max(0, min(value, 2 * LONGEST)))
    if not isinstance(value, str):
        raise ValueError(_ADVICE)  # noqa: TRY004 - pydantic reports ValueError, not TypeError
    text = value.strip()
    if _BARE.fullmatch(text):
        return float(text)
    match = _CHAIN.fullmatch(text)
    if match is None or not text:
        raise ValueError(_ADVICE)
    parts = zip(match.groups(), _UNITS.values(), strict=True)
    return float(sum(Decimal(number) * unit for number, unit in parts if number is not None))
