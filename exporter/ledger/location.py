"""Where a ledger is kept, and what opens it there."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.clock import Clock
from exporter.errors import LedgerError, LedgerFailure
from exporter.ledger import sqlite
from exporter.ledger.database import Database, Reader, name_of


@dataclass(frozen=True, slots=True)
class Postgres:
    """A schema of a PostgreSQL database, whose `url` holds no password."""

    url: str
    schema: str
    lease_duration: float = 30.0
    is_patient: bool = False
    """Whether to wait, from the start on, for a server that does not answer and for the lease."""
    digest: str = ""
    """Of the settings that decide what is polled: replicas must share them."""

    def __str__(self) -> str:
        """Return the name of the ledger, without the parameters of the connection."""
        return name_of(self.url, self.schema)


Location = Path | Postgres | None
"""A file of SQLite, a schema of PostgreSQL, or the memory of this process."""


def open_database(
    location: Location, clock: Clock, connect: Callable[..., Any] | None = None
) -> Database:
    """Open the ledger at `location` for writing; `connect` opens a connection to it otherwise.

    Raises `LedgerError`.
    """
    if isinstance(location, Postgres):
        # Late: the library is optional, and only this needs it.
        from exporter.ledger.postgres import PostgresDatabase  # noqa: PLC0415

        return PostgresDatabase(
            location.url,
            location.schema,
            clock=clock,
            duration=location.lease_duration,
            is_patient=location.is_patient,
            digest=location.digest,
            connect=connect,
        )
    return sqlite.SqliteDatabase(location, created_at=clock.now(), connect=connect)


def open_for_command(location: Path | Postgres, clock: Clock) -> Database:
    """Open the ledger at `location` for a command that writes it, and use it alone.

    Raises `LedgerError`, also if another process uses it. On PostgreSQL, whether that process is
    alive shows only in its lease: this waits until the lease is renewed, or ends.
    """
    database = open_database(location, clock)
    looks = 1 if isinstance(location, Path) else int(2 * location.lease_duration / _LOOK_SECONDS)
    try:
        while True:
            try:
                with database.translated():
                    database.ready()
            except LedgerError as error:
                looks -= 1
                if error.kind is not LedgerFailure.LOCKED or not error.is_passing or looks <= 0:
                    raise
                time.sleep(_LOOK_SECONDS)
            else:
                if database.lease:
                    database.lease.start()  # it lasts as long as the command works
                return database
    except BaseException:
        database.close()
        raise


_LOOK_SECONDS = 1.0


def check_postgres(location: Postgres, clock: Clock) -> str:
    """Describe the ledger. Raises `LedgerError` if a daemon could not use it."""
    from exporter.ledger.postgres import check  # noqa: PLC0415

    return check(location.url, location.schema, str(location), clock)


def reading(
    location: Path | Postgres, *, is_current: bool = True
) -> AbstractContextManager[Reader]:
    """Open the ledger at `location` for reading, as of one instant; a daemon may write it.

    Raises `LedgerError`; with `is_current`, also if a file has the tables of an older version.
    """
    if isinstance(location, Postgres):
        from exporter.ledger.postgres import reading as reading_postgres  # noqa: PLC0415

        return reading_postgres(location.url, location.schema)
    return sqlite.reading(location, is_current=is_current)
