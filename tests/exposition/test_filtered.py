"""Pages filtered by metric name, compared with prometheus-client's own server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from exporter.catalog import CATALOG
from exporter.exposition import (
    Form,
    OwnMetrics,
    PageFormat,
    PageResponses,
    RenderedSnapshotStore,
    filtered,
)
from exporter.exposition.responses import encoded
from exporter.snapshot import Snapshot
from tests.exposition.snapshots import snapshots
from tests.support.budgets import examples

NAMES = [metric.name for metric in CATALOG]


def own_registry() -> CollectorRegistry:
    """Make metrics of each kind, as prometheus-client keeps them."""
    registry = CollectorRegistry()
    Counter("calls", "Calls.", ["kind"], registry=registry).labels('a\\b"\n{calls_total} 1').inc(2)
    Gauge("calls_now", "Calls now; # TYPE x.", registry=registry).set(1)
    Histogram("wait", "Waits.", registry=registry, buckets=(1, 2)).observe(1.5)
    return registry


def part_of(snapshot: Snapshot, form: PageFormat, *names: str) -> str:
    """Return the page of a snapshot, and of metrics of our own, cut down to some names."""
    answers = PageResponses(RenderedSnapshotStore(snapshot), OwnMetrics(own_registry()))
    answer = answers.answer(Form(form, is_gzipped=False))
    return b"".join(filtered(answer, names)).decode()


@pytest.mark.parametrize("form", PageFormat)
@pytest.mark.parametrize(
    "names",
    [
        ("calls_total",),
        ("calls_now", "wait_bucket"),
        ("wait_sum", "wait_count"),
        ("calls",),
        ("wait",),
        ("nothing",),
        (".*",),
        ("calls_total", "calls_now", "wait_bucket", "wait_sum", "wait_count"),
    ],
)
def test_a_filtered_page_equals_that_of_prometheus_client(
    form: PageFormat, names: tuple[str, ...]
) -> None:
    """Names of samples are matched, not those of families."""
    expected = encoded(own_registry().restricted_registry(names), form)
    lines = [line for line in expected.decode().splitlines() if "_created" not in line]
    found = part_of(Snapshot(), form, *names).splitlines()
    assert sorted(found) == sorted(lines)  # the oracle takes families as they come


@examples(0.5)
@given(snapshots(), st.sets(st.sampled_from(NAMES), min_size=1), st.sampled_from(PageFormat))
def test_a_filtered_page_has_the_named_samples_and_no_others(
    snapshot: Snapshot, names: set[str], form: PageFormat
) -> None:
    """Whatever characters the labels contain."""
    answers = PageResponses(RenderedSnapshotStore(snapshot), OwnMetrics(CollectorRegistry()))
    whole = answers.answer(Form(form, is_gzipped=False))
    lines = whole.read().decode().split("\n")
    samples = [line for line in lines if line.split("{")[0].split(" ")[0] in names]
    found = b"".join(filtered(whole, names)).decode().split("\n")
    assert [line for line in found if line and not line.startswith("#")] == samples
    assert ("# EOF" in found) == (form is PageFormat.OPENMETRICS)
