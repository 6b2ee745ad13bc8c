"""Checks whether a daemon could keep its ledger in a schema, without changing anything there."""

from contextlib import closing
from typing import Final

from exporter.clock import Clock
from exporter.errors import LedgerError
from exporter.ledger.counters import read_counters
from exporter.ledger.postgres.connection import connect
from exporter.ledger.postgres.errors import GRANT, translated
from exporter.ledger.postgres.reader import PostgresReader
from exporter.ledger.postgres.schema import NAMESPACE, check_version, has_ledger, require_server
from exporter.ledger.postgres.statements import BOUNDS, TIMELINE, Statements

_SERVER: Final = """SELECT current_setting('server_version'),
    CAST(extract(epoch FROM clock_timestamp()) AS double precision)"""
# What a daemon calls besides, and an administrator may have forbidden.
_CALLS: Final = f"SELECT {TIMELINE} FROM pg_control_system()"  # noqa: S608 - constants
_MAY_CREATE: Final = f"""SELECT CASE WHEN {NAMESPACE} IS NULL
    THEN has_database_privilege(current_database(), 'CREATE')
    ELSE has_schema_privilege(?, 'CREATE') END"""
_FORBIDDEN: Final = f"""SELECT relname FROM pg_class
    WHERE relkind = 'r' AND relnamespace = {NAMESPACE} AND NOT (
        has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
    ORDER BY relname LIMIT 1"""  # noqa: S608 - constants
_HOLDER: Final = "SELECT holder FROM main.lease WHERE holder IS NOT NULL"
_SESSIONS: Final = "SELECT count(*) FROM main.session"


def check(url: str, schema: str, name: str, clock: Clock) -> str:
    """Describe the server's version and clock, the number of sessions, and who owns the ledger.

    Raises `LedgerError` if a daemon could not use it.
    """
    with (
        translated(name),
        closing(connect(url)) as connection,
        # PgBouncer refuses transactions in the pool_mode statement: found out here.
        connection.transaction(),
    ):
        db = PostgresReader(connection, Statements(schema))
        db.run(BOUNDS)
        require_server(db)
        db.row(_CALLS)
        sent = clock.now()
        version, server_now = db.row(_SERVER)
        ahead = server_now - (sent + clock.now()) / 2
        said = [f"PostgreSQL {version}, whose clock is {abs(ahead):.1f} s"]
        said[0] += " ahead" if ahead > 0 else " behind"
        if not has_ledger(db):
            (may_create,) = db.row(_MAY_CREATE, schema, schema)
            if not may_create:
                raise _forbidden(name, "the role may not create tables")
            return "; ".join([*said, "no ledger yet"])
        check_version(db)
        read_counters(db)
        if forbidden := db.run(_FORBIDDEN, schema):
            raise _forbidden(name, f"the role may not write the table {forbidden[0]}")
        holder = db.run(_HOLDER)
        said.append(f"{db.row(_SESSIONS)[0]} sessions remembered")
        said.append(f"used by {holder[0]}" if holder else "not in use")
        return "; ".join(said)


def _forbidden(name: str, what: str) -> LedgerError:
    return LedgerError(
        f"the ledger {name} cannot be used: {what}",
        advice=GRANT,
    )
