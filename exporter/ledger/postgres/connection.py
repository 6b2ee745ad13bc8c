"""Connections to PostgreSQL, on which every wait has a timeout."""

import select
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

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
    defaults: dict[str, str | int | None] = {
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


def close(connection: BoundedConnection | None) -> None:
    """Close a connection, whatever state it is in."""
    if connection is not None:
        with suppress(psycopg.Error):
            connection.close()
