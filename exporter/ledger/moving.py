"""Copies a ledger from a file to PostgreSQL: all of it, or nothing."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from exporter.clock import Clock
from exporter.errors import LedgerError
from exporter.ledger import clusters, counters, listing_order, listing_sizes, session_table
from exporter.ledger.database import Database, Reader, Row, Table
from exporter.ledger.gateways import FORGOTTEN, GATEWAY, REMAINDERS
from exporter.ledger.location import Postgres, open_for_command
from exporter.ledger.sqlite import SqliteDatabase, require

_ROWS: Final = 5_000
"""Rows that are sent at once."""

_GATEWAYS = Table(GATEWAY.name, GATEWAY.key, ("contacted", "dropped_ms", "listing_order"))
_OF_GATEWAYS: Final = (session_table.TABLE, listing_order.TABLE, FORGOTTEN, REMAINDERS)
_OTHERS: Final = (
    counters.TABLE,
    listing_sizes.DISCOVERED,
    listing_sizes.REGION,
    clusters.WORKSPACE,
    clusters.TABLE,
)
_IS_USED: Final = """SELECT 1 FROM main.counter UNION ALL SELECT 1 FROM main.gateway
    UNION ALL SELECT 1 FROM main.discovered UNION ALL SELECT 1 FROM main.workspace LIMIT 1"""
_IDS: Final = "SELECT gateway_id, workspace_id, livy_compute_id FROM main.gateway"
_FACTS: Final = "SELECT created_at, knows_prometheus FROM main.ledger"
_SET_FACTS: Final = "UPDATE main.ledger SET created_at = ?, knows_prometheus = ?"
_MARK: Final = "UPDATE main.ledger SET is_copy = 1"


def import_ledger(source: Path, location: Postgres, clock: Clock) -> int:
    """Copy the ledger of a file into a schema that holds none; return how many sessions it has.

    The series continue, since the creation time is copied too. The file is marked: should an
    exporter use it again, its series are reset. An import that was killed before it marked the file
    is finished. Raises `LedgerError`, after which neither ledger has changed.
    """
    require(source)
    with (
        closing(SqliteDatabase(source, created_at=clock.now())) as file,
        closing(open_for_command(location, clock)) as database,
        file.translated(),
        database.translated(),
    ):
        if not database.query(_IS_USED):
            with database.transaction():
                _copy(file, database)
        elif _content(file) != _content(database):
            raise LedgerError(
                f"{location} already has a ledger",
                advice="choose another ledger.schema, or drop this one if nobody needs it",
            )
        with file.transaction():
            file.execute(_MARK)
        count: int = file.query("SELECT count(*) FROM main.session")[0][0]
        return count


def _content(db: Reader) -> tuple[object, ...]:
    """Return what differs between two ledgers, and between a ledger and an outdated copy."""
    return db.query(_FACTS), counters.read_counters(db)


def _copy(file: SqliteDatabase, database: Database) -> None:
    database.upsert(_GATEWAYS, file.query(_select(_GATEWAYS)))
    ids = {tuple(key): gateway_id for gateway_id, *key in database.query(_IDS)}
    new_ids = {old_id: ids[tuple(key)] for old_id, *key in file.query(_IDS)}
    for table in _OF_GATEWAYS:
        for rows in _pieces(file, table):
            database.upsert(table, [(new_ids[row[0]], *row[1:]) for row in rows])
            database.query("SELECT 1")  # sends them
    for table in _OTHERS:
        for rows in _pieces(file, table):
            database.upsert(table, rows)
    database.execute(_SET_FACTS, file.query(_FACTS)[0])


def _pieces(file: SqliteDatabase, table: Table) -> Iterator[list[Row]]:
    cursor = file.db.execute(_select(table))
    return iter(lambda: cursor.fetchmany(_ROWS), [])


def _select(table: Table) -> str:
    return f"SELECT {', '.join(table.columns)} FROM main.{table.name}"  # noqa: S608 - our own names
