"""From the ledger's exact integers to the samples on the page."""

from exporter import catalog
from exporter.ledger import Ledger
from exporter.model import NANO
from exporter.snapshot import Samples, SampleSet, Snapshot

_IN_NANO = frozenset((catalog.LIVY_CU_HOURS, catalog.LIVY_PROXY_USER_CU_HOURS))


class Totals:
    """Puts the ledger's totals onto pictures, made anew only when they changed."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: object = None
        self._samples: Samples = {}

    def onto(self, snapshot: Snapshot) -> Snapshot:
        """Give `snapshot` with the totals of now; the same one where nothing changed."""
        amounts = self._ledger.amounts()
        if amounts is not self._seen:
            self._seen = amounts
            self._samples = self._samples_of_now()
        if snapshot.counters is self._samples:
            return snapshot
        return snapshot.with_counters(self._samples)

    def _samples_of_now(self) -> Samples:
        found = SampleSet()
        for key, amount in sorted(self._ledger.amounts().items(), key=lambda item: item[0].labels):
            scale = NANO if key.metric in _IN_NANO else 1
            found.add(key.metric, key.labels, amount.shown / scale)
        facts = self._ledger.facts()
        found.add(catalog.LEDGER_CREATED, (), facts.created_at)
        found.add(catalog.LEDGER_SESSIONS, (), facts.sessions)
        found.add(catalog.LEDGER_SIZE, (), facts.size_bytes)
        return found.freeze()
