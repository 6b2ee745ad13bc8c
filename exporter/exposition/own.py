"""The exporter's own live metrics, rendered by prometheus-client beside the scrapes."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from exporter.exposition.formats import PageFormat
from exporter.exposition.gzipped import Chunk, Row

OwnPart = Mapping[PageFormat, Row]
"""The end of the page in each format: compressed as the last of its member."""


class OwnMetrics:
    """What is in a registry, as it was when last refreshed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._current: OwnPart
        self.refresh()

    @property
    def current(self) -> OwnPart:
        """Give the end of the page; another object after each refresh."""
        return self._current

    def refresh(self) -> None:
        """Render what the registry holds now."""
        ready = CollectorRegistry(auto_describe=False)
        ready.register(_Families(list(self._registry.collect())))
        self._current = {form: _ending(encoded(ready, form)) for form in PageFormat}


def encoded(registry: CollectorRegistry, form: PageFormat) -> bytes:
    """Have prometheus-client write a whole page."""
    if form is PageFormat.TEXT:
        return exposition.generate_latest(registry)
    page: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
    return page


def _ending(lines: bytes) -> Row:
    return Row.of([Chunk.of((lines,), is_last=True)])


class _Families(Collector):
    """Hands ready families to prometheus-client's renderers."""

    def __init__(self, ready: Iterable[Family]) -> None:
        self._ready = ready

    def collect(self) -> Iterable[Family]:
        return self._ready
