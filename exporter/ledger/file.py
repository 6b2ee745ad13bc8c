"""Opening the file, and turning SQLite's errors into ours.

The journal is a write-ahead log: a reader beside the daemon never waits for it, and a commit
costs one flush. `synchronous=FULL` makes each commit durable before it returns.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.errors import LedgerError
from exporter.ledger.schema import APPLICATION_ID, MIGRATIONS

_BUSY_SECONDS = 5.0


def open_file(
    path: Path | None, *, created_at: float, connect: Callable[..., sqlite3.Connection]
) -> sqlite3.Connection:
    """Open or create the ledger at `path` (in memory where `None`) and bring it up to date.

    `created_at` (seconds since 1970) is what a new file remembers as its birth.
    """
    db = connect(
        str(path) if path else ":memory:",
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _check_owner(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        _migrate(db, created_at)
    except BaseException:
        db.close()
        raise
    return db


def _check_owner(db: sqlite3.Connection, path: Path | None) -> None:
    """Refuse a database of another program, and one of a newer version of this one."""
    owner = _pragma(db, "application_id")
    version = _pragma(db, "user_version")
    has_tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] > 0
    if owner != APPLICATION_ID and (has_tables or version):
        raise LedgerError(
            f"{path} is a database of another program",
            advice="set ledger.path to a file of its own",
            kind="corrupt",
        )
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"{path} was written by a newer version of this exporter (schema {version},"
            f" this one knows {len(MIGRATIONS)})",
            advice="run that version, or restore a backup made before the upgrade",
            kind="corrupt",
        )


def _migrate(db: sqlite3.Connection, created_at: float) -> None:
    for version in range(_pragma(db, "user_version"), len(MIGRATIONS)):
        db.execute("BEGIN IMMEDIATE")
        MIGRATIONS[version](db)
        if version == 0:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute("INSERT INTO ledger (created_at) VALUES (?)", (created_at,))
        db.execute(f"PRAGMA user_version = {version + 1}")
        db.execute("COMMIT")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    value: int = db.execute(f"PRAGMA {name}").fetchone()[0]
    return value


@contextmanager
def translated(path: Path | None) -> Iterator[None]:
    """Turn SQLite's errors into a `LedgerError` that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        kind, advice = _explain(error)
        message = f"the ledger {path} cannot be used: {error}"
        raise LedgerError(message, advice=advice, kind=kind) from error


def _explain(error: sqlite3.Error) -> tuple[str, str]:
    """Give the kind of failure (a label) and the advice for it."""
    # Extended codes carry the primary one in their low byte.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            return "full", "make room on the disk; the usage is counted when writing works again"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return "locked", "another process uses the file: give each exporter a ledger of its own"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return "corrupt", "restore a backup, or move the file away to start counting anew"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return "io", "let this user write the file and its folder, or set ledger.path"
        case _:
            return "io", "check the disk and the permissions of the file and its folder"
