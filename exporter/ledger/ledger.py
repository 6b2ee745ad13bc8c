"""The durable counters of Livy sessions and session clusters, for all that is listed.

The API's figures are cumulative, so what was not committed is simply read again: a crash at
any instant loses nothing and counts nothing twice.
"""

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from exporter.clock import Clock
from exporter.ledger.clusters import ClusterLedger
from exporter.ledger.counters import switched_off
from exporter.ledger.counting import GatewayKey, Key
from exporter.ledger.gateway_scan import GatewayScan, Listing
from exporter.ledger.gateways import GatewayLedger
from exporter.ledger.listing_order import ListedSession, Place, listed_sessions, listing_order
from exporter.ledger.listing_sizes import listed_count, record_gateways, record_workspaces
from exporter.ledger.location import Location, open_database
from exporter.ledger.matching import SessionKey
from exporter.ledger.store import LedgerState, Store
from exporter.ledger.worker import WORK_TIMEOUT, Worker
from exporter.model import (
    Gateway,
    Ownership,
    Scope,
    SessionCluster,
    Source,
    Standing,
    Work,
)

_ENDED_SINCE = """SELECT session_id, ended FROM main.session JOIN main.gateway USING (gateway_id)
    WHERE workspace_id = ? AND livy_compute_id = ? AND ended_at > ?"""

P = ParamSpec("P")
T = TypeVar("T")


class Ledger:
    """Remembers for each Livy session the highest usage seen, and for each series its total.

    Every method may be called from any thread; those that write wait for one another.
    Whatever goes wrong with the database is a `LedgerError`, after which nothing has changed.
    """

    def __init__(
        self,
        location: Location,
        *,
        clock: Clock,
        birth_hold: float = 0.0,
        forget_after: float = 400 * 86400.0,
        max_proxy_users: int = 200,
        sources: Collection[Source] = frozenset(Source),
        connect: Callable[..., Any] | None = None,
        work_timeout: float = WORK_TIMEOUT,
    ) -> None:
        """Open the ledger at `location`, or keep everything in memory where it is `None`.

        `birth_hold` and `forget_after` are in seconds; with a `birth_hold` of 0 nothing is
        held. `max_proxy_users` counts per gateway; at 0 there are no counters by proxy user,
        as there are none of a source that is not among the polled `sources`. What the ledger
        holds of them stays there as it is. `connect` opens a connection otherwise. Raises
        `LedgerError`, but not where the location says to wait for what may pass.
        """
        self._clock = clock
        self._forget_after = forget_after
        self._store = Store(
            open_database(location, clock, connect),
            clock=clock,
            birth_hold=birth_hold,
            max_proxy_users=max_proxy_users,
            hidden=switched_off(sources, max_proxy_users),
        )
        self._lease = self._store.lease
        self._worker = Worker(work_timeout)
        self._empty_at: dict[Listing, float] = {}
        """When a listing was empty that nothing has confirmed yet."""

    def start_thread(self) -> None:
        """Start the threads of `run` and of the lease.

        Raises `RuntimeError` if the system allows no more.
        """
        self._worker.start()
        if self._lease:
            self._lease.start()

    def tend(self) -> None:
        """Renew the lease, or look at it, if it is time to, where no thread does it."""
        if self._lease:
            self._lease.tend()

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do `work` with this ledger, in its thread; raise `LedgerError` also if that hangs."""
        return await self._worker.run(work, *args, **kwargs)

    def ownership(self) -> Ownership | None:
        """Return who owns the ledger; `None` if no other process can."""
        return self._lease.ownership() if self._lease else None

    def may_show(self, state: LedgerState, *, ahead: float = 0.0) -> bool:
        """Whether the totals of a state may be on the page for so many seconds more, or for now.

        They may be on that of the owner, while it has owned the ledger all the time since.
        """
        ownership = self.ownership()
        if ownership is None:
            return True
        left = ownership.may_show_until - self._clock.boottime()
        is_owner = ownership.standing is Standing.OWNER and left > ahead
        return is_owner and ownership.acquisitions == state.term

    @property
    def is_unread(self) -> bool:
        """Whether this process owns a ledger of which it knows nothing yet."""
        ownership, state = self.ownership(), self._store.state
        if ownership is None:
            return state.created_at is None
        return ownership.standing is Standing.OWNER and ownership.acquisitions != state.term

    @property
    def term(self) -> int:
        """The number of the term in which this process owns the ledger; 0 while it does not."""
        return self._store.term

    def withdraw(self) -> None:
        """Forget what was read, since another replica owns the ledger now."""
        self._store.forget()
        self._empty_at.clear()

    @property
    def is_up(self) -> bool:
        """Whether the last use of the database succeeded; of a standby, its look at the lease."""
        ownership = self.ownership()
        if ownership is not None and ownership.standing is Standing.STANDBY:
            return not ownership.failure
        return self._store.is_up

    def on_commit(self, call: Callable[[float], None]) -> None:
        """Call with the seconds that each transaction takes, from now on."""
        self._store.on_commit = call

    @property
    def state(self) -> LedgerState:
        """The ledger as of the last commit, without waiting for a writer."""
        return self._store.state

    def open_scan(self, gateway: GatewayKey, *, term: int | None = None) -> GatewayScan:
        """Begin a scan of the sessions of a gateway; nothing is written yet.

        A scan of what is remembered from a `term` writes nothing in another one.
        """
        term = self.term if term is None else term
        return GatewayScan(self._store, gateway, term, self._empty_at, self._forget_after)

    def record_session_clusters(
        self,
        workspace_id: str,
        clusters: Sequence[SessionCluster],
        *,
        is_confirmed: bool = True,
        term: int | None = None,
    ) -> Mapping[str, float]:
        """Count the states that clusters entered since the last complete listing.

        Returns since when each is in its state: wall-clock seconds by session cluster id. A
        listing that is empty and not `is_confirmed` is no first contact yet. Nothing is written
        in another `term` than the one in which it was read.
        """
        listing = ("session clusters", workspace_id)
        if not is_confirmed:
            self._empty_at[listing] = self._clock.now()
            return {}
        with self._store.transaction(term=term, confirms=(workspace_id,)) as transaction:
            workspace = ClusterLedger(transaction, workspace_id)
            since = workspace.record(clusters, self._empty_at.get(listing))
            workspace.forget(unlisted_before=transaction.at - self._forget_after)
        self._empty_at.pop(listing, None)  # not before the commit has succeeded
        return since

    def record_gateways(
        self,
        workspace_id: str,
        gateways: Sequence[Gateway],
        *,
        is_confirmed: bool = True,
        term: int | None = None,
    ) -> None:
        """Record a complete list of a workspace's gateways.

        One that an earlier such list lacked is new: all that it will ever list are increases.
        A list that is empty and not `is_confirmed` proves that only for gateways that were
        created after it. Nothing is written in another `term` than the one in which it was read.
        """
        listing = ("gateways", workspace_id)
        if not is_confirmed:
            self._empty_at[listing] = self._clock.now()
            return
        with self._store.transaction(term=term) as transaction:
            empty_at = self._empty_at.get(listing)
            for gateway in record_gateways(transaction, workspace_id, gateways, empty_at):
                key = workspace_id, gateway.livy_compute_id
                GatewayLedger.entered(transaction, key).start_at_zero(gateway.queue)
        self._empty_at.pop(listing, None)

    def record_workspaces(self, scope: Scope, count: int) -> None:
        """Record how many workspaces a complete list of an account and region holds."""
        with self._store.transaction() as transaction:
            record_workspaces(transaction, scope, count)

    def listed_count(self, work: Work) -> int:
        """Return how many records the last recorded listing of `work` held."""
        with self._store.reading() as db:
            return listed_count(db, work)

    def ended_since(self, gateway: GatewayKey, at: float) -> Mapping[str, str]:
        """Return how sessions ended, by id, whose end was first seen after `at` (since 1970)."""
        with self._store.reading() as db:
            return dict(db.query(_ENDED_SINCE, (*gateway, at)))

    def listing_order(self, gateway: GatewayKey) -> str:
        """Return the order in which a gateway lists its sessions; `""` if it is not known.

        It is not where commits may be lost: all of the listing has to be read again.
        """
        order = listing_order(self._store, gateway)
        return "" if gateway in self.state.unconfirmed else order

    def listed_sessions(self, gateway: GatewayKey) -> Iterator[list[ListedSession]]:
        """Yield the sessions that a gateway lists, in pieces, while their order is known."""
        return listed_sessions(self._store, gateway)

    def record_order(
        self, gateway: GatewayKey, order: str, places: Mapping[SessionKey, Place]
    ) -> None:
        """Record in which order a complete reading found the sessions of a gateway.

        Their create times give their places, except for those that have `places` of their own.
        An `order` of `""` is not known.
        """
        with self._store.transaction() as transaction:
            GatewayLedger.entered(transaction, gateway).record_order(order, places)

    def record_places(self, gateway: GatewayKey, places: Mapping[SessionKey, Place]) -> None:
        """Record the places of sessions that came in since then, where create times do not tell."""
        with self._store.transaction() as transaction:
            GatewayLedger.entered(transaction, gateway).record_places(places)

    def note_scrape(self, keys: Container[Key], *, is_prometheus: bool) -> None:
        """Note that a scrape showed the series `keys`: their hold runs from now on."""
        now = self._clock.monotonic()
        self._store.gate.note_scrape(keys, now, is_prometheus=is_prometheus)

    def has_due(self) -> bool:
        """Whether some increases may be published by now, without waiting for a writer."""
        return bool(self._store.gate.due(self._clock.monotonic()))

    def release(self) -> None:
        """Publish the increases whose hold is over, durably."""
        with self._store.transaction():
            pass  # each transaction releases what is due

    def close(self) -> None:
        """Close the database; a transaction that is under way is finished first."""
        self._store.close()
        self._worker.close()
