"""What SQLite's errors mean, and what to do about them."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.errors import LedgerError, LedgerFailure


def damaged(path: Path | None, what: str) -> LedgerError:
    """Return the error for a ledger with damaged pages or invalid values."""
    return LedgerError(
        f"the ledger {path} is damaged: {what}", advice=_DAMAGED, kind=LedgerFailure.CORRUPT
    )


_DAMAGED = "restore a backup, or move the file away to start with new counters"


@contextmanager
def translated(path: Path | None) -> Iterator[None]:
    """Turn SQLite's errors into a `LedgerError` that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        if _is_of_content(error):
            raise damaged(path, str(error)) from error
        kind, advice = _explain(error)
        message = f"the ledger {path} cannot be used: {error}"
        raise LedgerError(message, advice=advice, kind=kind) from error


def _is_of_content(error: sqlite3.Error) -> bool:
    """Whether tables or columns are missing, or text is not UTF-8 (an error without a code)."""
    is_operational = isinstance(error, sqlite3.OperationalError)
    return is_operational and getattr(error, "sqlite_errorcode", 1) == sqlite3.SQLITE_ERROR


def _explain(error: sqlite3.Error) -> tuple[LedgerFailure, str]:
    # Extended codes carry the primary one in their low byte.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            advice = "make room on the disk; the usage is counted when writing works again"
            return LedgerFailure.FULL, advice
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            advice = "another process uses the file: give each exporter a ledger of its own"
            return LedgerFailure.LOCKED, advice
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return LedgerFailure.CORRUPT, _DAMAGED
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            advice = "let this user write the file and its folder, or set ledger.path"
            return LedgerFailure.IO, advice
        case _:
            advice = "check the disk and the permissions of the file and its folder"
            return LedgerFailure.IO, advice
