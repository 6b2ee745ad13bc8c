"""Pages equal those of prometheus-client, byte by byte, in every form."""

import gzip
import random
import zlib
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from exporter.catalog import Metric
from exporter.exposition import (
    Form,
    OwnMetrics,
    PageFormat,
    PageResponses,
    RenderedSnapshotStore,
    Renderer,
    formats,
)
from exporter.exposition.responses import encoded
from exporter.model import Source, Target
from exporter.snapshot import GroupedSamples, Sample, Samples, Snapshot, TargetView
from tests.exposition.snapshots import HOSTILE, METRICS, snapshots, texts
from tests.support.budgets import examples
from tests.support.reference_pages import END, family_of, reference_page, registry_of

FORMS = [Form(form, is_gzipped) for form in PageFormat for is_gzipped in (False, True)]


def own_metrics() -> CollectorRegistry:
    """Make metrics of every kind that the exporter has of its own."""
    registry = CollectorRegistry()
    gauge = Gauge("own_gauge", 'Of "its" own\\.', ["label"], registry=registry)
    for text in HOSTILE:
        gauge.labels(text).set(1.5)
    Counter("own_events_total", "Events.", registry=registry).inc()
    Histogram("own_seconds", "Seconds.", registry=registry).observe(0.3)
    return registry


def expected(snapshot: Snapshot, registry: CollectorRegistry, form: PageFormat) -> bytes:
    """Return the page as prometheus-client has it."""
    return reference_page(snapshot, form) + encoded(registry, form)


def sole_member(body: bytes) -> bytes:
    """Decompress gzip as clients do that take one member only."""
    reader = zlib.decompressobj(31)
    text = reader.decompress(body) + reader.flush()
    assert (reader.eof, reader.unused_data) == (True, b"")
    return text


@examples(0.5)
@given(snapshots())
@example(Snapshot())
def test_every_form_of_a_page_equals_that_of_prometheus_client(snapshot: Snapshot) -> None:
    """Both formats, compressed or not."""
    registry = own_metrics()
    answers = PageResponses(RenderedSnapshotStore(snapshot), OwnMetrics(registry))
    for form in FORMS:
        answer = answers.answer(form)
        body = answer.read()
        assert answer.size == len(body)
        page = sole_member(body) if form.is_gzipped else body
        assert page == expected(snapshot, registry, form.format)
        if form.is_gzipped:
            assert gzip.decompress(body) == page


@examples(0.3)
@given(st.lists(snapshots(), min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_cached_parts_are_never_stale(drawn: Sequence[Snapshot], chance: random.Random) -> None:
    """A snapshot made of parts of earlier ones is rendered as if it were the first."""
    renderer = Renderer()
    for _ in range(6):
        mixed = replace(
            chance.choice(drawn),
            counters=chance.choice(drawn).counters,
            infos=chance.choice(drawn).infos,
        )
        page = renderer.render(mixed)
        for form in PageFormat:
            text = b"".join(
                piece for chunk in page.sequences[form].chunks for piece in chunk.pieces
            )
            assert text == reference_page(mixed, form)


TARGETS = [Target(Source.LIVY_SESSIONS, "", "r", "w", name) for name in "abc"]

POOL: Sequence[Samples] = [
    {
        metric: tuple(
            Sample(tuple(f"{label}{number}" for label in metric.labels), float(number))
            for _ in range(1 + number % 3)
        )
        for metric in METRICS[number : number + 9 : 1 + number % 2]
    }
    for number in range(8)
]
"""Groups that share some of their families, with one to three samples each."""


@given(
    st.lists(st.lists(st.lists(st.sampled_from(POOL), max_size=7), max_size=3), max_size=6),
    st.sampled_from((1, 400, 1 << 18)),
)
def test_pages_stay_equal_while_groups_and_targets_come_and_go(
    steps: Sequence[Sequence[Sequence[Samples]]], chunk_bytes: int
) -> None:
    """However chunks are split, merged and reused."""
    renderer = Renderer(run=2, chunk_bytes=chunk_bytes)
    for step in steps:
        views = {
            target: TargetView(target, stale_after=1, gauges=GroupedSamples(groups))
            for target, groups in zip(TARGETS, step, strict=False)
        }
        snapshot = Snapshot(targets=MappingProxyType(views))
        page = renderer.render(snapshot)
        for form in PageFormat:
            chunks = page.sequences[form].chunks
            text = b"".join(piece for chunk in chunks for piece in chunk.pieces)
            assert text == reference_page(snapshot, form)
            assert page.sequences[form].crc == zlib.crc32(text)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_of_the_catalog_is_rendered_alike(metric: Metric) -> None:
    """Headers and label orders of each."""
    sample = Sample(tuple(f"{label} {HOSTILE}" for label in metric.labels), 2.5)
    snapshot = Snapshot(counters={metric: (sample, sample)})
    page = Renderer().render(snapshot)
    for form in PageFormat:
        text = b"".join(piece for chunk in page.sequences[form].chunks for piece in chunk.pieces)
        assert text == reference_page(snapshot, form)


@given(st.one_of(texts, st.sampled_from(HOSTILE)), st.booleans())
def test_helps_are_escaped(text: str, is_counter: bool) -> None:  # noqa: FBT001
    """Quotes are escaped in OpenMetrics only."""
    metric = (
        Metric("x_total", "counter", (), text) if is_counter else Metric("x", "gauge", (), text)
    )
    family = registry_of(lambda: [family_of(metric)])
    assert formats.text_header(metric) == encoded(family, PageFormat.TEXT)
    assert formats.openmetrics_header(metric) + END == encoded(family, PageFormat.OPENMETRICS)
