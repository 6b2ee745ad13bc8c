"""Reads the tables of a ledger over a connection."""

import json
from collections.abc import Sequence

import psycopg

from exporter.ledger.database import Row
from exporter.ledger.postgres.connection import BoundedConnection
from exporter.ledger.postgres.statements import Statements

_IDS = "SELECT json_array_elements_text(CAST(? AS json))"


class PostgresReader:
    """A connection, which may be closed at times, and the statements on a schema."""

    def __init__(self, connection: BoundedConnection | None, statements: Statements) -> None:
        self._opened = connection
        self.statements = statements

    @property
    def connection(self) -> BoundedConnection:
        """The connection. Raises `psycopg.Error` while there is none."""
        if self._opened is None:
            raise psycopg.OperationalError("not connected")
        return self._opened

    def query(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Return all rows that a statement finds."""
        return self.connection.execute(self.statements.of(statement), values).fetchall()

    def query_ids(self, statement: str, values: Sequence[object], ids: Sequence[str]) -> list[Row]:
        """Return the rows for many ids."""
        sent = json.dumps(ids, ensure_ascii=False)  # all ids are one value
        return self.query(statement.replace("{ids}", _IDS), (*values, sent))

    def run(self, statement: str, *values: object) -> Row | None:
        """Execute a statement at once, and return its first row."""
        cursor = self.connection.execute(self.statements.of(statement), values)
        return cursor.fetchone() if cursor.description else None

    def row(self, statement: str, *values: object) -> Row:
        """Return the one row that a statement finds. Raises `psycopg.Error` if there is none."""
        found = self.run(statement, *values)
        if found is None:
            raise psycopg.errors.DataCorrupted("a table lacks its only row")
        return found
