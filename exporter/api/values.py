"""Single values of an answer, read leniently: pure functions from what JSON gave.

The vendor's SDK converts nothing, so any field can be missing, null, or of another type than
documented. Texts and times that cannot be used become `""` and `None`; a figure of usage that
cannot be read raises `UnreadableError`, because counting it as nothing would lose money.
Non-integral numbers arrive as their very digits, so that they never pass through a float.
"""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final

from exporter.api.redaction import redact, redact_link
from exporter.model import NANO, UNKNOWN_STATE
from exporter.terminal import escape

LABEL_LENGTH: Final = 256
"""Characters that are kept of a text."""

_URL_LENGTH: Final = 2048
FIGURE_LIMIT: Final = 2**53
_CU_HOURS_LIMIT: Final = 10**9
TIME_LIMIT_MS: Final = 253_402_300_800_000
"""The year 10000: what lies beyond is no time, whatever its unit."""

_ONE: Final = Decimal(1)
_NANO_STEP: Final = Decimal("1e-9")
_EXACT: Final = Context(prec=40)
"""Holds 10^9 CU-hours to the nano with room to spare, so that only `quantize` rounds."""

NO_STATE: Final = "none"
"""Stands for a state where a record has none."""
_STATE_LENGTH: Final = 64

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SEPARATORS: Final = re.compile(r"[\s_-]+")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
"""What readers of a page take for the end of a line, or PostgreSQL does not store. A line feed is
escaped in pages, and a tab is harmless."""

_DIGITS: Final = 9
"""Decimals of a nano; with as many before the point, CU-hours are below their limit."""


class UnreadableError(ValueError):
    """A record cannot be used: its id is missing, or a figure is not a number."""


def text(value: object, *, limit: int = LABEL_LENGTH) -> str:
    """Return one line of valid UTF-8 of at most `limit` characters; numbers as their digits.

    Control characters are written as escapes, by which two ids stay two. `""` for anything else.
    """
    if isinstance(value, str):
        # Nearly all texts are short and plain: 100,000 sessions have a million of them.
        if len(value) <= limit and value.isascii() and value.isprintable():
            return value
        return _CONTROLS.sub(lambda control: escape(control[0]), _valid(value))[:limit]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _digits(value)[:limit]
    return ""


def free_text(value: object) -> str:
    """Return a text that people wrote or a program logged, without what may be a secret."""
    return text(redact(value) if isinstance(value, str) else value)


def identity(value: object) -> str:
    """Return an id; raise `UnreadableError` where there is none.

    An id too long for a label is refused, not cut: two sessions could become one.
    """
    found = text(value, limit=LABEL_LENGTH + 1)
    is_blank = not found or (isinstance(value, str) and not value.strip())
    if is_blank or len(found) > LABEL_LENGTH:
        raise UnreadableError
    return found


def url(value: object) -> str:
    """Return an address of the web without secrets; `""` if no browser should be sent to it."""
    found = text(value, limit=_URL_LENGTH + 1)
    return redact_link(found) if len(found) <= _URL_LENGTH else ""


def page_token(value: object) -> str:
    """Return a page token as it has to be sent back; `""` if there is none."""
    return _valid(value) if isinstance(value, str) else text(value)


def flag(value: object) -> bool | None:
    """Return a truth value, also from its name; `None` for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return None


def integer(value: object, *, limit: int = FIGURE_LIMIT) -> int | None:
    """Return a whole number in 0 ≤ x < limit, or `None`."""
    if type(value) is int:
        return value if 0 <= value < limit else None
    number = _number(value)
    if number is None or not 0 <= number < limit:
        return None
    return int(number)


def time_ms(value: object) -> int | None:
    """Return milliseconds since 1970, or `None` if the value is no usable time (0 is none)."""
    return integer(value, limit=TIME_LIMIT_MS) or None


def figure(value: object) -> int | None:
    """Return vcore-seconds or MB-seconds, rounded half to even; `None` if there is no figure."""
    return _quantity(value, limit=FIGURE_LIMIT - 1, step=_ONE, per_unit=1)


def nano_cu_hours(value: object) -> int | None:
    """Return CU-hours as nano-CU-hours; `None` if there is no figure.

    The digits of the answer are rounded once, half to even, at the ninth decimal; they never
    pass through a float, so this is exact to the nano over the whole range up to 10^9 CU-hours.
    """
    plain = _plain_nano(value) if isinstance(value, str) else None
    if plain is not None:
        return plain
    return _quantity(value, limit=_CU_HOURS_LIMIT, step=_NANO_STEP, per_unit=NANO)


def state(value: object, vocabulary: tuple[str, ...]) -> tuple[str, str]:
    """Return the state's name in `vocabulary`, and what the service says where that is not in it.

    Case, `_`, `-` and spaces do not count. What is missing is as unknown as what is strange.
    """
    if value in vocabulary and value != UNKNOWN_STATE:
        return str(value), ""
    word = _SEPARATORS.sub("", text(value)).lower()
    for known in vocabulary:
        if word == known.replace("_", "") and known != UNKNOWN_STATE:
            return known, ""
    return UNKNOWN_STATE, free_text(value)[:_STATE_LENGTH] or NO_STATE


def _valid(value: str) -> str:
    """Replace lone surrogates by U+FFFD: Java leaves them where it cuts a name in the middle."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _digits(value: float) -> str:
    if isinstance(value, int) and abs(value) >= 10**100:
        return ""  # no id and no name is such a number, and Python refuses to print some
    return str(value)


def _number(value: object) -> Decimal | None:
    """Return a finite number, also from its digits; `None` for anything else."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value := value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:  # an exponent beyond all
        return None
    return number if number.is_finite() else None


def _quantity(value: object, *, limit: int, step: Decimal, per_unit: int) -> int | None:
    """Return a figure in steps, of which a unit has `per_unit`; raise `UnreadableError`."""
    if type(value) is int and 0 <= value <= limit:
        return value * per_unit
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = _number(value)
    if number is None or not 0 <= number <= limit:
        raise UnreadableError
    return int(number.quantize(step, ROUND_HALF_EVEN, _EXACT) * per_unit)


def _plain_nano(digits: str) -> int | None:
    """Return nano of plain digits, which are exact; `None` for others. Nearly all are plain."""
    whole, _, part = digits.partition(".")
    is_short = len(whole) <= _DIGITS and len(part) <= _DIGITS
    if is_short and digits.isascii() and (whole + part).isdecimal():
        return int(whole + part.ljust(_DIGITS, "0"))
    return None
