"""One scan of the sessions of a gateway, from its first page to what follows from all of them."""

from collections.abc import Collection, Sequence

from exporter.errors import LedgerError
from exporter.ledger.counting import GatewayKey
from exporter.ledger.gateways import GatewayLedger
from exporter.ledger.matching import SessionKey
from exporter.ledger.scans import ScanTracker
from exporter.ledger.store import Store
from exporter.model import LivySession

Listing = tuple[str, ...]
"""What was listed: its kind, the workspace, and the gateway where there is one."""


class GatewayScan:
    """One scan of the sessions of a gateway: records are added in batches, then it is finished.

    A scan may be abandoned at any time. What was added to it is counted all the same.
    """

    def __init__(
        self,
        store: Store,
        gateway: GatewayKey,
        term: int,
        empty_at: dict[Listing, float],
        forget_after: float,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._listing = ("sessions", *gateway)
        self._empty_at = empty_at
        self._forget_after = forget_after
        self._tracker = ScanTracker()
        self._term = term
        self._is_whole = True

    def add(self, records: Sequence[LivySession]) -> None:
        """Count what a batch of records adds, in one durable transaction.

        Raises `LedgerError`; the scan is then abandoned, and must not be finished.
        """
        self._is_whole = False
        with self._store.transaction(term=self._term) as transaction:
            gateway = GatewayLedger.entered(transaction, self._gateway)
            gateway.add(records, self._tracker)
            if transaction.sessions:
                # Those that are listed between the new ones and the known ones are to come.
                gateway.forget_order()
        self._is_whole = True

    def finish(
        self,
        records: Sequence[LivySession] = (),
        *,
        left: Sequence[SessionKey] = (),
        unreadable: Collection[str] = (),
        is_complete: bool = True,
        is_confirmed: bool = True,
    ) -> None:
        """Count a last batch and all that only a whole scan tells, in one durable transaction.

        The first scan that is finished gives the counters of a gateway their starting values.
        Sessions of which the scan has seen no record are gone, unless their ids are among the
        `unreadable` ones; where the scan is not `is_complete`, only those that `left` are. A scan
        that found nothing and is not `is_confirmed` concludes nothing yet. Raises `LedgerError`.
        """
        if not self._is_whole:
            raise LedgerError(
                "an earlier part of this scan could not be written to the ledger",
                advice="nothing to do: the next scan counts it",
            )
        if not is_confirmed:
            self._empty_at[self._listing] = self._store.clock.now()
            return
        with self._store.transaction(term=self._term, confirms=self._gateway) as transaction:
            gateway = GatewayLedger.entered(transaction, self._gateway)
            gateway.add(records, self._tracker)
            gateway.conclude(
                self._tracker, left=left, unreadable=unreadable, is_complete=is_complete
            )
            if gateway.has_contact:
                gateway.forget(unlisted_before=transaction.at - self._forget_after)
            else:
                gateway.start(self._empty_at.get(self._listing))
        self._empty_at.pop(self._listing, None)
