"""The tables, and how a file of an older version becomes one of this version.

A migration is a function, applied in one transaction with the record of it
(`PRAGMA user_version` is part of the database's first page, so it commits with the rest).
The same tables in PostgreSQL: `postgres.schema`.
"""

import sqlite3
from collections.abc import Callable, Sequence

APPLICATION_ID = 0x454D5253
"""Marks the file as ours ("EMRS"), so that another program's database is not written to."""

Migration = Callable[[sqlite3.Connection], None]


def create(connection: sqlite3.Connection) -> None:
    """Create the tables of version 1."""
    for statement in _VERSION_1:
        connection.execute(statement)


def remember_listings(connection: sqlite3.Connection) -> None:
    """Add what version 2 remembers: the size of each list, and the ids of forgotten sessions."""
    for statement in _VERSION_2:
        connection.execute(statement)


def remember_order(connection: sqlite3.Connection) -> None:
    """Add what version 3 remembers: the order in which each gateway lists its sessions."""
    for statement in _VERSION_3:
        connection.execute(statement)


def mark_copies(connection: sqlite3.Connection) -> None:
    """Add what version 4 remembers: whether the file is a copy that nobody has used yet.

    The copy of an older ledger has it already: see `mark_copy`.
    """
    if not connection.execute(_IS_COPY_KNOWN).fetchone():
        connection.execute("ALTER TABLE ledger ADD COLUMN is_copy INTEGER NOT NULL DEFAULT 0")


def mark_copy(connection: sqlite3.Connection) -> None:
    """Mark a file as a copy, whatever its version: that can still be used after a downgrade."""
    mark_copies(connection)
    connection.execute("UPDATE ledger SET is_copy = 1")


_IS_COPY_KNOWN = "SELECT 1 FROM pragma_table_info('ledger') WHERE name = 'is_copy'"


_VERSION_1 = (
    # One row of facts about the file itself; `knows_prometheus` is 1 once it has scraped.
    "CREATE TABLE ledger (created_at REAL NOT NULL, knows_prometheus INTEGER NOT NULL DEFAULT 0)",
    # `contacted` is 1 once the first complete listing of the gateway was committed.
    # `dropped_ms` is the newest create time among the sessions that were forgotten.
    """CREATE TABLE gateway (
        gateway_id INTEGER PRIMARY KEY,
        workspace_id TEXT NOT NULL,
        livy_compute_id TEXT NOT NULL,
        contacted INTEGER NOT NULL DEFAULT 0,
        dropped_ms INTEGER,
        UNIQUE (workspace_id, livy_compute_id))""",
    # The workspaces whose gateways were listed before: one that comes later is new.
    "CREATE TABLE discovered (workspace_id TEXT PRIMARY KEY) WITHOUT ROWID",
    # The columns are those of `counting.SessionRow`; `serial` tells sessions of one id apart.
    """CREATE TABLE session (
        gateway_id INTEGER NOT NULL REFERENCES gateway,
        session_id TEXT NOT NULL,
        serial INTEGER NOT NULL,
        created_ms INTEGER,
        queue TEXT NOT NULL,
        proxy_user TEXT NOT NULL,
        nano_cu_hours INTEGER NOT NULL,
        vcore_seconds INTEGER NOT NULL,
        mb_seconds INTEGER NOT NULL,
        latest_nano_cu_hours INTEGER NOT NULL,
        ended TEXT NOT NULL,
        ended_at REAL,
        unlisted_at REAL,
        PRIMARY KEY (gateway_id, session_id, serial)) WITHOUT ROWID""",
    "CREATE INDEX session_by_end ON session (gateway_id, ended_at) WHERE ended_at IS NOT NULL",
    """CREATE INDEX session_by_leaving ON session (gateway_id, unlisted_at)
        WHERE unlisted_at IS NOT NULL""",
    # What the counters of a queue hold beyond its remembered sessions, in nano-CU-hours as
    # decimal text: forgotten ones, and usage counted before a session's queue was known.
    # Only `reconcile` needs it.
    """CREATE TABLE remainder (
        gateway_id INTEGER NOT NULL REFERENCES gateway,
        queue TEXT NOT NULL,
        nano_cu_hours TEXT NOT NULL,
        PRIMARY KEY (gateway_id, queue)) WITHOUT ROWID""",
    # The workspaces whose session clusters were listed completely before.
    "CREATE TABLE workspace (workspace_id TEXT PRIMARY KEY) WITHOUT ROWID",
    # The columns are those of `clusters.ClusterRow`.
    """CREATE TABLE session_cluster (
        workspace_id TEXT NOT NULL,
        session_cluster_id TEXT NOT NULL,
        state TEXT NOT NULL,
        started_ms INTEGER,
        state_since REAL NOT NULL,
        unlisted_at REAL,
        PRIMARY KEY (workspace_id, session_cluster_id)) WITHOUT ROWID""",
    # `labels` is a JSON list of the label values; `value` is exact (nano where the metric
    # is in CU-hours), `shown` is what the page may say: it lags behind while held. Both are
    # decimal texts, since a sum of many figures below 2^53 may pass SQLite's 2^63.
    """CREATE TABLE counter (
        metric TEXT NOT NULL,
        labels TEXT NOT NULL,
        value TEXT NOT NULL,
        shown TEXT NOT NULL,
        PRIMARY KEY (metric, labels)) WITHOUT ROWID""",
)

_VERSION_2 = (
    # `gateways` is how many the last list of the workspace held.
    "ALTER TABLE discovered ADD COLUMN gateways INTEGER NOT NULL DEFAULT 0",
    """UPDATE discovered SET gateways = (SELECT count(*) FROM gateway
        WHERE gateway.workspace_id = discovered.workspace_id)""",
    # How many workspaces the last list of an account and region held.
    """CREATE TABLE region (
        account TEXT NOT NULL,
        region_id TEXT NOT NULL,
        workspaces INTEGER NOT NULL,
        PRIMARY KEY (account, region_id)) WITHOUT ROWID""",
    # The sessions whose rows were dropped, so that one that comes back is not counted again.
    """CREATE TABLE forgotten (
        gateway_id INTEGER NOT NULL REFERENCES gateway,
        session_id TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        PRIMARY KEY (gateway_id, session_id, created_ms)) WITHOUT ROWID""",
    # No session was created after it left. A create time far ahead, which version 1 took as it
    # was, would mark all later sessions as counted before.
    "UPDATE gateway SET dropped_ms = min(dropped_ms, 1000 * CAST(strftime('%s', 'now') AS INT))",
)

_VERSION_3 = (
    # `listing_order` is that of the last complete reading, `''` where it is not known.
    "ALTER TABLE gateway ADD COLUMN listing_order TEXT NOT NULL DEFAULT ''",
    # The listed sessions stand in the order of their create times, except for these: see
    # `listing_order.Place`.
    """CREATE TABLE listing_place (
        gateway_id INTEGER NOT NULL REFERENCES gateway,
        session_id TEXT NOT NULL,
        serial INTEGER NOT NULL,
        listed_ms INTEGER NOT NULL,
        rank INTEGER NOT NULL,
        PRIMARY KEY (gateway_id, session_id, serial)) WITHOUT ROWID""",
)

MIGRATIONS: Sequence[Migration] = (create, remember_listings, remember_order, mark_copies)
"""`MIGRATIONS[n]` leads from version n to version n + 1; version 0 is an empty file."""
