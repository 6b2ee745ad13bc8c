"""What is polled now: one job for each target that the inventory lists."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from exporter import catalog
from exporter.clock import Clock
from exporter.model import Scope, Standing, Target, Work
from exporter.poller.boundary import log_transition, run_guarded
from exporter.poller.discovered import DiscoveryLog
from exporter.poller.polling import Polling, PollSource
from exporter.poller.schedule import Schedule
from exporter.snapshot import (
    DiscoveryView,
    GroupedSamples,
    Samples,
    SampleSet,
    SnapshotStore,
    groups_of,
)
from exporter.sources import Discovery, Inventory, SampleCache


@dataclass(frozen=True, slots=True)
class PollJob:
    """A source to poll, and the number of requests made for it so far."""

    source: PollSource
    requests: Callable[[], int]


class TargetRegistry:
    """Keeps the jobs in step with the inventory."""

    def __init__(
        self,
        inventory: Inventory,
        polling: Polling,
        snapshots: SnapshotStore,
        clock: Clock,
        *,
        new_job: Callable[[Target], PollJob],
        new_reader: Callable[[Scope], Discovery],
    ) -> None:
        self._inventory = inventory
        self._polling = polling
        self._snapshots = snapshots
        self._clock = clock
        self._new_job = new_job
        self._new_reader = new_reader
        self._jobs: dict[Target, PollJob] = {}
        self._readers: dict[Scope, Discovery] = {}
        self._schedule: Schedule | None = None
        self._discovery_log = DiscoveryLog()
        self._by_workspace: Mapping[Scope, tuple[Target, ...]] = {}
        self._scope_samples = SampleCache(_samples_of)
        self._standing = Standing.OWNER
        self._term = 0
        self._rested: set[Work] = set()
        self._sync()

    @property
    def jobs(self) -> Mapping[Target, PollJob]:
        """The job of each target that is polled now."""
        return MappingProxyType(self._jobs)

    def run_on(self, schedule: Schedule) -> None:
        """Put all work on `schedule`, and keep that up to date from now on."""
        self._schedule = schedule
        for scope in self._readers:
            schedule.add(scope)
        for target in self._jobs:
            schedule.add(target)

    def follow(self, standing: Standing, term: int) -> None:
        """Poll only where this process owns the ledger: another one does it otherwise.

        A process that becomes the owner begins as after a start, and remembers nothing, also
        where its last `term` has just ended. An owner that may have been replaced without knowing
        polls half as often.
        """
        before, self._standing = self._standing, standing
        is_next, self._term = 0 < self._term < term, term
        if before is not Standing.STANDBY and (standing is Standing.STANDBY or is_next):
            self._inventory.forget()
            self._end_all()
        if standing is not Standing.STANDBY and (before is Standing.STANDBY or is_next):
            self._sync()

    async def run(self, work: Work) -> None:
        """Poll a target or discover a scope once; one that was removed meanwhile is ignored."""
        if self._standing is Standing.EXPIRED and work not in self._rested:
            self._rested.add(work)
            return
        self._rested.discard(work)
        if isinstance(work, Scope):
            await self.discover(work)
            ups = [view.up for view in self._snapshots.current.discoveries.values()]
            if None not in ups and (self._jobs or all(ups)):
                self._discovery_log.note(self._jobs)
        elif work in self._jobs:
            job = self._jobs[work]
            await self._polling.poll(job.source, job.requests)

    async def verify(self, work: Work) -> None:
        """Verify the whole listing of a target beside its polls, if that is due."""
        if isinstance(work, Target) and work in self._jobs:
            await self._polling.verify(self._jobs[work].source)

    async def discover(self, scope: Scope) -> None:
        """Read one scope; where that fails, what was found before stays."""
        reader = self._readers.get(scope)
        if reader is None:
            return
        _, failure = await run_guarded(
            reader.run,
            name=str(scope),
            timeout=self._polling.timing.timeout,
            on_progress=self._polling.touch,
        )
        self._polling.touch()
        before = self._snapshots.current.discoveries.get(scope, DiscoveryView())
        log_transition(str(scope), before.failure, failure)
        view = replace(before, up=failure is None, failure=failure)
        if failure is None:
            view = replace(view, last_success_at=self._clock.now())
        if scope in self._readers:
            self._snapshots.publish(self._snapshots.current.with_discovery(scope, view))
        self._sync()

    async def discover_all(self) -> None:
        """Discover every scope once, including those that are found on the way; log no success."""
        done: set[Scope] = set()
        while open_scopes := [scope for scope in self._readers if scope not in done]:
            done.update(open_scopes)
            await asyncio.gather(*map(self.discover, open_scopes))

    def _sync(self) -> None:
        """Start what is new in the inventory, and end what is no longer in it."""
        if self._standing is Standing.STANDBY:
            return
        scopes = self._inventory.scopes
        if scopes != tuple(self._readers):
            self._sync_scopes(scopes)
        if self._inventory.by_workspace is not self._by_workspace:
            self._sync_targets(self._inventory.by_workspace)
        views = self._snapshots.current.discoveries
        groups = self._scope_samples.samples_of({repr(item[0]): item for item in views.items()})
        infos = GroupedSamples((*self._inventory.infos(), *groups))
        if infos.groups != groups_of(self._snapshots.current.infos):
            self._snapshots.publish(replace(self._snapshots.current, infos=infos))

    def _sync_scopes(self, scopes: Sequence[Scope]) -> None:
        for scope in self._readers.keys() - {*scopes}:
            self._end(scope)
        added = [scope for scope in scopes if scope not in self._readers]
        self._readers = {
            scope: self._readers.get(scope) or self._new_reader(scope) for scope in scopes
        }
        for scope in added:
            self._begin(scope)
        known = self._snapshots.current.discoveries
        views = {scope: known.get(scope, DiscoveryView()) for scope in sorted(scopes)}
        self._snapshots.publish(self._snapshots.current.with_discoveries(views))

    def _sync_targets(self, after: Mapping[Scope, tuple[Target, ...]]) -> None:
        before, self._by_workspace = self._by_workspace, after
        scopes = {**before, **after}
        changed = [scope for scope in scopes if before.get(scope) is not after.get(scope)]
        old = {target for scope in changed for target in before.get(scope, ())}
        new = [target for scope in changed for target in after.get(scope, ())]
        gone, added = old.difference(new), [target for target in new if target not in old]
        for target in gone:
            self._end(target)
            del self._jobs[target]
        if gone:
            self._polling.remove_targets(gone)
        self._jobs |= {target: self._new_job(target) for target in added}
        if added:
            self._polling.add_targets(added)
        for target in added:
            self._begin(target)

    def _end_all(self) -> None:
        """Poll nothing more, and take everything off the page.

        A scan of a long history would go on for minutes, and count nothing.
        """
        self._sync_scopes(())
        self._sync_targets({})
        if self._schedule is not None:
            self._schedule.cancel_runs()
        self._snapshots.publish(replace(self._snapshots.current, infos={}))

    def _begin(self, work: Work) -> None:
        if self._schedule is not None:
            self._schedule.add(work)

    def _end(self, work: Work) -> None:
        if self._schedule is not None:
            self._schedule.remove(work)


def _samples_of(discovery: tuple[Scope, DiscoveryView]) -> Samples:
    samples = SampleSet()
    scope, view = discovery
    samples.add(catalog.DISCOVERY_UP, scope, view.up)
    if view.failure is not None:
        samples.add(catalog.DISCOVERY_ERROR_INFO, (*scope, view.failure.reason), 1)
    samples.add(catalog.DISCOVERY_LAST_SUCCESS, scope, view.last_success_at)
    return samples.freeze()
