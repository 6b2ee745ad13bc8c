"""From the ledger's exact integers to the samples on the page."""

from exporter import catalog
from exporter.ledger import Ledger, LedgerState
from exporter.model import NANO
from exporter.snapshot import Samples, SampleSet, Snapshot

_IN_NANO = frozenset(
    (catalog.LIVY_CU_HOURS, catalog.LIVY_PROXY_USER_CU_HOURS, catalog.LIVY_OVERCOUNTED)
)


class Totals:
    """Puts the ledger's totals onto pictures, made anew only when they changed."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self._samples = samples(self._state)

    def onto(self, snapshot: Snapshot) -> Snapshot:
        """Give `snapshot` with the totals of now; the same one where nothing changed."""
        state = self._ledger.state
        if state is not self._state:
            self._state = state
            self._samples = samples(state)
        if snapshot.counters is self._samples:
            return snapshot
        return snapshot.with_counters(self._samples)


def samples(state: LedgerState) -> Samples:
    """Give what the page says of the ledger: the counters as they may show, and its own facts."""
    found = SampleSet()
    for key, amount in sorted(state.amounts.items(), key=lambda item: item[0].labels):
        scale = NANO if key.metric in _IN_NANO else 1
        found.add(key.metric, key.labels, amount.shown / scale)
    found.add(catalog.LEDGER_CREATED, (), state.created_at)
    found.add(catalog.LEDGER_SESSIONS, (), state.sessions)
    found.add(catalog.LEDGER_SIZE, (), state.size_bytes)
    found.add(catalog.LEDGER_HELD_SERIES, (), state.held_series)
    return found.freeze()
