"""The pages that prometheus-client makes of a snapshot: what ours are held to."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from exporter.catalog import CATALOG, Metric
from exporter.exposition import PageFormat
from exporter.exposition.renderer import parts_of, samples_of
from exporter.exposition.responses import encoded
from exporter.snapshot import Snapshot, groups_of

END = b"# EOF\n"


class _Ready(Collector):
    def __init__(self, families: Callable[[], Iterable[Family]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families()


def families(snapshot: Snapshot) -> Iterator[Family]:
    """Yield the families that have samples, in the order of the catalog, built fresh."""
    groups = [group for _, part in parts_of(snapshot) for group in groups_of(samples_of(part))]
    for metric in CATALOG:
        found = tuple(chain.from_iterable(group.get(metric, ()) for group in groups))
        if found:
            family = family_of(metric)
            for sample in found:
                family.add_metric(sample.labels, sample.value)
            yield family


def registry_of(make: Callable[[], Iterable[Family]]) -> CollectorRegistry:
    """Return a registry that holds nothing but what `make` makes at each scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Ready(make))
    return registry


def reference_page(snapshot: Snapshot, form: PageFormat) -> bytes:
    """Have prometheus-client write a snapshot, without the end mark."""
    return encoded(registry_of(lambda: families(snapshot)), form).removesuffix(END)


def family_of(metric: Metric) -> GaugeMetricFamily | CounterMetricFamily:
    """Return the family of a metric, as yet without samples."""
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(metric.family, metric.help, labels=metric.labels)
