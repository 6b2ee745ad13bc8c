"""The groups of samples that a picture consists of, in the order of the page."""

from collections.abc import Iterator
from itertools import chain

from exporter import catalog
from exporter.model import Target
from exporter.snapshot import Samples, SampleSet, Snapshot, TargetView, groups_of


def groups(snapshot: Snapshot) -> Iterator[Samples]:
    """Give every group; within a family, samples stand in the order of the groups."""
    views = sorted(snapshot.targets.items())
    yield from groups_of(snapshot.infos)
    for target, view in views:
        yield _of_polls(target, view)
    yield from chain.from_iterable(groups_of(view.gauges) for _, view in views)
    yield from groups_of(snapshot.counters)


def _of_polls(target: Target, view: TargetView) -> Samples:
    """Give the samples that say how the polls of a target go."""
    found = SampleSet()
    labels = (target.source, target.workspace_id, target.livy_compute_id)
    found.add(catalog.TARGET_UP, labels, view.up)
    if view.failure is not None:
        found.add(catalog.TARGET_ERROR_INFO, (*labels, view.failure.reason), 1)
    found.add(catalog.TARGET_LAST_SUCCESS, labels, view.last_success_at)
    found.add(catalog.TARGET_STALE_AFTER, labels, view.stale_after)
    found.add(catalog.TARGET_POLL_DURATION, labels, view.last_duration)
    found.add(catalog.TARGET_POLL_REQUESTS, labels, view.last_requests)
    if view.walk is not None:
        found.add(catalog.WALK_PAGES, labels[1:], view.walk.pages)
        found.add(catalog.WALK_PAGES_EXPECTED, labels[1:], view.walk.expected)
    return found.freeze()
