"""From the ledger's exact integers to the samples on the page."""

from collections.abc import Mapping

from exporter import catalog
from exporter.ledger import CounterValue, Key, Ledger, LedgerState
from exporter.model import NANO
from exporter.snapshot import GroupedSamples, Samples, SampleSet, Snapshot

_IN_NANO = frozenset(
    (catalog.LIVY_CU_HOURS, catalog.LIVY_PROXY_USER_CU_HOURS, catalog.LIVY_OVERCOUNTED)
)


class Totals:
    """Puts the ledger's totals onto pictures; a group is made again only when it changed."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._groups: dict[tuple[str, ...], tuple[Mapping[Key, CounterValue], Samples]] = {}
        self._state = ledger.state
        self._counters = self._samples()

    def onto(self, snapshot: Snapshot) -> Snapshot:
        """Give `snapshot` with the totals of now; the same one where nothing changed."""
        if self._ledger.state is not self._state:
            self._state = self._ledger.state
            self._counters = self._samples()
        if snapshot.counters is self._counters:
            return snapshot
        return snapshot.with_counters(self._counters)

    def _samples(self) -> Samples:
        known = self._groups
        self._groups = {
            group: known[group]
            if group in known and known[group][0] is values
            else (values, _samples_of(values))
            for group, values in self._state.counters.groups.items()
        }
        return GroupedSamples((_facts(self._state), *(made for _, made in self._groups.values())))


def _samples_of(values: Mapping[Key, CounterValue]) -> Samples:
    """Return what the page may say of some counters."""
    found = SampleSet()
    for key, value in sorted(values.items(), key=lambda item: item[0].labels):
        scale = NANO if key.metric in _IN_NANO else 1
        found.add(key.metric, key.labels, value.published / scale)
    return found.freeze()


def _facts(state: LedgerState) -> Samples:
    """Return what the page says of the ledger itself."""
    found = SampleSet()
    found.add(catalog.LEDGER_CREATED, (), state.created_at)
    found.add(catalog.LEDGER_SESSIONS, (), state.sessions)
    found.add(catalog.LEDGER_SIZE, (), state.size_bytes)
    found.add(catalog.LEDGER_HELD_SERIES, (), state.held_series)
    return found.freeze()
