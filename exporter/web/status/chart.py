"""The geometry of the small charts: pure functions from the near past to rectangles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from exporter.web.status.recorder import BUCKETS
from exporter.web.status.view import Bucket

WIDTH: Final = 600
HEIGHT: Final = 72
_GAP: Final = 2
_LEAST: Final = 2.0
"""Minimum height, so that small values are visible."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle; `kind` names its colour."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars in a field of `WIDTH` by `HEIGHT`; the highest bar has the value `top`."""

    bars: tuple[Bar, ...]
    top: float


def poll_chart(buckets: Sequence[Bucket]) -> Chart:
    """Draw the polls of each bucket, those that failed on top."""
    top = max((bucket.polls for bucket in buckets), default=0)
    rows = [
        ((bucket.polls - bucket.failures, "good"), (bucket.failures, "bad")) for bucket in buckets
    ]
    return _stacked(rows, top)


def burn_chart(buckets: Sequence[Bucket]) -> Chart:
    """Draw the CU-hours of each bucket."""
    top = max((bucket.cu_hours for bucket in buckets), default=0.0)
    return _stacked([((bucket.cu_hours, "burn"),) for bucket in buckets], top)


def _stacked(rows: Sequence[Sequence[tuple[float, str]]], top: float) -> Chart:
    """Put the newest row at the right edge."""
    step, bars = WIDTH / BUCKETS, []
    for place, row in enumerate(rows, BUCKETS - len(rows)):
        floor = float(HEIGHT)
        for value, kind in row:
            if value <= 0:
                continue
            height = max(_LEAST, value / top * HEIGHT)
            floor = max(0.0, floor - height)
            bars.append(Bar(place * step, floor, step - _GAP, min(height, HEIGHT), kind))
    return Chart(tuple(bars), top)
