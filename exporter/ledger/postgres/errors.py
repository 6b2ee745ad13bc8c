"""What PostgreSQL's errors mean, and what to do about them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from exporter.errors import LedgerError, LedgerFailure

GRANT: Final = "give the role the rights of deploy/postgres/role.sql on ledger.schema"
_CHECK_ALL = "check ledger.url with its user, password and database, the network and the server"
_CHECK_LOGIN = (
    "check the user of ledger.url and its password (PGPASSFILE, PGPASSWORD), and pg_hba.conf"
)
_WAIT = "the exporter tries again, and then counts the usage in the meantime"
_LET_WRITE = (
    "if it is a standby, name all servers in ledger.url, with target_session_attrs=read-write, and"
    " see that one is the primary; else set default_transaction_read_only to off for the role"
)
_MAKE_ROOM = "make room on the disk of the database; the usage is counted when writing works again"
_RAISE_LIMITS = (
    "the server accepts no more connections, or lacks memory: raise max_connections, or the"
    f" CONNECTION LIMIT of the role; {_WAIT}"
)
_SET_POOL = f"set the pool_mode of PgBouncer to transaction, and read its log; {_WAIT}"
_SLOW = f"the database is slow or waits for a lock; {_WAIT}"
_RESTORE = "restore a dump of its tables, or set another ledger.schema to start with new counters"

_REASONS: Final = (
    (("28",), LedgerFailure.IO, _CHECK_LOGIN),
    (("3D000",), LedgerFailure.IO, "check the database of ledger.url, or create it"),
    (("42501",), LedgerFailure.IO, GRANT),
    # Of a standby also where the role's transactions are serializable, which it refuses.
    (("25006", "0A000"), LedgerFailure.UNREACHABLE, _LET_WRITE),
    (("53100",), LedgerFailure.FULL, _MAKE_ROOM),
    (("53",), LedgerFailure.UNREACHABLE, _RAISE_LIMITS),
    (("55P03", "57014", "25P03", "40"), LedgerFailure.TIMEOUT, _SLOW),
    (("08P01",), LedgerFailure.UNREACHABLE, _SET_POOL),
    (("42", "3F", "22", "23", "XX001", "XX002"), LedgerFailure.CORRUPT, _RESTORE),
)
"""By the beginning of the SQLSTATE; the first match counts."""
_REFUSALS: Final = (
    ("password authentication failed", "28P01"),
    ("pg_hba.conf", "28000"),
    ("Peer authentication failed", "28000"),
    ('FATAL:  role "', "28000"),
    ('FATAL:  database "', "3D000"),
    ("permission denied for database", "42501"),
    ("too many c", "53300"),
    ("connection slots are reserved", "53300"),
    ("session is read-only", "25006"),
    ("server is in hot standby mode", "25006"),
)


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn psycopg's errors into a `LedgerError` about the ledger `name` that says what to do."""
    try:
        yield
    except psycopg.Error as error:
        kind, advice = _explain(error)
        said = " ".join(str(error).split())
        raise LedgerError(
            f"the ledger {name} cannot be used: {said}",
            advice=advice,
            kind=kind,
            is_passing=kind in {LedgerFailure.UNREACHABLE, LedgerFailure.TIMEOUT},
        ) from error


def _explain(error: psycopg.Error) -> tuple[LedgerFailure, str]:
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return LedgerFailure.TIMEOUT, f"the database does not answer; {_WAIT}"
    code = error.sqlstate or _code_in(error)
    for beginnings, kind, advice in _REASONS:
        if code and code.startswith(beginnings):
            return kind, advice
    return LedgerFailure.UNREACHABLE, f"{_CHECK_ALL}; {_WAIT}"


def _code_in(error: psycopg.Error) -> str:
    """Guess the SQLSTATE of a refused connection, for which libpq gives only a message.

    The message of a server with another language than English gives none.
    """
    if error.pgconn is not None and error.pgconn.needs_password:
        return "28P01"
    said = str(error)
    return next((code for words, code in _REFUSALS if words in said), "")
