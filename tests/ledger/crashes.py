"""A process that is killed at a chosen instant: between any two statements, or within one.

The instant is chosen by a number. When it comes, the files are copied as they are, which is what
the system would keep of a killed process, and from then on the connection refuses to work.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any


class Crash(BaseException):
    """The process is no more. Not an `Exception`: nobody survives it."""


class Fuse:
    """Counts instants, and at the one that was chosen ends the process."""

    def __init__(self, folder: Path) -> None:
        """Keep the files of each life of the process in a folder of its own under `folder`."""
        self._folder = folder
        self._life = 0
        self._left: int | None = None
        self.is_blown = False
        self.crashes = 0
        self._place().mkdir(parents=True)

    @property
    def path(self) -> Path:
        """The ledger's path in the present life."""
        return self._place() / "ledger.db"

    def arm(self, instants: int | None) -> None:
        """Let the process die at the n-th instant from now, or live on."""
        self._left = instants

    def burn(self) -> None:
        """Let an instant pass."""
        if self.is_blown:
            raise Crash
        if self._left is None:
            return
        self._left -= 1
        if self._left <= 0:
            self.blow()
            raise Crash

    def blow(self) -> None:
        """End the present life: keep what a killed process leaves."""
        before = self.path
        self.is_blown, self._left = True, None
        self.crashes += 1
        self._life += 1
        self._place().mkdir()
        for ending in ("", "-wal"):
            source = before.with_name(before.name + ending)
            if source.exists():
                shutil.copy(source, self.path.with_name(source.name))

    def revive(self) -> None:
        """Begin the next life."""
        self.is_blown = False

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
