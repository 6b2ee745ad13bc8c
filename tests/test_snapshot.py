"""The immutable snapshot, and the store that holds the current one."""

from dataclasses import replace

import pytest

from exporter import catalog
from exporter.model import LivySession, Source, Target
from exporter.snapshot import Records, Sample, SampleSet, Snapshot, SnapshotStore, TargetView

TARGET = Target(Source.SESSION_CLUSTERS, "", "cn-hangzhou", "w-1")
OTHER = TARGET._replace(workspace_id="w-2")
GAUGES = {catalog.SESSION_CLUSTERS: (Sample(("w-1", "SQL", "q", "running"), 1.0),)}


def test_unknown_values_have_no_sample() -> None:
    """What is not known is left out; 0 and False are known."""
    found = SampleSet()
    for value in (None, 0, False):
        found.add(catalog.LEDGER_SIZE, (), value)
    assert found.freeze() == {catalog.LEDGER_SIZE: (Sample((), 0), Sample((), 0))}


def test_a_state_is_one_of_its_vocabulary() -> None:
    """Every state has a sample, and only the one that is the case has 1."""
    found = SampleSet()
    found.add_state(catalog.SESSION_CLUSTER_STATE, ("w", "sc"), ("a", "b"), "b")
    assert found.freeze() == {
        catalog.SESSION_CLUSTER_STATE: (Sample(("w", "sc", "a"), 0), Sample(("w", "sc", "b"), 1))
    }


def test_a_frozen_set_stays_as_it_was() -> None:
    """What is added later is not in a snapshot that was published before."""
    found = SampleSet()
    found.add(catalog.LEDGER_SIZE, (), 1)
    frozen = found.freeze()
    found.add(catalog.LEDGER_SIZE, (), 2)
    assert frozen == {catalog.LEDGER_SIZE: (Sample((), 1),)}


def test_each_publish_has_a_version_of_its_own() -> None:
    """A snapshot that says nothing new is not published again."""
    snapshots = SnapshotStore(Snapshot())
    first = snapshots.current
    snapshots.publish(first)
    assert snapshots.current is first
    snapshots.publish(first.with_targets(TargetView(TARGET, stale_after=300)))
    assert (first.version, snapshots.current.version) == (0, 1)
    assert list(first.targets) == []


@pytest.mark.parametrize(("monotonic", "is_stale"), [(399.9, False), (400.0, True), (999.0, True)])
def test_gauges_go_when_they_are_too_old(monotonic: float, is_stale: bool) -> None:  # noqa: FBT001
    """At the age that the target allows, its gauges and what is behind them go, and no more."""
    records = Records(sessions=(LivySession("s", "running"),))
    old = TargetView(
        TARGET, stale_after=300, up=False, gauges=GAUGES, gauges_read=100.0, records=records
    )
    young = TargetView(OTHER, stale_after=300, up=True, gauges=GAUGES, gauges_read=900.0)
    snapshot = Snapshot().with_targets(old).with_targets(young)
    fresh = snapshot.without_stale_gauges(monotonic)
    expected = replace(old, gauges={}, records=Records()) if is_stale else old
    assert fresh.targets == {TARGET: expected, OTHER: young}
    assert (fresh is snapshot) is not is_stale


def test_what_is_stale_is_withdrawn_once() -> None:
    """A target without gauges has nothing to withdraw, so nothing is published anew."""
    view = TargetView(TARGET, stale_after=300, up=True)
    snapshot = Snapshot().with_targets(view)
    assert snapshot.without_stale_gauges(1e9) is snapshot


def test_a_watcher_sees_every_snapshot() -> None:
    """A watcher is called with each snapshot as it is published, and with no other."""
    snapshots, seen = SnapshotStore(Snapshot()), list[Snapshot]()
    snapshots.watch(seen.append)
    snapshots.publish(snapshots.current)
    snapshots.publish(Snapshot())
    assert seen == [snapshots.current]
    assert seen[0].version == 1
