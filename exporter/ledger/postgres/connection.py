"""Connections to PostgreSQL: every wait has a timeout, and every error says what to do."""

import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from exporter.errors import LedgerError, LedgerFailure

T = TypeVar("T")

CONNECT_SECONDS: Final = 5
KEEPALIVE_SECONDS: Final = 30
"""Without traffic, until the kernel sends a probe: firewalls drop idle connections."""
WAIT_SECONDS: Final = 8.0
"""For an answer; after it the connection is closed. The server gives a statement up earlier."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed if the server does not answer in time.

    A statement is never cancelled: a `COMMIT` that was cancelled while it waited for a standby
    reports success. Whether it succeeded is found out over the next connection.
    """

    seconds: float = WAIT_SECONDS
    warning: str = ""
    """The last warning of the server since this was set."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for an answer of the server. Raises `psycopg.OperationalError` after `seconds`."""
        try:
            return super().wait(gen, interval, self.seconds if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if self.pgconn.status == psycopg.pq.ConnStatus.OK and error.sqlstate is None:
                self.pgconn.finish()
                raise psycopg.errors.ConnectionTimeout(
                    f"no answer within {self.seconds:g} s"
                ) from error
            raise

    def is_alive(self) -> bool:
        """Whether an idle connection can be used, as far as that is known without a round trip.

        Between two statements a server sends nothing, unless it closes the connection.
        """
        if self.closed:
            return False
        socket = select.poll()
        socket.register(self.fileno(), select.POLLIN)
        return not socket.poll(0)


def connect(url: str, factory: type[BoundedConnection] = BoundedConnection) -> BoundedConnection:
    """Connect to a server. Each statement is a transaction of its own unless one is begun.

    No statement is prepared and no parameter is set for the session, for poolers' sake.
    """
    try:
        return _connect(url, factory)
    except UnicodeError as error:
        raise psycopg.OperationalError(f"a name in ledger.url is not valid: {error}") from error


def _connect(url: str, factory: type[BoundedConnection]) -> BoundedConnection:
    parameters = conninfo_to_dict(url)
    defaults: Mapping[str, str | int | None] = {
        "application_name": "emr-serverless-spark-exporter",
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": KEEPALIVE_SECONDS,
    }
    connection = factory.connect(
        make_conninfo("", **{**defaults, **parameters, "client_encoding": "utf8"}),
        autocommit=True,
        prepare_threshold=None,
    )
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # whatever the role's is

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "WARNING":
            connection.warning = diagnostic.message_primary or ""

    connection.add_notice_handler(note)
    return connection


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn psycopg's errors into a `LedgerError` about the ledger `name` that says what to do."""
    try:
        yield
    except psycopg.Error as error:
        kind, advice = explain(error)
        said = " ".join(str(error).split())
        raise LedgerError(
            f"the ledger {name} cannot be used: {said}",
            advice=advice,
            kind=kind,
            is_passing=kind in {LedgerFailure.UNREACHABLE, LedgerFailure.TIMEOUT},
        ) from error


_CHECK_ALL = "check ledger.url with its user, password and database, the network and the server"
_WAIT = "the exporter tries again, and then counts the usage in the meantime"
_LET_WRITE = (
    "if it is a standby, name all servers in ledger.url, with target_session_attrs=read-write; else"
    " set default_transaction_read_only to off for the role"
)
_RAISE_LIMITS = (
    "the server accepts no more connections, or lacks memory: raise max_connections, or the"
    f" CONNECTION LIMIT of the role; {_WAIT}"
)
_REASONS: Final[tuple[tuple[tuple[str, ...], LedgerFailure, str], ...]] = (
    (
        ("28",),
        LedgerFailure.IO,
        "check the user of ledger.url and its password (PGPASSFILE, PGPASSWORD), and pg_hba.conf",
    ),
    (("3D000",), LedgerFailure.IO, "check the database of ledger.url, or create it"),
    (
        ("42501",),
        LedgerFailure.IO,
        "give the role the rights of deploy/postgres/role.sql on ledger.schema",
    ),
    (("25006",), LedgerFailure.UNREACHABLE, _LET_WRITE),
    (
        ("53100",),
        LedgerFailure.FULL,
        "make room on the disk of the database; the usage is counted when writing works again",
    ),
    (("53",), LedgerFailure.UNREACHABLE, _RAISE_LIMITS),
    (
        ("55P03", "57014", "25P03", "40"),
        LedgerFailure.TIMEOUT,
        f"the database is slow or waits for a lock; {_WAIT}",
    ),
    (
        ("08P01",),
        LedgerFailure.UNREACHABLE,
        f"set the pool_mode of PgBouncer to transaction, and read its log; {_WAIT}",
    ),
    (
        ("42", "3F", "22", "23", "XX001", "XX002"),
        LedgerFailure.CORRUPT,
        "restore a dump of its tables, or set another ledger.schema to start counting from zero",
    ),
)
"""By the beginning of the SQLSTATE; the first match counts."""


def explain(error: psycopg.Error) -> tuple[LedgerFailure, str]:
    """Return the kind of failure and the advice for it."""
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


_REFUSALS: Final = (
    ("password authentication failed", "28P01"),
    ("pg_hba.conf", "28000"),
    ("Peer authentication failed", "28000"),
    ('FATAL:  role "', "28000"),
    ('FATAL:  database "', "3D000"),
    ("permission denied for database", "42501"),
    ("too many c", "53300"),
    ("connection slots are reserved", "53300"),
)


def close(connection: BoundedConnection | None) -> None:
    """Close a connection, whatever state it is in."""
    if connection is not None:
        with suppress(psycopg.Error):
            connection.close()
