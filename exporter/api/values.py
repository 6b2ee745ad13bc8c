"""Single values of an answer, read leniently: pure functions from what JSON gave.

The vendor's SDK converts nothing, so any field can be missing, null, or of another type than
documented. Texts and times that cannot be used become `""` and `None`; a figure of usage that
cannot be read raises `UnreadableError`, because counting it as nothing would lose money.
Non-integral numbers arrive as `Decimal`, made from the very digits of the answer.
"""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final

from exporter.model import NANO, UNKNOWN_STATE

LABEL_LENGTH: Final = 256
"""Characters that are kept of a text."""

_URL_LENGTH: Final = 2048
_FIGURE_LIMIT: Final = 2**53
_CU_HOURS_LIMIT: Final = 10**9
_TIME_LIMIT_MS: Final = 253_402_300_800_000
"""The year 10000: what lies beyond is no time, whatever its unit."""

_ONE: Final = Decimal(1)
_NANO_STEP: Final = Decimal("1e-9")
_EXACT: Final = Context(prec=40)
"""Holds 10^9 CU-hours to the nano with room to spare, so that only `quantize` rounds."""

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SEPARATORS: Final = re.compile(r"[\s_-]+")
_URL: Final = re.compile(r"https?://[^\s\x00-\x1f\x7f]+", re.IGNORECASE)


class UnreadableError(ValueError):
    """A record cannot be used: its id is missing, or a figure is no number."""


def text(value: object, *, limit: int = LABEL_LENGTH) -> str:
    """Give valid UTF-8 text of at most `limit` characters; numbers as their digits, else `""`."""
    if isinstance(value, str):
        # Nearly all texts are short and plain: 100,000 sessions have a million of them.
        return value if len(value) <= limit and value.isascii() else _valid(value)[:limit]
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return _digits(value)[:limit]
    return ""


def identity(value: object) -> str:
    """Give an id; raise `UnreadableError` where there is none.

    An id too long for a label is refused, not cut: two sessions could become one.
    """
    found = text(value, limit=LABEL_LENGTH + 1)
    if not found.strip() or len(found) > LABEL_LENGTH:
        raise UnreadableError
    return found


def url(value: object) -> str:
    """Give an address of the web, or `""` for anything that a browser should not be sent to."""
    found = text(value, limit=_URL_LENGTH + 1)
    return found if len(found) <= _URL_LENGTH and _URL.fullmatch(found) else ""


def flag(value: object) -> bool | None:
    """Give a truth value, also from its name; `None` for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return None


def integer(value: object, *, limit: int = _FIGURE_LIMIT) -> int | None:
    """Give a whole number in 0 ≤ x < limit, or `None`."""
    if type(value) is int:
        return value if 0 <= value < limit else None
    number = _number(value)
    if number is None or not 0 <= number < limit:
        return None
    return int(number)


def time_ms(value: object) -> int | None:
    """Give milliseconds since 1970, or `None` where the value is no usable time (0 is none)."""
    return integer(value, limit=_TIME_LIMIT_MS) or None


def figure(value: object) -> int | None:
    """Give vcore-seconds or MB-seconds, rounded half to even; `None` where there is no figure."""
    return _quantity(value, limit=_FIGURE_LIMIT - 1, step=_ONE, per_unit=1)


def nano_cu_hours(value: object) -> int | None:
    """Give CU-hours as nano-CU-hours; `None` where there is no figure.

    The digits of the answer are rounded once, half to even, at the ninth decimal; they never
    pass through a float, so this is exact to the nano over the whole range up to 10^9 CU-hours.
    """
    return _quantity(value, limit=_CU_HOURS_LIMIT, step=_NANO_STEP, per_unit=NANO)


def state(value: object, vocabulary: tuple[str, ...]) -> tuple[str, bool]:
    """Give the state's name in `vocabulary`, and whether it was documented.

    Case, `_`, `-` and spaces do not count. What is missing is as unknown as what is strange.
    """
    if value in vocabulary and value != UNKNOWN_STATE:
        return str(value), True
    word = _SEPARATORS.sub("", text(value)).lower()
    for known in vocabulary:
        if word == known.replace("_", "") and known != UNKNOWN_STATE:
            return known, True
    return UNKNOWN_STATE, False


def parse_number(digits: str) -> Decimal:
    """Give the number that the digits of the answer stand for; NaN beyond all exponents."""
    try:
        return Decimal(digits)
    except InvalidOperation:
        return Decimal("NaN")


def _valid(value: str) -> str:
    """Replace lone surrogates by U+FFFD: Java leaves them where it cuts a name in the middle."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _digits(value: float | Decimal) -> str:
    if isinstance(value, int) and abs(value) >= 10**100:
        return ""  # no id and no name is such a number, and Python refuses to print some
    return str(value)


def _number(value: object) -> Decimal | None:
    """Give a finite number, also from its digits; `None` for anything else."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = parse_number(value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    number = Decimal(value)
    return number if number.is_finite() else None


def _quantity(value: object, *, limit: int, step: Decimal, per_unit: int) -> int | None:
    if type(value) is int and 0 <= value <= limit:
        return value * per_unit
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = _number(value)
    if number is None or not 0 <= number <= limit:
        raise UnreadableError
    return int(number.quantize(step, ROUND_HALF_EVEN, _EXACT) * per_unit)
