"""The exporter's own metrics, counted where they happen, on a registry that is passed in.

Every label set that can be known beforehand exists at 0 from the start, so that the first
event of its kind is an increase that Prometheus can see.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from exporter import catalog
from exporter.catalog import Metric
from exporter.errors import LedgerFailure, Reason
from exporter.model import NAMELESS, Loss, Ownership, Source, Standing, Target, Work

_REQUEST_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

_MOST_STATES = 100
"""So many undocumented states are told apart; a service that makes up more is told of no more."""

K = TypeVar("K", bound=Hashable)


class Telemetry:
    """Counters of what the exporter does. Safe to call from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # A second series beside each counter, which no rule of ours reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry
        self._requests = self._counter(catalog.API_REQUESTS)
        self._failures = self._counter(catalog.API_FAILURES)
        self._retries = self._counter(catalog.API_RETRIES)
        self._seconds = self._histogram(catalog.API_DURATION, _REQUEST_SECONDS)
        self._rate_limit = self._gauge(catalog.API_RATE_LIMIT)
        self._polls = self._counter(catalog.POLLS)
        self._poll_failures = self._counter(catalog.POLL_FAILURES)
        self._skipped = self._counter(catalog.POLLS_SKIPPED)
        self._late = self._counter(catalog.POLLS_LATE)
        self._malformed = self._counter(catalog.MALFORMED_RECORDS)
        self._malformed_ids = self._gauge(catalog.MALFORMED_RECORD_IDS)
        self._malformed_seen: set[tuple[Target, str]] = set()
        self._unknown_states = self._counter(catalog.UNKNOWN_STATES)
        self._strange_seen: set[tuple[Source, str]] = set()
        self._ledger_failures = self._counter(catalog.LEDGER_FAILURES)
        for kind in LedgerFailure:
            self._ledger_failures.labels(kind)
        self._web_config: Gauge | None = None

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self._registry)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self._registry)

    def _histogram(self, metric: Metric, buckets: Sequence[float]) -> Histogram:
        return Histogram(
            metric.name, metric.help, metric.labels, registry=self._registry, buckets=buckets
        )

    def expect_sources(self, sources: Iterable[Source]) -> None:
        """Bring the label sets of `sources` into being, at 0, in an order of their own."""
        for source in sorted(sources):
            for counter in (
                self._polls,
                self._skipped,
                self._late,
                self._malformed,
                self._unknown_states,
            ):
                counter.labels(source)
            self._malformed_ids.labels(source)
            for reason in Reason:
                self._poll_failures.labels(source, reason)

    def expect_calls(self, work: Work) -> None:
        """Bring the label sets of the calls that `work` makes into being, at 0."""
        where = (work.account, work.region_id, work.action)
        self._requests.labels(*where)
        self._retries.labels(*where)
        self._seconds.labels(work.action)
        for reason in Reason:
            self._failures.labels(*where, reason)

    def build_info(self, *, version: str, revision: str, python_version: str) -> None:
        """Set the metric of the build."""
        info = self._gauge(catalog.BUILD_INFO)
        info.labels(version, revision, python_version).set(1)

    def describe_process(self) -> None:
        """Show what the process uses, by the names that all exporters use."""
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def poll_finished(self, source: Source, failure: Reason | None) -> None:
        """Count a finished poll; `failure` is `None` if it succeeded completely."""
        self._polls.labels(source).inc()
        if failure is not None:
            self._poll_failures.labels(source, failure).inc()

    def poll_skipped(self, source: Source) -> None:
        """Count a poll that did not start because the one before was still running."""
        self._skipped.labels(source).inc()

    def poll_late(self, source: Source) -> None:
        """Count a poll that began late."""
        self._late.labels(source).inc()

    def records_read(
        self, target: Target, *, malformed: Sequence[str], strange_states: Sequence[str]
    ) -> tuple[Sequence[str], Sequence[str]]:
        """Count the readings of records of which something was not understood.

        `malformed` are the ids of those that were left out. Returns the ids and the states that
        were not met before.
        """
        self._malformed.labels(target.source).inc(len(malformed))
        self._unknown_states.labels(target.source).inc(len(strange_states))
        # A digest stands for a record without an id, and changes with it: they are only counted.
        names = [name for name in malformed if not name.startswith(NAMELESS)]
        nameless = len(malformed) - len(names)
        names += (f"without an id ({number})" for number in range(1, nameless + 1))
        records = _unseen(self._malformed_seen, ((target, name) for name in names))
        self._malformed_ids.labels(target.source).inc(len(records))
        states: list[str] = []
        if len(self._strange_seen) < _MOST_STATES:
            found = ((target.source, state) for state in strange_states)
            states = [state for _, state in _unseen(self._strange_seen, found)]
        return [name for _, name in records], states

    def ledger_failed(self, reason: LedgerFailure) -> None:
        """Count a write of the ledger that failed."""
        self._ledger_failures.labels(reason).inc()

    def watch_ledger(self, is_up: Callable[[], bool]) -> Callable[[float], None]:
        """Set up the metrics of the ledger; return the function that observes commit times."""
        self._gauge(catalog.LEDGER_UP).set_function(is_up)
        return self._histogram(catalog.LEDGER_COMMIT_DURATION, _COMMIT_SECONDS).observe

    def watch_lease(self, ownership: Callable[[], Ownership | None]) -> None:
        """Show who owns a ledger that several replicas share."""
        self._registry.register(_LeaseCollector(ownership))

    def watch_rate(self, account: str, region_id: str, rate: Callable[[], float]) -> None:
        """Show the rate of an account's requests to a region as it is at each scrape."""
        self._rate_limit.labels(account, region_id).set_function(rate)

    def web_config_read(self, *, is_good: bool) -> None:
        """Note how the last reading of the web configuration went; no file, no series."""
        if self._web_config is None:
            self._web_config = self._gauge(catalog.WEB_CONFIG_RELOADED)
        self._web_config.set(is_good)

    def api_meter(self, account: str, region_id: str) -> "ApiMeter":
        """Return the counters of the calls of one account and region."""
        return ApiMeter(
            account, region_id, self._requests, self._failures, self._retries, self._seconds
        )


class ApiMeter:
    """Counts the HTTP requests of one account and region; `requests` are those made through it."""

    def __init__(
        self,
        account: str,
        region_id: str,
        requests: Counter,
        failures: Counter,
        retries: Counter,
        seconds: Histogram,
    ) -> None:
        self.requests = 0
        self._where = (account, region_id)
        self._requests = requests
        self._failures = failures
        self._retries = retries
        self._seconds = seconds

    def attempted(self, action: str) -> None:
        """Count one HTTP request that is about to be sent."""
        self.requests += 1
        self._requests.labels(*self._where, action).inc()

    def failed(self, action: str, reason: Reason) -> None:
        """Count one HTTP request that failed."""
        self._failures.labels(*self._where, action, reason).inc()

    def retried(self, action: str) -> None:
        """Count one HTTP request that repeats a failed one."""
        self._retries.labels(*self._where, action).inc()

    def took(self, action: str, seconds: float) -> None:
        """Record how long one HTTP request took, in seconds."""
        self._seconds.labels(action).observe(seconds)


class _LeaseCollector(Collector):
    """The metrics of the lease, as it is at each scrape."""

    def __init__(self, ownership: Callable[[], Ownership | None]) -> None:
        self._ownership = ownership

    def collect(self) -> Iterator[Family]:
        now = self._ownership()
        if now is None:
            return
        losses = CounterMetricFamily(
            catalog.LEASE_LOSSES.name, catalog.LEASE_LOSSES.help, labels=catalog.LEASE_LOSSES.labels
        )
        for loss in Loss:
            losses.add_metric([loss], now.losses.get(loss, 0))
        yield losses
        for metric, value in (
            (catalog.LEASE_HOLDER, float(now.standing is Standing.OWNER)),
            (catalog.LEASE_SETTINGS_DIFFER, float(now.settings_differ)),
        ):
            yield GaugeMetricFamily(metric.name, metric.help, value)
        for metric, count in (
            (catalog.LEASE_ACQUISITIONS, now.acquisitions),
            (catalog.LEDGER_REWINDS, now.rewinds),
        ):
            yield CounterMetricFamily(metric.name, metric.help, count)


def _unseen(seen: set[K], keys: Iterable[K]) -> list[K]:
    """Return the keys that are not in a set, each once, and add them to it."""
    news = [*dict.fromkeys(key for key in keys if key not in seen)]
    seen.update(news)
    return news
