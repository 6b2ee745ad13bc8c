"""The history as the ledger knows it: recorded there, and loaded once, after a restart.

The ledger knows the listed sessions, how each ended, and their order: by create time, but for those
with a place of their own. It does not have the records of running or recently ended sessions: these
are watched without a record, and the first incremental scan reads them. An error in the rows that
it reads, or in their number, makes that scan raise `ListingDiverged`; any other is found by the
verification, which is due at once.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import structlog

from exporter.clock import Clock
from exporter.errors import LedgerError
from exporter.ledger import GatewayKey, Ledger, ListedSession, Place, SessionKey
from exporter.model import UNKNOWN_STATE, Target
from exporter.sources.listing import Progress
from exporter.sources.livy_sessions.columns import Columns
from exporter.sources.livy_sessions.full_scan import SMALL_ROWS
from exporter.sources.livy_sessions.history import History, Order, newest_of_repeated
from exporter.sources.livy_sessions.rows import NO_TIME, Kind, Row, row_key
from exporter.sources.livy_sessions.settling import Watched

_log = structlog.get_logger(__name__)

HISTORY_LOADED = "history_loaded"

_MOST_PLACES = 1000
_MOST_PLACES_SHARE = 0.1
"""If more rows than both of these need a place of their own, the order is not recorded."""

_BEFORE_ALL = Place(0, 0)

Places = Mapping[SessionKey, Place]
"""The places of sessions that their create times do not tell."""


class ListingMemory:
    """The listing of one gateway, as the ledger remembers it."""

    def __init__(self, target: Target, ledger: Ledger, clock: Clock, unsettled_for: float) -> None:
        """`unsettled_for` is in seconds from a session's end until its record is not needed."""
        self._target = target
        self._gateway: GatewayKey = (target.workspace_id, target.livy_compute_id)
        self._ledger = ledger
        self._clock = clock
        self._unsettled_for = unsettled_for
        self._is_loaded = False
        self._places: Mapping[int, Place] = {}
        """The places that create times do not tell, by the keys of the rows."""

    async def load(self, progress: Progress) -> History | None:
        """Return the history that the ledger knows, once; `None` from then on, or if it has none.

        A short history is not loaded: each of its polls reads all of it.
        """
        if self._is_loaded:
            return None
        self._is_loaded = True
        try:
            order, sessions = await self._read(progress)
        except LedgerError:
            return None  # the full scan that follows reports it
        if order is None or len(sessions) <= SMALL_ROWS:
            return None
        history = await asyncio.to_thread(self._history_of, order, sessions)
        if history is not None:
            _log.info(
                HISTORY_LOADED,
                target=str(self._target),
                sessions=len(history),
                to_read=len(history.watched),
            )
        return history

    async def record(self, history: History | None) -> LedgerError | None:
        """Record the order of a history; `None` is one that was not read to its end.

        Return an error of the ledger, after which a restart reads the whole history.
        """
        if history is not None and len(history) <= SMALL_ROWS:
            return None
        order, places = await asyncio.to_thread(_order_and_places, history)
        write = partial(self._ledger.record_order, self._gateway, order, places)
        return await self._write(write, {}, places)

    async def record_news(self, history: History, start: int) -> LedgerError | None:
        """Record the places of the rows from index `start` on, which are new or were read again."""
        places = untold_places(history.rows, self._places, start)
        if not places:
            return None
        write = partial(self._ledger.record_places, self._gateway, places)
        return await self._write(write, self._places, places)

    async def _read(self, progress: Progress) -> tuple[Order | None, list[ListedSession]]:
        """Read order and sessions, in pieces, so that other users of the ledger do not wait."""
        known = await self._ledger.run(self._ledger.listing_order, self._gateway)
        order = next((order for order in Order if order.value == known), None)
        pieces = self._ledger.listed_sessions(self._gateway)
        sessions: list[ListedSession] = []
        while order and (piece := await self._ledger.run(next, pieces, None)):
            sessions += piece
            progress()
        return order, sessions

    def _history_of(self, order: Order, sessions: list[ListedSession]) -> History | None:
        if any(session[0] is None for session in sessions):
            return None  # it was never told when that one was created
        sessions.sort()  # by their places; a scan that reads two in the wrong order diverges
        self._places = {
            row_key(session_id, created_ms): Place(at, rank)
            for at, rank, session_id, _, created_ms, *_ in sessions
            if rank or at != created_ms
        }
        since = min(self._clock.now(), _last_end(sessions)) - self._unsettled_for
        return history_of(order, sessions, since, self._clock.monotonic())

    async def _write(
        self, write: Callable[[], None], known: Mapping[int, Place], places: Places
    ) -> LedgerError | None:
        try:
            await self._ledger.run(write)
        except LedgerError as error:
            return error
        self._places = {**known, **{row_key(*session): at for session, at in places.items()}}
        return None


def history_of(
    order: Order, sessions: Iterable[ListedSession], since: float, now: float
) -> History:
    """Return the history of sessions from the ledger, from old to new.

    Those that ended after `since` (seconds since 1970) are to be read again, as are those that
    run. `now` is in monotonic seconds.
    """
    places: dict[int, int] = {}
    kinds: dict[tuple[str, str], Kind] = {}
    rows = []
    for index, (_, _, name, _, created_at, queue, ended, ended_at) in enumerate(sessions):
        created_ms = NO_TIME if created_at is None else created_at
        kind = (queue, ended or UNKNOWN_STATE)
        row = Row(name, None, created_ms, kinds.setdefault(kind, kind), row_key(name, created_ms))
        if _may_have_changed(ended, ended_at, since):
            places[row.key] = index
        rows.append(row)
    return History(
        order,
        Columns.of(rows),
        {key: Watched(None, now, is_settled=False) for key in places},
        places,
        newest_of_repeated((row.name, row.created_ms) for row in rows),
    )


def _may_have_changed(ended: str, ended_at: float | None, since: float) -> bool:
    """Whether a session runs, may run, or ended so recently that its record is needed.

    If it had ended when the gateway was first read, the ledger has no time of that: it is taken for
    settled until the verification.
    """
    if ended_at is None:
        return ended in {"", UNKNOWN_STATE}
    return ended_at > since


def _last_end(sessions: Iterable[ListedSession]) -> float:
    """Return when the last end of a session was seen: the process ran at least until then."""
    return max((ended_at for *_, ended_at in sessions if ended_at is not None), default=0.0)


def _order_and_places(history: History | None) -> tuple[str, Places]:
    """Return the order and the places to record; none if a restart cannot rely on them.

    It cannot if no order is known, if rows could not be read, or if create times have little to
    do with the order.
    """
    if history is None or history.order is None or sum(history.counts().values()) < len(history):
        return "", {}
    places = untold_places(history.rows, {}, 0)
    if len(places) > max(_MOST_PLACES, _MOST_PLACES_SHARE * len(history)):
        return "", {}
    return history.order.value, places


def untold_places(rows: Columns, known: Mapping[int, Place], start: int) -> Places:
    """Return places for the rows from index `start` on that are not in order of create times.

    `known` are the places of rows by their keys; they stay if they are in order. The row at
    `start` is the first of all, or was known before, and has its place.
    """
    places: dict[SessionKey, Place] = {}
    last = _BEFORE_ALL
    for row in rows.between(start, len(rows)):
        own = known.get(row.key) or Place(row.created_ms, 0)
        if own <= last:
            own = places[row.session] = Place(last.listed_ms, last.rank + 1)
        last = own
    return places
