"""Where the sessions of a gateway stand in its listing, so that a restart need not read it all."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from exporter.ledger.counting import GatewayKey
from exporter.ledger.database import Database, Table
from exporter.ledger.store import Store

_ROWS = 10_000
"""Rows that are read at once, while writers wait: some 20 ms."""

_FIND = """SELECT gateway_id, listing_order FROM main.gateway
    WHERE workspace_id = ? AND livy_compute_id = ? AND contacted = 1 AND listing_order <> ''"""
_SET_ORDER = "UPDATE main.gateway SET listing_order = ? WHERE gateway_id = ? AND listing_order <> ?"
_LISTED = """SELECT coalesce(listed_ms, created_ms), coalesce(rank, 0),
    session_id, serial, created_ms, queue, ended, ended_at
    FROM main.session LEFT JOIN main.listing_place USING (gateway_id, session_id, serial)
    WHERE gateway_id = ? AND (session_id, serial) > (?, ?) AND unlisted_at IS NULL
    ORDER BY session_id, serial LIMIT ?"""
_SELECT = "SELECT session_id, serial, listed_ms, rank FROM main.listing_place WHERE gateway_id = ?"
TABLE = Table("listing_place", ("gateway_id", "session_id", "serial"), ("listed_ms", "rank"))
_DELETE = "DELETE FROM main.listing_place WHERE gateway_id = ? AND session_id = ? AND serial = ?"


class Place(NamedTuple):
    """Where a session stands among all that are listed, from old to new.

    It is its create time and 0 for nearly every session. One that is listed otherwise, or was
    created at the same time as the one before it, has the `listed_ms` of that one and the next
    `rank`. No two sessions have the same place, and it stays when others come or leave.
    """

    listed_ms: int
    rank: int


ListedSession = tuple[int, int, str, int, int | None, str, str, float | None]
"""The place of a session that is listed (time and rank), and then of its `SessionRow`: id, serial,
create time, queue, end and when it ended. Plain, since they are read by the hundred thousand."""


class PlaceTable:
    """The order of one gateway's listing, and the places that create times do not tell.

    Everything happens inside the caller's transaction.
    """

    def __init__(self, db: Database, gateway_id: int) -> None:
        self._db = db
        self._gateway_id = gateway_id

    def set_order(self, order: str) -> None:
        """Set the order; `""` if it is not known."""
        self._db.execute(_SET_ORDER, (order, self._gateway_id, order))

    def replace(self, places: Mapping[tuple[str, int], Place]) -> None:
        """Let these be all places, by id and serial; only what differs is written."""
        before = {
            (session_id, serial): Place(listed_ms, rank)
            for session_id, serial, listed_ms, rank in self._db.query(_SELECT, (self._gateway_id,))
        }
        gone = before.keys() - places.keys()
        self._db.execute_many(_DELETE, [(self._gateway_id, *key) for key in gone])
        self.write({key: place for key, place in places.items() if before.get(key) != place})

    def write(self, places: Mapping[tuple[str, int], Place]) -> None:
        """Write places, by id and serial."""
        if places:
            rows = [(self._gateway_id, *key, *place) for key, place in places.items()]
            self._db.upsert(TABLE, rows)


def listing_order(store: Store, gateway: GatewayKey) -> str:
    """Return the order in which a gateway lists its sessions; `""` if it is not known."""
    with store.reading() as db:
        found = db.query(_FIND, gateway)
    return found[0][1] if found else ""


def listed_sessions(store: Store, gateway: GatewayKey) -> Iterator[list[ListedSession]]:
    """Yield the sessions that a gateway lists, in pieces, from id to id.

    Writers come in between two pieces; those of this gateway must not.
    """
    with store.reading() as db:
        found = db.query(_FIND, gateway)
    last = ("", -1)
    while found:
        with store.reading() as db:
            piece = db.query(_LISTED, (found[0][0], *last, _ROWS))
        if not piece:
            return
        yield piece
        last = piece[-1][2:4]
