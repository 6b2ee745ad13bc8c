"""Checks that the values in a ledger are valid.

SQLite detects damaged pages, but accepts any value in any column. So every command checks all
values when it opens a ledger, and relies on them afterwards.
"""

from collections.abc import Mapping

from exporter.errors import LedgerError
from exporter.ledger.counters import read_counters
from exporter.ledger.counting import ENDED_STATES
from exporter.ledger.database import Reader
from exporter.ledger.sqlite.schema import MIGRATIONS

_TEXT = "typeof({0}) <> 'text'"
_COUNT = "typeof({0}) <> 'integer' OR {0} < 0"
_FLAG = "{0} NOT IN (0, 1)"
_MILLISECONDS = "typeof({0}) NOT IN ('integer', 'null')"
_SECONDS = "typeof({0}) NOT IN ('real', 'null') OR abs({0}) > 1e15"
_INTEGER = "typeof({0}) <> 'integer'"
_END = f"{{0}} NOT IN ({', '.join(repr(state) for state in ('', *ENDED_STATES))})"

_WRONG: Mapping[str, Mapping[str, str]] = {
    "ledger": {"created_at": _SECONDS, "knows_prometheus": _FLAG, "is_copy": _FLAG},
    "gateway": {
        "workspace_id": _TEXT,
        "livy_compute_id": _TEXT,
        "contacted": _FLAG,
        "dropped_ms": _MILLISECONDS,
        "listing_order": _TEXT,
    },
    "listing_place": {
        "session_id": _TEXT,
        "serial": _COUNT,
        "listed_ms": _INTEGER,
        "rank": _COUNT,
    },
    "session": {
        "session_id": _TEXT,
        "serial": _COUNT,
        "created_ms": _MILLISECONDS,
        "queue": _TEXT,
        "proxy_user": _TEXT,
        "nano_cu_hours": _COUNT,
        "vcore_seconds": _COUNT,
        "mb_seconds": _COUNT,
        "latest_nano_cu_hours": f"{_COUNT} OR {{0}} > nano_cu_hours",
        "ended": _END,
        "ended_at": _SECONDS,
        "unlisted_at": _SECONDS,
    },
    "session_cluster": {
        "session_cluster_id": _TEXT,
        "state": _TEXT,
        "started_ms": _MILLISECONDS,
        "state_since": _SECONDS,
        "unlisted_at": _SECONDS,
    },
    "remainder": {"queue": _TEXT},
    "discovered": {"workspace_id": _TEXT, "gateways": _COUNT},
    "region": {"account": _TEXT, "region_id": _TEXT, "workspaces": _COUNT},
    "forgotten": {"session_id": _TEXT, "created_ms": _MILLISECONDS},
}
"""Conditions that invalid values meet, by table and column."""


def damage(db: Reader, version: int) -> str:
    """Return what is invalid in a ledger whose tables are of `version`; `""` if nothing is."""
    for table, columns in _WRONG.items():
        known = columns.keys() if version == len(MIGRATIONS) else _columns_of(db, table)
        rules = [rule.format(name) for name, rule in columns.items() if name in known]
        if rules and db.query(_any_row(table, rules)):
            return f"the table {table} has invalid values"
    if db.query("SELECT count(*) FROM ledger") != [(1,)]:
        return "the table ledger does not have exactly one row"
    try:
        read_counters(db)
        for (text,) in db.query("SELECT nano_cu_hours FROM remainder"):
            int(text)
    except (LedgerError, ValueError, TypeError):
        return "a counter has an invalid value"
    return ""


def _any_row(table: str, rules: list[str]) -> str:
    return f"SELECT 1 FROM {table} WHERE {' OR '.join(rules)} LIMIT 1"  # noqa: S608 - constants


def _columns_of(db: Reader, table: str) -> set[str]:
    return {name for (name,) in db.query("SELECT name FROM pragma_table_info(?)", (table,))}
