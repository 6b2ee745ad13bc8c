"""The exporter's own counters of polls and requests, read off the registry that holds them."""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

from exporter import catalog
from exporter.catalog import Metric
from exporter.web.status.view import Calls, Polls

_CALLS: Final = (
    catalog.API_REQUESTS,
    catalog.API_RETRIES,
    catalog.API_FAILURES,
    catalog.API_RATE_LIMIT,
)
_POLLS: Final = (
    catalog.POLLS,
    catalog.POLL_FAILURES,
    catalog.POLLS_SKIPPED,
    catalog.MALFORMED_RECORDS,
    catalog.UNKNOWN_STATES,
)


def calls(registry: CollectorRegistry, configured_rate: float) -> tuple[Calls, ...]:
    """Return the requests of each account and region."""
    samples = [*_samples(registry, _CALLS)]
    limits = [sample for sample in samples if sample.name == catalog.API_RATE_LIMIT.name]
    return tuple(_calls(samples, limit, configured_rate) for limit in limits)


def _calls(samples: list[Sample], limit: Sample, configured_rate: float) -> Calls:
    where = limit.labels
    failures: dict[str, int] = {}
    for sample in _of(samples, catalog.API_FAILURES, where):
        if sample.value:
            reason = sample.labels["reason"]
            failures[reason] = failures.get(reason, 0) + int(sample.value)
    return Calls(
        account=where["account"],
        region_id=where["region_id"],
        rate_limit=limit.value,
        configured_rate=configured_rate,
        requests=_sum(samples, catalog.API_REQUESTS, where),
        retries=_sum(samples, catalog.API_RETRIES, where),
        failures=failures,
    )


def polls(registry: CollectorRegistry) -> tuple[Polls, ...]:
    """Return the polls of each source."""
    samples = [*_samples(registry, _POLLS)]
    sources = [sample.labels for sample in samples if sample.name == catalog.POLLS.name]
    return tuple(
        Polls(
            source=source["source"],
            finished=_sum(samples, catalog.POLLS, source),
            failed=_sum(samples, catalog.POLL_FAILURES, source),
            skipped=_sum(samples, catalog.POLLS_SKIPPED, source),
            malformed_records=_sum(samples, catalog.MALFORMED_RECORDS, source),
            unknown_states=_sum(samples, catalog.UNKNOWN_STATES, source),
        )
        for source in sources
    )


def _samples(registry: CollectorRegistry, metrics: tuple[Metric, ...]) -> Iterator[Sample]:
    """Read only these families: the others cost more than they are worth here."""
    for family in registry.restricted_registry([metric.name for metric in metrics]).collect():
        yield from family.samples


def _of(samples: list[Sample], metric: Metric, labels: Mapping[str, str]) -> Iterator[Sample]:
    for sample in samples:
        if sample.name == metric.name and labels.items() <= sample.labels.items():
            yield sample


def _sum(samples: list[Sample], metric: Metric, labels: Mapping[str, str]) -> int:
    return int(sum(sample.value for sample in _of(samples, metric, labels)))
