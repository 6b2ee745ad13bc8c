"""Rendering a snapshot as a page."""

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict
from prometheus_client.parser import text_string_to_metric_families as lenient

from exporter import catalog
from exporter.catalog import CATALOG
from exporter.errors import Reason
from exporter.exposition import Answers, Form, OwnMetrics, PageFormat, RenderedBoard
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
"""A picture in which every metric that can be rendered has a sample."""


def whole(
    picture: Snapshot, form: PageFormat = PageFormat.TEXT, own: CollectorRegistry | None = None
) -> str:
    """Give the page of a picture, with what is live."""
    answers = Answers(RenderedBoard(picture), OwnMetrics(own or CollectorRegistry()))
    return answers.answer(Form(form, is_gzipped=False)).read().decode()


def names(text: str) -> list[str]:
    """Give the families of a page in order."""
    return [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]


def test_every_metric_can_be_rendered_in_both_formats() -> None:
    """Parsers of both formats read the catalog's names, types and helps, in its order."""
    text, openmetrics = (whole(EVERYTHING, form) for form in PageFormat)
    expected = [metric for metric in CATALOG if metric.kind != "histogram"]
    assert names(text) == [metric.name for metric in expected]
    assert names(openmetrics) == [metric.family for metric in expected]
    for families in (
        lenient(text),
        strict(openmetrics),  # type: ignore[no-untyped-call]
    ):
        found = {family.name: family for family in families}
        for metric in expected:
            family = found[metric.family]
            assert (family.type, family.documentation) == (metric.kind, metric.help)
            assert [tuple(sample.labels) for sample in family.samples] == [
                tuple(sorted(metric.labels))
            ]


def test_a_family_without_samples_is_not_on_the_page() -> None:
    """An empty picture is an empty page."""
    assert [whole(Snapshot(), form) for form in PageFormat] == ["", "# EOF\n"]


def test_samples_of_a_family_are_contiguous() -> None:
    """Several targets make one family, in the order of the targets."""
    targets = [Target(Source.SESSION_CLUSTERS, "", "r", workspace) for workspace in ("b", "a")]
    picture = Snapshot()
    for target in targets:
        labels = (target.workspace_id, "SQL", "q", "running")
        gauges = {catalog.SESSION_CLUSTERS: (Sample(labels, 1.0),)}
        picture = picture.with_targets(TargetView(target, stale_after=1, gauges=gauges))
    lines = whole(picture).splitlines()
    found = [line for line in lines if line.startswith(catalog.SESSION_CLUSTERS.name)]
    assert [line.split("workspace_id=")[1] for line in found] == ['"a"} 1.0', '"b"} 1.0']
    assert len(names(whole(picture))) == 2


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
    answers = Answers(RenderedBoard(EVERYTHING), own)
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
