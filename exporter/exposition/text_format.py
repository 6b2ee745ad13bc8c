"""Lines of the page, letter by letter those of prometheus-client.

A sample line is the same in both formats; headers differ in the name of a counter's family
and in what is escaped.
"""

from collections.abc import Callable
from operator import itemgetter

from prometheus_client.utils import floatToGoString

from exporter.catalog import Metric
from exporter.snapshot import Sample

_number: Callable[[float], str] = floatToGoString


def text_header(metric: Metric) -> bytes:
    """Give what stands before the samples of a family in the text format."""
    return _header(metric.name, metric, _escaped_line(metric.help))


def openmetrics_header(metric: Metric) -> bytes:
    """Give what stands before the samples of a family in OpenMetrics."""
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
