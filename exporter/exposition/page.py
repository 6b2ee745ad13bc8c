"""The page as ready bytes, rendered once for each publish.

The exporter's own live metrics are rendered at the scrape and joined: no family is in both
parts, and in OpenMetrics the end mark comes after the last of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from exporter.exposition.families import families
from exporter.snapshot import Snapshot

_END = b"# EOF\n"


class PageFormat(Enum):
    """The formats of the page, by the `Content-Type` that says so."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    @classmethod
    def negotiate(cls, accept: str) -> "PageFormat":
        """Choose by an `Accept` header, as prometheus-client does."""
        _, content_type = exposition.choose_encoder(accept)
        return cls.OPENMETRICS if "openmetrics" in content_type else cls.TEXT


@dataclass(frozen=True, slots=True)
class Page:
    """The rendered picture, without the exporter's own live metrics and without end marks."""

    snapshot: Snapshot
    text: bytes
    openmetrics: bytes

    def joined(self, own: CollectorRegistry, form: PageFormat) -> bytes:
        """Give the whole page: this picture, and the metrics in `own` as they are now."""
        ready = self.text if form is PageFormat.TEXT else self.openmetrics
        return ready + _encoded(own, form)


def render(snapshot: Snapshot) -> Page:
    """Render `snapshot` in every format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(list(families(snapshot))))
    return Page(
        snapshot,
        _encoded(registry, PageFormat.TEXT),
        _encoded(registry, PageFormat.OPENMETRICS).removesuffix(_END),
    )


def _encoded(registry: CollectorRegistry, form: PageFormat) -> bytes:
    if form is PageFormat.TEXT:
        return exposition.generate_latest(registry)
    encoded: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
    return encoded


class _Families(Collector):
    """Hands ready families to prometheus-client's renderers."""

    def __init__(self, ready: Iterable[Family]) -> None:
        self._ready = ready

    def collect(self) -> Iterable[Family]:
        return self._ready
