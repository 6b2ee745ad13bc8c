"""How numbers and times are written for people: pure functions, the filters of the templates."""

from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_BYTES: Final = ("B", "KiB", "MiB", "GiB", "TiB")

NOTHING: Final = "—"
"""Stands where something is not known."""


def duration(seconds: float | None) -> str:
    """Write how long something took: short times with a decimal."""
    if seconds is None or seconds >= 10:  # noqa: PLR2004 - a matter of taste
        return span(seconds)
    return f"{seconds:.1f} s"


def span(seconds: float | None) -> str:
    """Write seconds in the two largest units that fit."""
    if seconds is None:
        return NOTHING
    parts: list[tuple[int, str]] = []
    rest = round(seconds)
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count) or "0 s"


def ago(seconds: float | None) -> str:
    """Write how long ago something was."""
    if seconds is None:
        return NOTHING
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def number(value: float | None, digits: int = 0) -> str:
    """Write a number with thin spaces between thousands, as no country reads them as a decimal."""
    if value is None:
        return NOTHING
    return f"{value:,.{digits}f}".replace(",", "\u202f")


def cu_hours(value: float | None) -> str:
    """Write CU-hours with as many digits as matter."""
    if value is None:
        return NOTHING
    return number(value, 0 if value >= 1000 else 1 if value >= 10 else 2)  # noqa: PLR2004


def size(count: float) -> str:
    """Write a number of bytes."""
    for unit in _BYTES[:-1]:
        if count < 1024:  # noqa: PLR2004 - the step between the units
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_BYTES[-1]}"


def moment(seconds: float | None) -> str:
    """Write a time as RFC 3339, to the second."""
    return "" if seconds is None else f"{_utc(seconds):%Y-%m-%dT%H:%M:%SZ}"


def since(seconds: float, now: float) -> str:
    """Write when something began, with the date where that is not today's."""
    is_today = _utc(seconds).date() == _utc(now).date()
    return f"{_utc(seconds):{'%H:%M' if is_today else '%Y-%m-%d %H:%M'}} UTC"


def clock(seconds: float) -> str:
    """Write the time of day."""
    return f"{_utc(seconds):%H:%M:%S} UTC"


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
