"""The immutable snapshot of everything that the page shows.

A new snapshot replaces the old one by one reference swap, so each reader sees one
consistent state: the gauges of a target and the totals that belong to them change together.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from exporter.catalog import Metric
from exporter.errors import Reason
from exporter.model import LivySession, Scope, SessionCluster, Target


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One sample: label values in the order of the metric's labels, and the value.

    There are 100,000 of them, which the garbage collector does not look at: looking at all of
    them would stop everything else for a tenth of a second.
    """

    labels: tuple[str, ...]
    value: float


Samples = Mapping[Metric, tuple[Sample, ...]]


class GroupedSamples(Mapping[Metric, tuple[Sample, ...]]):
    """Samples in groups that change together, such as those of one session.

    A group that has not changed should be the same object in the next snapshot, so that what was
    made of it can be used again.
    """

    def __init__(self, groups: Iterable[Samples]) -> None:
        self._groups = tuple(groups)

    @property
    def groups(self) -> tuple[Samples, ...]:
        """The groups, in the order of the page."""
        return self._groups

    @cached_property
    def _merged(self) -> Samples:
        found: dict[Metric, list[Sample]] = {}
        for group in self.groups:
            for metric, samples in group.items():
                found.setdefault(metric, []).extend(samples)
        return {metric: tuple(samples) for metric, samples in found.items()}

    def __getitem__(self, metric: Metric) -> tuple[Sample, ...]:
        """Return the samples of a family in the order of the groups."""
        return self._merged[metric]

    def __iter__(self) -> Iterator[Metric]:
        """Go through the families that have samples."""
        return iter(self._merged)

    def __len__(self) -> int:
        """Count the families that have samples."""
        return len(self._merged)

    def __bool__(self) -> bool:
        """Whether there is a sample, without looking at all of them."""
        return any(self.groups)


def groups_of(samples: Samples) -> tuple[Samples, ...]:
    """Return the groups of `samples`; those that came without are one."""
    return samples.groups if isinstance(samples, GroupedSamples) else (samples,)


class SampleSet:
    """Gathers samples, family by family, and then freezes them."""

    def __init__(self) -> None:
        self._samples: dict[Metric, list[Sample]] = {}

    def add(self, metric: Metric, labels: tuple[str, ...], value: float | None) -> None:
        """Add one sample; what is not known (`None`) has none."""
        if value is not None:
            self._samples.setdefault(metric, []).append(Sample(labels, value))

    def add_state(
        self, metric: Metric, labels: tuple[str, ...], states: tuple[str, ...], state: str
    ) -> None:
        """Add one sample for each of `states`: 1 for `state`, 0 for the others."""
        for known in states:
            self.add(metric, (*labels, known), float(known == state))

    def freeze(self) -> Samples:
        """Return what was gathered."""
        return MappingProxyType(
            {metric: tuple(samples) for metric, samples in self._samples.items()}
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last poll of a target failed, in words for the log and the status page."""

    reason: Reason
    message: str
    advice: str = ""

    @property
    def with_advice(self) -> str:
        """What happened, then what to do."""
        return "; ".join(filter(None, (self.message, self.advice)))


class ScanProgress(NamedTuple):
    """How far a full scan of a Livy history has come; `expected` is `None` if unknown."""

    pages: int
    expected: int | None


@dataclass(frozen=True, slots=True)
class Records:
    """The records behind the gauges of a target, for the status page.

    `sessions` are the Livy sessions that have series of their own. `clusters` are the session
    clusters, each with when it entered its state (seconds since 1970) where that is known.
    """

    sessions: tuple[LivySession, ...] = ()
    clusters: tuple[tuple[SessionCluster, float | None], ...] = ()


NO_RECORDS = Records()


@dataclass(frozen=True, slots=True)
class TargetView:
    """One target: how its polls go, and its gauges as of the last good one.

    `up` is `None` until a poll has finished. `gauges` is empty if the target is stale.
    The age of the gauges is measured on the monotonic clock (`gauges_read`), shown times
    come from the wall clock (`last_success_at`, seconds). `scan` is there while one goes on.
    `polls` counts those that have finished; `records` go when the gauges go.
    """

    target: Target
    stale_after: float
    up: bool | None = None
    failure: Failure | None = None
    last_success_at: float | None = None
    last_duration: float | None = None
    last_requests: int | None = None
    gauges_read: float = 0.0
    scan: ScanProgress | None = None
    gauges: Samples = field(default_factory=dict)
    records: Records = NO_RECORDS
    polls: int = 0

    def is_stale(self, monotonic: float) -> bool:
        """Whether gauges were read so long before `monotonic` that they must go."""
        return self.gauges_read > 0 and monotonic >= self.gauges_read + self.stale_after


@dataclass(frozen=True, slots=True)
class DiscoveryView:
    """How the discovery of one scope goes; `up` is `None` until one has finished."""

    up: bool | None = None
    failure: Failure | None = None
    last_success_at: float | None = None


def _nothing() -> MappingProxyType[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the page shows but the exporter's own live metrics.

    `version` counts publishes. `counters` are the ledger's totals as they may be shown now,
    `infos` what is known of the targets themselves and never withdrawn.
    """

    version: int = 0
    targets: MappingProxyType[Target, TargetView] = field(default_factory=_nothing)
    counters: Samples = field(default_factory=dict)
    infos: Samples = field(default_factory=dict)
    discoveries: MappingProxyType[Scope, DiscoveryView] = field(default_factory=_nothing)

    def with_targets(self, *views: TargetView) -> "Snapshot":
        """Return a snapshot in which `views` are those of their targets; targets stay in order."""
        targets = self.targets.copy()  # copies memory, where {**targets} hashes every target again
        targets.update({view.target: view for view in views})
        if len(targets) > len(self.targets):
            targets = dict(sorted(targets.items(), key=itemgetter(0)))
        return replace(self, targets=MappingProxyType(targets))

    def without_targets(self, gone: Collection[Target]) -> "Snapshot":
        """Return a snapshot without the targets `gone`; their counters stay."""
        targets = {target: view for target, view in self.targets.items() if target not in gone}
        return replace(self, targets=MappingProxyType(targets))

    def with_discoveries(self, views: Mapping[Scope, DiscoveryView]) -> "Snapshot":
        """Return a snapshot with other discoveries."""
        return replace(self, discoveries=MappingProxyType(dict(views)))

    def with_discovery(self, scope: Scope, view: DiscoveryView) -> "Snapshot":
        """Return a snapshot in which `view` replaces that of the known `scope`."""
        views = self.discoveries.copy()
        views[scope] = view
        return replace(self, discoveries=MappingProxyType(views))

    def without_stale_gauges(self, monotonic: float) -> "Snapshot":
        """Return a snapshot without the gauges of targets that are stale at `monotonic`.

        Return the same snapshot if there are none.
        """
        stale = [view for view in self.targets.values() if view.gauges and view.is_stale(monotonic)]
        if not stale:
            return self
        return self.with_targets(*(replace(view, gauges={}, records=NO_RECORDS) for view in stale))


class SnapshotStore:
    """Holds the current snapshot. Publish from one thread; read from any."""

    def __init__(self, first: Snapshot) -> None:
        self._current = first
        self._watchers: list[Callable[[Snapshot], None]] = []

    @property
    def current(self) -> Snapshot:
        """The snapshot that was published last."""
        return self._current

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the snapshot by `snapshot`, under the next version, if it differs."""
        if snapshot is not self._current:
            self._current = replace(snapshot, version=self._current.version + 1)
            for watch in self._watchers:
                watch(self._current)

    def watch(self, watcher: Callable[[Snapshot], None]) -> None:
        """Call `watcher` with every snapshot from now on, on the thread that publishes."""
        self._watchers.append(watcher)
