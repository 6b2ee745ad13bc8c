"""A picture as prometheus-client's metric families, built fresh each time."""

from collections.abc import Iterator
from itertools import chain

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from exporter import catalog
from exporter.catalog import Metric
from exporter.model import Target
from exporter.snapshot import Samples, SampleSet, Snapshot, TargetView


def families(snapshot: Snapshot) -> Iterator[Family]:
    """Yield the families that have samples, in the order of the catalog."""
    parts = [
        snapshot.infos,
        target_samples(snapshot),
        *(view.gauges for _, view in sorted(snapshot.targets.items())),
        snapshot.counters,
    ]
    for metric in catalog.CATALOG:
        found = tuple(chain.from_iterable(part.get(metric, ()) for part in parts))
        if found:
            family = _family(metric)
            for labels, value in found:
                family.add_metric(labels, value)
            yield family


def _family(metric: Metric) -> GaugeMetricFamily | CounterMetricFamily:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(metric.family, metric.help, labels=metric.labels)


def target_samples(snapshot: Snapshot) -> Samples:
    """Give the samples that say how the polls of each target go."""
    found = SampleSet()
    for target, view in sorted(snapshot.targets.items()):
        _add_target(found, _labels(target), view)
    return found.freeze()


def _add_target(found: SampleSet, labels: tuple[str, ...], view: TargetView) -> None:
    found.add(catalog.TARGET_UP, labels, view.up)
    if view.failure is not None:
        found.add(catalog.TARGET_ERROR_INFO, (*labels, view.failure.reason), 1)
    found.add(catalog.TARGET_LAST_SUCCESS, labels, view.last_success_at)
    found.add(catalog.TARGET_STALE_AFTER, labels, view.stale_after)
    found.add(catalog.TARGET_POLL_DURATION, labels, view.last_duration)
    found.add(catalog.TARGET_POLL_REQUESTS, labels, view.last_requests)


def _labels(target: Target) -> tuple[str, str, str]:
    return target.source, target.workspace_id, target.livy_compute_id
