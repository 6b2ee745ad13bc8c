"""What has happened since the start, noted as pictures are published: bounded, in memory only."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from exporter import catalog
from exporter.clock import Clock
from exporter.ledger import Key, LedgerState
from exporter.model import Scope, Target
from exporter.snapshot import Failure, Snapshot

BUCKETS = 60
"""How many buckets of the near past are kept."""

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
        self._starts = _values(self._state)
        self._gateways = _gateways(self._state)
        self._polls: dict[Target, int] = {}
        self._failures: dict[Target | Scope, Seen] = {}
        self._tallies: deque[Tally] = deque(maxlen=BUCKETS)

    def note(self, snapshot: Snapshot) -> None:
        """Take note of a picture that was published."""
        tally = self._tally()
        self._note_polls(snapshot, tally)
        self._note_discoveries(snapshot)
        tally.nano_cu_hours += self._burned()

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """Give what is kept, oldest first; there is none of a bucket in which nothing happened."""
        return tuple(self._tallies)

    def last_failure(self, of: Target | Scope) -> Seen | None:
        """Give the last failure of a target or a discovery, also where it is over."""
        return self._failures.get(of)

    def start_of(self, key: Key) -> int:
        """Give where a counter of usage stood at the start, in nano-CU-hours."""
        return self._starts.get(key, 0)

    def _tally(self) -> Tally:
        number = int(self._clock.monotonic() // self.width)
        if not self._tallies or self._tallies[-1].number != number:
            self._tallies.append(Tally(number))
        return self._tallies[-1]

    def _note_polls(self, snapshot: Snapshot, tally: Tally) -> None:
        for target, view in snapshot.targets.items():
            if view.polls == self._polls.get(target, 0):
                continue
            tally.polls += 1
            if view.failure is not None:
                tally.failures += 1
                self._failures[target] = Seen(view.failure, self._clock.now())
        self._polls = {target: view.polls for target, view in snapshot.targets.items()}

    def _note_discoveries(self, snapshot: Snapshot) -> None:
        for scope, view in snapshot.discoveries.items():
            before = self._failures.get(scope)
            if view.failure is not None and (before is None or before.failure is not view.failure):
                self._failures[scope] = Seen(view.failure, self._clock.now())
        known = self._polls.keys() | snapshot.discoveries.keys()
        for gone in self._failures.keys() - known:
            del self._failures[gone]

    def _burned(self) -> int:
        """Give the nano-CU-hours that were counted since the last look at the ledger."""
        before, state = self._state, self._read_ledger()
        if state is before:
            return 0
        self._state = state
        values, burned = _values(state), 0
        for key, value in values.items():
            if key not in self._starts:
                self._starts[key] = 0 if key.gateway in self._gateways else value
            if key.metric is catalog.LIVY_CU_HOURS:
                known = before.amounts.get(key)
                burned += value - (self._starts[key] if known is None else known.value)
        self._gateways |= _gateways(state)
        return burned


def _values(state: LedgerState) -> dict[Key, int]:
    return {key: amount.value for key, amount in state.amounts.items() if key.metric in _USAGE}


def _gateways(state: LedgerState) -> set[tuple[str, ...] | None]:
    """Give the gateways of which the ledger knows anything: their first contact is over."""
    return {key.gateway for key in state.amounts}
