"""What has happened since the start, noted as pictures are published: bounded, in memory only."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from exporter import catalog
from exporter.clock import Clock
from exporter.ledger import CounterValue, Key, LedgerState
from exporter.model import Scope, Target
from exporter.snapshot import Failure, Snapshot, TargetView

BUCKETS = 60
"""How many buckets of the near past are kept."""

_NOTE_SECONDS = 0.5
"""Between two looks at what was published: each costs as much as there are targets."""

_USAGE = frozenset((catalog.LIVY_CU_HOURS, catalog.LIVY_PROXY_USER_CU_HOURS))


@dataclass(slots=True)
class Tally:
    """What happened in bucket `number`, counted from the start of the monotonic clock."""

    number: int
    polls: int = 0
    failures: int = 0
    nano_cu_hours: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """A failure, and when it was seen (seconds since 1970)."""

    failure: Failure
    at: float


class Recorder:
    """Remembers the near past, the last failures, and where usage stood at the start.

    What a gateway's first complete listing brings was burned before, at least as far as anybody
    knows; whatever comes later has been burned since the start.
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
        self._failures: dict[Target | Scope, Seen] = {}
        self._tallies: deque[Tally] = deque(maxlen=BUCKETS)
        self._latest: Snapshot | None = None
        self._noted_at = float("-inf")

    def note(self, snapshot: Snapshot) -> None:
        """Take note of a snapshot that was published, soon."""
        self._latest = snapshot
        if self._clock.monotonic() - self._noted_at >= _NOTE_SECONDS:
            self._note_latest()

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """Give what is kept, oldest first; there is none of a bucket in which nothing happened."""
        self._note_latest()
        return tuple(self._tallies)

    def last_failure(self, of: Target | Scope) -> Seen | None:
        """Give the last failure of a target or a discovery, also where it is over."""
        self._note_latest()
        return self._failures.get(of)

    def start_of(self, key: Key) -> int:
        """Give where a counter of usage stood at the start, in nano-CU-hours."""
        return self._starts.get(key, 0)

    def _note_latest(self) -> None:
        snapshot, self._latest = self._latest, None
        if snapshot is None:
            return
        self._noted_at = self._clock.monotonic()
        tally = self._tally()
        self._note_polls(snapshot, tally)
        self._note_discoveries(snapshot)
        tally.nano_cu_hours += self._burned()

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
                self._failures[target] = Seen(view.failure, self._clock.now())
        self._targets = snapshot.targets

    def _note_discoveries(self, snapshot: Snapshot) -> None:
        for scope, view in snapshot.discoveries.items():
            before = self._failures.get(scope)
            if view.failure is not None and (before is None or before.failure is not view.failure):
                self._failures[scope] = Seen(view.failure, self._clock.now())
        for of in [*self._failures]:
            if of not in snapshot.targets and of not in snapshot.discoveries:
                del self._failures[of]

    def _burned(self) -> int:
        """Give the nano-CU-hours that were counted since the last look at the ledger."""
        before, state = self._state, self._read_ledger()
        if state is before:
            return 0
        self._state = state
        return sum(
            self._burned_by(before.counters.groups.get(group), counters)
            for group, counters in state.counters.groups.items()
        )

    def _burned_by(
        self, before: Mapping[Key, CounterValue] | None, counters: Mapping[Key, CounterValue]
    ) -> int:
        """Give what one gateway has burned; of one that is new, nothing is known to be new."""
        if counters is before:
            return 0
        burned = 0
        for key, value in counters.items():
            if key.metric in _USAGE and key not in self._starts:
                self._starts[key] = value.actual if before is None else 0
            if key.metric is catalog.LIVY_CU_HOURS:
                known = before.get(key) if before else None
                burned += value.actual - (self._starts[key] if known is None else known.actual)
        return burned
