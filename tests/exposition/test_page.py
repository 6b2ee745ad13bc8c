"""Rendering a snapshot as a page."""

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families as lenient

from exporter.catalog import CATALOG
from exporter.errors import Reason
from exporter.exposition import Form, OwnMetrics, PageFormat, PageResponses, RenderedSnapshotStore
from exporter.model import Source, Target
from exporter.snapshot import Failure, Sample, Snapshot, TargetView

TARGET = Target(Source.LIVY_SESSIONS, "", "cn-hangzhou", "w-1", "lc-1")

EVERYTHING = Snapshot(
    counters={
        metric: (Sample(tuple(metric.labels), 1.5),)
        for metric in CATALOG
        if metric.kind != "histogram"
    }
)
"""A snapshot in which every metric that can be rendered has a sample."""


def whole(
    snapshot: Snapshot, form: PageFormat = PageFormat.TEXT, own: CollectorRegistry | None = None
) -> str:
    """Return the page of a snapshot, with what is live."""
    answers = PageResponses(RenderedSnapshotStore(snapshot), OwnMetrics(own or CollectorRegistry()))
    return answers.answer(Form(form, is_gzipped=False)).read().decode()


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (TargetView(TARGET, stale_after=300), {"stale_after_seconds": 300}),
        (
            TargetView(
                TARGET,
                stale_after=300,
                up=True,
                last_success_at=7.5,
                last_duration=0.0,
                last_requests=0,
            ),
            {
                "up": 1,
                "last_success_timestamp_seconds": 7.5,
                "stale_after_seconds": 300,
                "last_poll_duration_seconds": 0,
                "last_poll_requests": 0,
            },
        ),
        (
            TargetView(TARGET, stale_after=300, up=False, failure=Failure(Reason.CLOCK, "late")),
            {"up": 0, "error_info": 1, "stale_after_seconds": 300},
        ),
    ],
    ids=["not yet polled", "up", "down"],
)
def test_the_poll_metrics_of_a_target(view: TargetView, expected: dict[str, float]) -> None:
    """Unknown values are absent; the reason is present while polls fail."""
    families = lenient(whole(Snapshot().with_targets(view)))
    prefix = "emr_serverless_spark_exporter_target_"
    assert {
        sample.name.removeprefix(prefix): sample.value
        for family in families
        for sample in family.samples
    } == expected


def test_the_exporters_own_metrics_are_those_of_the_last_refresh() -> None:
    """They are appended to the rendered snapshot, before the end mark."""
    registry = CollectorRegistry()
    gauge = Gauge("live", "Live.", registry=registry)
    own = OwnMetrics(registry)
    answers = PageResponses(RenderedSnapshotStore(EVERYTHING), own)
    forms = [Form(form, is_gzipped=False) for form in PageFormat]
    for value in (1, 2):
        gauge.set(value)
        own.refresh()
        text, openmetrics = (answers.answer(form).read().decode() for form in forms)
        assert text.endswith(f"live {value}.0\n")
        assert openmetrics.endswith(f"live {value}.0\n# EOF\n")
        assert openmetrics.count("# EOF") == 1


def test_counters_have_no_created_series() -> None:
    """They would double the page and are not used."""
    text, openmetrics = (whole(EVERYTHING, form) for form in PageFormat)
    assert "_created " not in text.replace("created_timestamp", "")
    assert "_created{" not in openmetrics
