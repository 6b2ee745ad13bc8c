"""How much the last recorded listing of each thing held, and which gateways are new since then."""

from collections.abc import Sequence

from exporter.ledger.counting import is_created_after
from exporter.ledger.database import Reader, Table
from exporter.ledger.gateways import GATEWAY
from exporter.ledger.store import Transaction
from exporter.model import Gateway, Scope, Source, Target, Work

_SESSIONS = """SELECT count(*) FROM main.session JOIN main.gateway USING (gateway_id)
    WHERE workspace_id = ? AND livy_compute_id = ? AND unlisted_at IS NULL"""
_CLUSTERS = """SELECT count(*) FROM main.session_cluster
    WHERE workspace_id = ? AND unlisted_at IS NULL"""
_GATEWAYS = (
    "SELECT CAST(coalesce(sum(gateways), 0) AS bigint) FROM main.discovered WHERE workspace_id = ?"
)
_WORKSPACES = """SELECT CAST(coalesce(sum(workspaces), 0) AS bigint) FROM main.region
    WHERE account = ? AND region_id = ?"""
REGION = Table("region", ("account", "region_id"), ("workspaces",))
DISCOVERED = Table("discovered", ("workspace_id",), ("gateways",))
_IS_DISCOVERED = "SELECT 1 FROM main.discovered WHERE workspace_id = ?"
_KNOWN = "SELECT livy_compute_id FROM main.gateway WHERE workspace_id = ?"


def listed_count(db: Reader, work: Work) -> int:
    """Return how many records the last recorded listing of `work` held."""
    values: tuple[str, ...]
    match work:
        case Scope(account, region_id, ""):
            query, values = _WORKSPACES, (account, region_id)
        case Scope():
            query, values = _GATEWAYS, (work.workspace_id,)
        case Target(Source.SESSION_CLUSTERS):
            query, values = _CLUSTERS, (work.workspace_id,)
        case _:
            query, values = _SESSIONS, (work.workspace_id, work.livy_compute_id)
    count: int = db.query(query, values)[0][0]
    return count


def record_workspaces(transaction: Transaction, scope: Scope, count: int) -> None:
    """Record how many workspaces a complete list of an account and region holds."""
    transaction.db.upsert(REGION, [(scope.account, scope.region_id, count)])


def record_gateways(
    transaction: Transaction,
    workspace_id: str,
    gateways: Sequence[Gateway],
    empty_at: float | None,
) -> list[Gateway]:
    """Record a complete list, and return the gateways that an earlier one lacked.

    Where the earlier one was an unconfirmed empty list read at `empty_at`, these are the
    gateways that were created after it.
    """
    db, where = transaction.db, (workspace_id,)
    known = {livy_compute_id for (livy_compute_id,) in db.query(_KNOWN, where)}
    new = [gateway for gateway in gateways if gateway.livy_compute_id not in known]
    is_first = not db.query(_IS_DISCOVERED, where)
    if new:
        db.upsert(GATEWAY, [(workspace_id, gateway.livy_compute_id) for gateway in new])
    db.upsert(DISCOVERED, [(workspace_id, len(gateways))])
    if not is_first:
        return new
    return [
        gateway for gateway in new if empty_at is not None and is_created_after(gateway, empty_at)
    ]
