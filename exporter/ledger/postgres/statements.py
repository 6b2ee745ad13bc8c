"""The ledger's statements, as PostgreSQL and psycopg understand them.

They name a table `main.session` and a value `?`, as SQLite does.
"""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

from exporter.ledger.database import Table

TIMELINE: Final = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"
"""Changes when another server takes over, which may lack the last commits of this one."""

# An open or waiting transaction must not stop other processes for long, nor if its client is gone.
# And a commit is durable before its totals are shown, or there is a warning, whatever the role's
# defaults are.
BOUNDS: Final = """SELECT set_config('statement_timeout', '6000', true),
    set_config('lock_timeout', '2000', true),
    set_config('idle_in_transaction_session_timeout', '6000', true),
    set_config('client_min_messages', 'warning', true),
    set_config('synchronous_commit', CASE current_setting('synchronous_commit')
        WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)"""


class Statements:
    """Statements on the tables of one schema, each translated once."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self._known: dict[str, str] = {}

    def of(self, statement: str) -> str:
        """Return a statement with the schema's name and psycopg's placeholders in it."""
        known = self._known.get(statement)
        if known is None:
            known = statement.replace("main.", f'"{self.schema}".').replace("?", "%s")
            self._known[statement] = known
        return known


@cache
def merge(table: Table) -> str:
    """Return the statement that writes the rows of a JSON document into a table."""
    names = ", ".join(table.columns)
    changes = ", ".join(f"{name} = excluded.{name}" for name in table.values)
    action = f"UPDATE SET {changes}" if changes else "NOTHING"
    return f"""INSERT INTO main.{table.name} ({names}) SELECT {names}
        FROM json_populate_recordset(CAST(NULL AS main.{table.name}), CAST(? AS json))
        ON CONFLICT ({", ".join(table.key)}) DO {action}"""  # noqa: S608 - our own names


def document(table: Table, rows: Iterable[Sequence[object]]) -> str:
    """Return rows of a table as a JSON document; of those with one key, the last."""
    width = len(table.key)
    by_key = {tuple(row[:width]): row for row in rows}
    names = table.columns
    documents = [dict(zip(names, row, strict=True)) for row in by_key.values()]
    return json.dumps(documents, ensure_ascii=False, separators=(",", ":"))
