"""Strategies for snapshots, with hostile label values."""

from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st

from exporter.catalog import CATALOG, Metric
from exporter.errors import Reason
from exporter.model import Source, Target
from exporter.snapshot import Failure, GroupedSamples, Sample, Samples, Snapshot, TargetView

METRICS = [metric for metric in CATALOG if metric.kind != "histogram"]

HOSTILE = (
    "",
    "\\",
    '"',
    "\n",
    "\\n",
    "{}",
    "%s",
    "%",
    "# EOF",
    '"} 1\n',
    "\r",
    "\u2028",
    "\0",
    "名",
)

texts = st.text(st.characters(codec="utf-8"), max_size=8)

label_texts = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(st.sampled_from(HOSTILE), max_size=4).map("".join),
    texts,
)
values = st.one_of(
    st.floats(),
    st.integers(-(10**18), 10**18),
    st.booleans(),
    st.sampled_from((0.0, -0.0, 1.0, 1e6, 1234567.0, 1e15, 1e16, 1e22, 5e-324, 0.1 + 0.2)),
)


def samples_of(metric: Metric) -> st.SearchStrategy[tuple[Sample, ...]]:
    """Return samples that a family could have."""
    labels = st.tuples(*(label_texts for _ in metric.labels))
    return st.lists(st.builds(Sample, labels, values), max_size=4).map(tuple)


@st.composite
def groups(draw: st.DrawFn) -> Samples:
    """Return a group of samples of some families."""
    metrics = draw(st.lists(st.sampled_from(METRICS), unique=True, max_size=4))
    return {metric: draw(samples_of(metric)) for metric in metrics}


samples = st.one_of(groups(), st.lists(groups(), max_size=4).map(GroupedSamples))

targets = st.builds(
    Target,
    st.sampled_from(Source),
    account=st.just(""),
    region_id=st.just("r"),
    workspace_id=label_texts,
    livy_compute_id=label_texts,
)


@st.composite
def views(draw: st.DrawFn) -> TargetView:
    """Return how the polls of some target go."""
    maybe: Any = st.one_of(st.none(), values)
    return TargetView(
        draw(targets),
        stale_after=draw(values),
        up=draw(st.sampled_from((None, False, True))),
        failure=draw(st.sampled_from((None, Failure(Reason.CLOCK, "late")))),
        last_success_at=draw(maybe),
        last_duration=draw(maybe),
        gauges=draw(samples),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Return a snapshot."""
    found = {view.target: view for view in draw(st.lists(views(), max_size=3))}
    return Snapshot(targets=MappingProxyType(found), counters=draw(samples), infos=draw(samples))
