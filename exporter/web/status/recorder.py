"""What has happened since the start, noted as snapshots are published: bounded, in memory only."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from exporter import catalog
from exporter.clock import Clock
from exporter.ledger import CounterValue, Key, LedgerState
from exporter.model import Scope, Target, Work
from exporter.snapshot import DiscoveryView, Failure, Snapshot, TargetView

BUCKETS = 60
"""How many buckets of the near past are kept."""

_NOTE_SECONDS = 0.5
"""Minimum time between two evaluations of snapshots, whose cost grows with the targets."""

_USAGE = frozenset((catalog.LIVY_CU_HOURS, catalog.LIVY_PROXY_USER_CU_HOURS))


@dataclass(slots=True)
class Tally:
    """What happened in bucket `number`, counted from the start of the monotonic clock."""

    number: int
    polls: int = 0
    failures: int = 0
    nano_cu_hours: int = 0
    ended: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """The sessions that ended, by workspace, gateway, queue and state."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A failure, when it was seen last, and since when there has been no success.

    Both in seconds since 1970-01-01 UTC.
    """

    failure: Failure
    at: float
    since: float


_View = TargetView | DiscoveryView


def _began(before: _View | None, now: _View) -> bool:
    """Whether a failure is the first one after a success, even if no snapshot of that was seen."""
    if before is None or before.failure is None:
        return True
    return before.last_success_at != now.last_success_at


class Recorder:
    """Remembers the near past, the last failures, and where usage stood at the start.

    Usage in the first complete listing of a gateway counts as used before the start; all later
    usage counts as used since the start.
    """

    def __init__(self, clock: Clock, state: Callable[[], LedgerState], *, width: float) -> None:
        """Begin now; `state` gives the ledger, a bucket is `width` seconds wide."""
        self.started_at = clock.now()
        self.started_monotonic = clock.monotonic()
        self.width = width
        self._clock = clock
        self._read_ledger = state
        self._state = state()
        self._starts = {
            key: value.actual for key, value in self._state.counters.items() if key.metric in _USAGE
        }
        self._targets: Mapping[Target, TargetView] = {}
        self._discoveries: Mapping[Scope, DiscoveryView] = {}
        self._failures: dict[Work, Seen] = {}
        self._tallies: deque[Tally] = deque(maxlen=BUCKETS)
        self._latest: Snapshot | None = None
        self._noted_at = float("-inf")

    def note(self, snapshot: Snapshot) -> None:
        """Note a published snapshot, at once or soon."""
        self._latest = snapshot
        if self._clock.monotonic() - self._noted_at >= _NOTE_SECONDS:
            self._note_latest()

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """The tallies, oldest first; buckets in which nothing happened are left out."""
        self._note_latest()
        return tuple(self._tallies)

    def ended(self, seconds: float) -> tuple[Mapping[tuple[str, ...], int], float]:
        """Return which sessions ended within the last `seconds`, and the time that this covers.

        By workspace, gateway, queue and state. The time is shorter where less is recorded.
        """
        monotonic, counts = self._clock.monotonic(), Counter[tuple[str, ...]]()
        first = int(monotonic // self.width) - min(BUCKETS, max(1, int(seconds // self.width))) + 1
        for tally in self.tallies:
            if tally.number >= first:
                counts.update(tally.ended)
        return counts, monotonic - max(self.started_monotonic, first * self.width)

    def last_failure(self, work: Work) -> Seen | None:
        """Return the last failure of a target or a discovery, also where it is over."""
        self._note_latest()
        return self._failures.get(work)

    def start_of(self, key: Key) -> int:
        """Return where a counter of usage stood at the start, in nano-CU-hours."""
        return self._starts.get(key, 0)

    def _note_latest(self) -> None:
        snapshot, self._latest = self._latest, None
        if snapshot is None:
            return
        self._noted_at = self._clock.monotonic()
        tally = self._tally()
        self._note_polls(snapshot, tally)
        self._note_discoveries(snapshot)
        self._note_counters(tally)

    def _tally(self) -> Tally:
        number = int(self._clock.monotonic() // self.width)
        if not self._tallies or self._tallies[-1].number != number:
            self._tallies.append(Tally(number))
        return self._tallies[-1]

    def _note_polls(self, snapshot: Snapshot, tally: Tally) -> None:
        for target, view in snapshot.targets.items():
            before = self._targets.get(target)
            if before is view or view.polls == (before.polls if before else 0):
                continue
            tally.polls += view.polls - (before.polls if before else 0)
            if view.failure is not None:
                tally.failures += 1
                self._note_failure(target, view.failure, is_new=_began(before, view))
        self._targets = snapshot.targets

    def _note_discoveries(self, snapshot: Snapshot) -> None:
        for scope, view in snapshot.discoveries.items():
            seen, before = self._failures.get(scope), self._discoveries.get(scope)
            if view.failure is not None and (seen is None or seen.failure is not view.failure):
                self._note_failure(scope, view.failure, is_new=_began(before, view))
        self._discoveries = snapshot.discoveries
        for work in [*self._failures]:
            if work not in snapshot.targets and work not in snapshot.discoveries:
                del self._failures[work]

    def _note_failure(self, work: Work, failure: Failure, *, is_new: bool) -> None:
        seen, now = self._failures.get(work), self._clock.now()
        self._failures[work] = Seen(failure, now, now if is_new or seen is None else seen.since)

    def _note_counters(self, tally: Tally) -> None:
        """Add what was counted since the last look at the ledger."""
        before, state = self._state, self._read_ledger()
        if state is before:
            return
        self._state = state
        for group, counters in state.counters.groups.items():
            self._note_group(before.counters.groups.get(group), counters, tally)

    def _note_group(
        self,
        before: Mapping[Key, CounterValue] | None,
        counters: Mapping[Key, CounterValue],
        tally: Tally,
    ) -> None:
        """Add what one gateway has counted; of one that is new, nothing is known to be new."""
        if counters is before:
            return
        for key, value in counters.items():
            start = value.actual if before is None else 0
            if key.metric in _USAGE:
                start = self._starts.setdefault(key, start)
            known = before.get(key) if before else None
            increase = value.actual - (start if known is None else known.actual)
            if key.metric is catalog.LIVY_CU_HOURS:
                tally.nano_cu_hours += increase
            elif key.metric is catalog.LIVY_SESSIONS_ENDED and increase:
                tally.ended[key.labels] += increase
