"""A process that is killed at a chosen instant: between any two statements, or within one.

The instant is chosen by a number. When it comes, what the system would keep of a killed process
is kept, and from then on its connections refuse to work. Where the ledger is on a server, the
connections may also be lost alone, and the process live on.
"""

import shutil
import socket
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.abc import Params, PQGen

from exporter.ledger.location import Postgres
from exporter.ledger.postgres.connection import BoundedConnection, connect
from tests.support import postgres

T = TypeVar("T")


class Crash(BaseException):
    """The process is no more. Not an `Exception`: nobody survives it."""


class Fuse(ABC):
    """Counts instants, and at the one that was chosen ends the process, or its connections."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._is_cut = False
        self.is_blown = False
        self.crashes = 0

    @property
    @abstractmethod
    def location(self) -> Path | Postgres:
        """The place of the ledger in the present life of the process."""

    def arm(self, instants: int | None, *, is_cut: bool = False) -> None:
        """Let the process die at the n-th instant from now, or live on.

        Where it `is_cut`, it only loses its connections.
        """
        self._left = instants
        self._is_cut = is_cut

    def burn(self) -> None:
        """Let an instant pass."""
        if self.is_blown:
            raise Crash
        if self._left is None:
            return
        self._left -= 1
        if self._left <= 0:
            self.go_off()

    def go_off(self) -> None:
        """End the process, or its connections."""
        self._left = None
        self.crashes += 1
        if self._is_cut:
            self.cut()
            return
        self.is_blown = True
        self.end_life()
        raise Crash

    def blow(self) -> None:
        """End the present life now."""
        self.arm(1)
        with suppress(Crash):
            self.burn()

    def revive(self) -> None:
        """Begin the next life."""
        self.is_blown = False

    @abstractmethod
    def end_life(self) -> None:
        """Keep what a killed process leaves."""

    def cut(self) -> None:
        """Lose all connections; a file has none."""
        raise NotImplementedError

    @abstractmethod
    def connect(self) -> Callable[..., Any]:
        """Return what opens connections that die with the process."""


class FileFuse(Fuse):
    """Of a process whose ledger is a file."""

    def __init__(self, folder: Path) -> None:
        """Keep the files of each life of the process in a folder of its own under `folder`."""
        super().__init__()
        self._folder = folder
        self._life = 0
        self._place().mkdir(parents=True)

    @property
    def location(self) -> Path:
        """The ledger's path in the present life."""
        return self._place() / "ledger.db"

    def end_life(self) -> None:
        """Copy the files as they are."""
        before = self.location
        self._life += 1
        self._place().mkdir()
        for ending in ("", "-wal"):
            source = before.with_name(before.name + ending)
            if source.exists():
                shutil.copy(source, self.location.with_name(source.name))

    def connect(self) -> Callable[..., sqlite3.Connection]:
        """Return what opens connections that die with the process."""

        def open_connection(*args: Any, **kwargs: Any) -> sqlite3.Connection:  # noqa: ANN401
            connection = sqlite3.connect(*args, **kwargs, factory=CrashingConnection)
            connection.fuse = self
            return connection

        return open_connection

    def _place(self) -> Path:
        return self._folder / str(self._life)


class CrashingConnection(sqlite3.Connection):
    """A connection with an instant before and after each statement, and each row of many."""

    fuse: Fuse

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401
        """Execute a statement, unless the process dies."""
        self.fuse.burn()
        cursor = super().execute(sql, parameters)
        self.fuse.burn()
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Execute a statement for many rows, unless the process dies."""
        self.fuse.burn()
        cursor = super().executemany(sql, self._rows(parameters))
        self.fuse.burn()
        return cursor

    def _rows(self, parameters: Iterable[Any]) -> Iterator[Any]:
        for row in parameters:
            self.fuse.burn()
            yield row


_FREE = """DO $$ BEGIN IF to_regclass('{schema}.lease') IS NOT NULL THEN
    UPDATE {schema}.lease SET holder = NULL, beat = beat + 1; END IF; END $$"""


class ServerFuse(Fuse):
    """Of a process whose ledger is on PostgreSQL: what was sent arrives, no answer is read."""

    REST = 3
    """The most instants that follow the sending of `COMMIT`."""

    def __init__(self, location: Postgres) -> None:
        super().__init__()
        self._location = location
        self._connections: list[MortalConnection] = []
        self.unanswered = 0
        """How many commits were sent without an answer."""

    @property
    def location(self) -> Postgres:
        """The schema, which is the same in each life."""
        return self._location

    def note_commit(self) -> None:
        """Let the instant be this one, if more would have passed than a transaction has."""
        if self._left is not None and self._left > self.REST:
            self.unanswered += 1
            self.go_off()

    def end_life(self) -> None:
        """Close all sockets, as the system does."""
        self.cut()

    def cut(self) -> None:
        """Close all sockets; the process learns of it when it uses one."""
        while self._connections:
            connection = self._connections.pop()
            if connection.pgconn.status == psycopg.pq.ConnStatus.OK:
                with socket.socket(fileno=connection.pgconn.socket) as its_socket:
                    its_socket.shutdown(socket.SHUT_RDWR)
                    its_socket.detach()

    def revive(self) -> None:
        """Begin the next life, as if the lease of the one before had run out."""
        super().revive()
        postgres.shared().execute(_FREE.format(schema=self._location.schema))

    def connect(self) -> Callable[[str], BoundedConnection]:
        """Return what opens connections that die with the process."""

        def open_connection(url: str) -> BoundedConnection:
            if self.is_blown:
                raise psycopg.OperationalError("the process has ended")
            connection = connect(url, MortalConnection)
            assert isinstance(connection, MortalConnection)
            connection.fuse = self
            self._connections.append(connection)
            return connection

        return open_connection


class MortalConnection(BoundedConnection):
    """A connection with an instant after each wait: for an answer, or until it was sent.

    In a pipeline each statement is sent for itself, and all are answered at its end.
    """

    fuse: ServerFuse | None = None
    """`None` while the connection is being opened."""

    def execute(
        self,
        query: Any,  # noqa: ANN401
        params: Params | None = None,
        **options: Any,  # noqa: ANN401
    ) -> psycopg.Cursor[Any]:
        """Execute a statement, unless the process dies."""
        cursor = super().execute(query, params, **options)
        if self.fuse and query == "COMMIT":
            self.fuse.note_commit()
        return cursor

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for what the server does, unless the process dies."""
        if self.fuse and self.fuse.is_blown:
            # What a process does at its end reaches nobody any more.
            self.pgconn.finish()
            raise psycopg.OperationalError("the process has ended")
        result = super().wait(gen, interval, timeout)
        if self.fuse:
            self.fuse.burn()
        return result
