"""Checks whether a daemon could keep its ledger in a schema, without changing anything there."""

from contextlib import closing
from typing import Final

from exporter.clock import Clock
from exporter.errors import LedgerError
from exporter.ledger.counters import read_counters
from exporter.ledger.postgres.connection import connect, translated
from exporter.ledger.postgres.database import PostgresReader
from exporter.ledger.postgres.schema import NAMESPACE, check_version, has_ledger, require_server
from exporter.ledger.postgres.statements import Statements

_SERVER: Final = """SELECT current_setting('server_version'),
    CAST(extract(epoch FROM clock_timestamp()) AS double precision)"""
_MAY_CREATE: Final = f"""SELECT CASE WHEN {NAMESPACE} IS NULL
    THEN has_database_privilege(current_database(), 'CREATE')
    ELSE has_schema_privilege(?, 'CREATE') END"""
_FORBIDDEN: Final = f"""SELECT relname FROM pg_class
    WHERE relkind = 'r' AND relnamespace = {NAMESPACE} AND NOT (
        has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
    ORDER BY relname LIMIT 1"""  # noqa: S608 - constants
_HOLDER: Final = "SELECT holder FROM main.lease"
_SESSIONS: Final = "SELECT count(*) FROM main.session"


def check(url: str, schema: str, name: str, clock: Clock) -> str:
    """Describe the server's version and clock, the number of sessions, and who owns the ledger.

    Raises `LedgerError` if a daemon could not use it.
    """
    statements = Statements(schema)
    with (
        translated(name),
        closing(connect(url)) as connection,
        connection.transaction(),  # a pooler could forbid it
    ):

        def one(statement: str, *values: object) -> object:
            found = connection.execute(statements.of(statement), values).fetchone()
            return found and found[0]

        version = one(_SERVER)
        sent = clock.now()
        _, server_now = connection.execute(_SERVER).fetchone() or ("", sent)
        ahead = server_now - (sent + clock.now()) / 2
        require_server(connection, statements)
        said = [f"PostgreSQL {version}, whose clock is {abs(ahead):.1f} s"]
        said[0] += " ahead" if ahead > 0 else " behind"
        if not has_ledger(connection, statements):
            if not one(_MAY_CREATE, schema, schema):
                raise _forbidden(name, "the role may not create tables")
            return "; ".join([*said, "no ledger yet"])
        check_version(connection, statements)
        read_counters(PostgresReader(connection, statements))
        if forbidden := one(_FORBIDDEN, schema):
            raise _forbidden(name, f"the role may not write the table {forbidden}")
        holder = one(_HOLDER)
        said.append(f"{one(_SESSIONS)} sessions remembered")
        said.append(f"used by {holder}" if holder else "not in use")
        return "; ".join(said)


def _forbidden(name: str, what: str) -> LedgerError:
    return LedgerError(
        f"the ledger {name} cannot be used: {what}",
        advice="give the role the rights of deploy/postgres/role.sql on ledger.schema",
    )
