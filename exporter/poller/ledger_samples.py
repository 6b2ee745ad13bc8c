"""From the ledger's exact integers to the samples on the page."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from exporter import catalog
from exporter.ledger import CounterValue, Key, Ledger, LedgerState
from exporter.model import NANO
from exporter.snapshot import GroupedSamples, Samples, SampleSet, Snapshot

_IN_NANO = frozenset(
    (catalog.LIVY_CU_HOURS, catalog.LIVY_PROXY_USER_CU_HOURS, catalog.LIVY_OVERCOUNTED)
)


_NONE = GroupedSamples(())

_AHEAD_SECONDS = 2.5
"""A page without totals is rendered so long before an owner must not show them any more: the page
that has its gauges is ready by then. A lease that can be renewed never comes so near its end."""


class LedgerSamples:
    """The samples of all counters, by group; those of a group are built when it has changed."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._groups: dict[tuple[str, ...], tuple[Mapping[Key, CounterValue], Samples]] = {}
        self._current = _Deferred(ledger.state, self._build)

    def apply_to(self, snapshot: Snapshot) -> Snapshot:
        """Return `snapshot` with the present totals; the same object where nothing changed."""
        state = self._ledger.state
        if not self._ledger.may_show(state, ahead=_AHEAD_SECONDS):
            return replace(snapshot, counters=_NONE) if snapshot.counters else snapshot
        if state is not self._current.state:
            self._current = _Deferred(state, self._build)
        if snapshot.counters is self._current:
            return snapshot
        return replace(snapshot, counters=self._current)

    def _build(self, state: LedgerState) -> tuple[Samples, ...]:
        known = self._groups
        shown = state.counters.groups
        if state.unconfirmed:
            shown = {group: shown[group] for group in shown if group not in state.unconfirmed}
        self._groups = {
            group: known[group]
            if group in known and known[group][0] is values
            else (values, _samples_of(values))
            for group, values in shown.items()
        }
        return (_facts(state), *(samples for _, samples in self._groups.values()))


def may_show(ledger: Ledger, counters: Samples) -> bool:
    """Whether counters that were put on a page may still be shown."""
    return not isinstance(counters, _Deferred) or ledger.may_show(counters.state)


class _Deferred(GroupedSamples):
    """The samples of one state of the ledger, built when they are first read.

    Most states are never read: there is one for each poll, and two pages a second.
    """

    def __init__(
        self, state: LedgerState, build: Callable[[LedgerState], tuple[Samples, ...]]
    ) -> None:
        super().__init__(())
        self.state = state
        self._build = build

    @property
    def groups(self) -> tuple[Samples, ...]:
        """The groups, in the order of the page."""
        if not self._groups:
            self._groups = self._build(self.state)
        return self._groups


def _samples_of(values: Mapping[Key, CounterValue]) -> Samples:
    samples = SampleSet()
    for key, value in sorted(values.items(), key=lambda item: item[0].labels):
        scale = NANO if key.metric in _IN_NANO else 1
        samples.add(key.metric, key.labels, value.published / scale)
    return samples.freeze()


def _facts(state: LedgerState) -> Samples:
    samples = SampleSet()
    if state.created_at is None:
        return samples.freeze()
    samples.add(catalog.LEDGER_CREATED, (), state.created_at)
    samples.add(catalog.LEDGER_SESSIONS, (), state.sessions)
    samples.add(catalog.LEDGER_SIZE, (), state.size_bytes)
    samples.add(catalog.LEDGER_HELD_SERIES, (), state.held_series)
    return samples.freeze()
