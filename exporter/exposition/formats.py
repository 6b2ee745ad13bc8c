"""The two formats of the page: which one a client gets, and how headers and samples are written.

A sample line is the same in both formats, and byte for byte that of prometheus-client; headers
differ in the name of a counter's family and in what is escaped.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from prometheus_client.utils import floatToGoString

from exporter.catalog import Metric
from exporter.snapshot import Sample

_number: Callable[[float], str] = floatToGoString


class PageFormat(Enum):
    """The formats of the page, with their `Content-Type`."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Form(NamedTuple):
    """A form of the page: its format, and whether it is compressed with gzip."""

    format: PageFormat
    is_gzipped: bool


@lru_cache(maxsize=64)  # a Prometheus sends the same headers each time
def negotiated(accept: str, accept_encoding: str) -> Form:
    """Choose by an `Accept` and an `Accept-Encoding` header.

    Clients that accept neither format get the text. OpenMetrics is for those who name it: browsers
    accept anything, and read text.
    """
    ranges, encodings = [*_ranges(accept)], [*_ranges(accept_encoding)]
    strict = _quality_of(ranges, _Name("application/openmetrics-text", "1.0.0"))
    text = _quality_of(ranges, _Name("text/plain", "0.0.4"), _Name("text/*"), _Name("*/*"))
    page_format = PageFormat.OPENMETRICS if strict and strict >= text else PageFormat.TEXT
    return Form(page_format, _quality_of(encodings, _Name("gzip"), _Name("*")) > 0)


class _Name(NamedTuple):
    text: str
    version: str = ""


class _Range(NamedTuple):
    name: _Name
    quality: float


def _quality_of(ranges: Sequence[_Range], *names: _Name) -> float:
    """Return the quality of the first of `names` that is there, in its version or in any; or 0."""
    for name in names:
        known = {name, _Name(name.text)}
        found = [media_range.quality for media_range in ranges if media_range.name in known]
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


def text_header(metric: Metric) -> bytes:
    """Return what stands before the samples of a family in the text format."""
    return _header(metric.name, metric, _escaped_line(metric.help))


def openmetrics_header(metric: Metric) -> bytes:
    """Return what stands before the samples of a family in OpenMetrics."""
    return _header(metric.family, metric, _escaped(metric.help))


def line_writer(metric: Metric) -> Callable[[Sample], str]:
    """Make the function that writes the samples of `metric`; labels stand in alphabetical order."""
    if not metric.labels:
        return lambda sample: f"{metric.name} {_number(sample.value)}\n"
    order = sorted(range(len(metric.labels)), key=metric.labels.__getitem__)
    names = ",".join(f'{metric.labels[index]}="%s"' for index in order)
    pattern = f"{metric.name}{{{names}}} "
    pick: Callable[[tuple[str, ...]], tuple[str, ...]] = (
        itemgetter(*order) if len(order) > 1 else tuple
    )

    def write(sample: Sample) -> str:
        labels = sample.labels
        together = "".join(labels)
        if "\\" in together or '"' in together or "\n" in together:
            labels = tuple(map(_escaped, labels))
        return f"{pattern % pick(labels)}{_number(sample.value)}\n"

    return write


def _header(name: str, metric: Metric, text: str) -> bytes:
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n".encode()


def _escaped_line(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _escaped(text: str) -> str:
    return _escaped_line(text).replace('"', r"\"")
