"""Which form of the page a client gets, by what it says that it accepts."""

from collections.abc import Iterator, Sequence
from enum import Enum
from functools import lru_cache
from typing import NamedTuple


class PageFormat(Enum):
    """The formats of the page, by the `Content-Type` that says so."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    @classmethod
    def negotiate(cls, accept: str) -> "PageFormat":
        """Choose by an `Accept` header; whoever accepts neither format gets the text.

        OpenMetrics is for those who name it: browsers accept anything, and read text.
        """
        ranges = list(_ranges(accept))
        strict = _quality_of(ranges, _Name("application/openmetrics-text", "1.0.0"))
        text = _quality_of(ranges, _Name("text/plain", "0.0.4"), _Name("text/*"), _Name("*/*"))
        return cls.OPENMETRICS if strict and strict >= text else cls.TEXT


class Form(NamedTuple):
    """A form of the page: its format, and whether it is compressed with gzip."""

    format: PageFormat
    is_gzipped: bool


@lru_cache(maxsize=64)  # a Prometheus says the same each time
def negotiated(accept: str, accept_encoding: str) -> Form:
    """Choose by an `Accept` and an `Accept-Encoding` header."""
    return Form(PageFormat.negotiate(accept), accepts_gzip(accept_encoding))


def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether an `Accept-Encoding` header allows gzip, by name or as anything."""
    return _quality_of(list(_ranges(accept_encoding)), _Name("gzip"), _Name("*")) > 0


class _Name(NamedTuple):
    text: str
    version: str = ""


class _Range(NamedTuple):
    name: _Name
    quality: float


def _quality_of(ranges: Sequence[_Range], *names: _Name) -> float:
    """Give the quality of the first of `names` that is there, in its version or in any; or 0."""
    for name in names:
        known = {name, _Name(name.text)}
        found = [each.quality for each in ranges if each.name in known]
        if found:
            return max(found)
    return 0.0


def _ranges(header: str) -> Iterator[_Range]:
    for item in header.lower().split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest)
        quality = _quality(parameters.get("q", "1"))
        yield _Range(_Name(name, parameters.get("version", "")), quality)


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0.0 <= quality <= 1.0 else 0.0
