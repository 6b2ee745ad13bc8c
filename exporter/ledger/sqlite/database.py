"""The file: opened by one writing process, checked, brought up to date, read, written and closed.

The journal is a write-ahead log: a reader beside the daemon never waits for it, and a commit
costs one flush. `synchronous=FULL` makes each commit durable before it returns.
"""

import os
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import cache
from pathlib import Path

from exporter.errors import LedgerError, LedgerFailure
from exporter.ledger.database import Row, Table
from exporter.ledger.sqlite.errors import damaged, translated
from exporter.ledger.sqlite.integrity import damage
from exporter.ledger.sqlite.lock import Lock
from exporter.ledger.sqlite.schema import APPLICATION_ID, MIGRATIONS, Migration

_BUSY_SECONDS = 5.0

PRIVATE = 0o600
"""The mode of new files: names of users are not for other users to read."""

_MOST_IDS = 500
"""In one query: SQLite bounds the number of its parameters."""

# A copy gets a creation time of its own when it is first used, as a reset of its series.
_FIRST_USE = (
    "UPDATE ledger SET created_at = CASE is_copy WHEN 1 THEN ? ELSE created_at END, is_copy = 0"
)
_SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"


class SqliteReader:
    """Reads an open ledger file."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def query(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Return all rows that a statement finds."""
        return self.db.execute(statement, values).fetchall()

    def query_ids(
        self, statement: str, values: Sequence[object], ids: Sequence[str]
    ) -> Iterator[Row]:
        """Yield the rows for many ids, some at a time."""
        for start in range(0, len(ids), _MOST_IDS):
            some = ids[start : start + _MOST_IDS]
            query = statement.format(ids=",".join("?" * len(some)))
            yield from self.db.execute(query, (*values, *some))


class SqliteDatabase(SqliteReader):
    """An open ledger file, for the one process that writes it."""

    is_patient = False
    is_rewound = False
    revision = 0
    lease = None  # the lock is held until the end

    def __init__(
        self,
        path: Path | None,
        *,
        created_at: float,
        connect: Callable[..., sqlite3.Connection] | None = None,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        """Open or create the file at `path`; in memory where `None`.

        `created_at` (seconds since 1970) is the creation time of a new ledger.
        """
        self._path = path
        self._lock = Lock(path) if path else None
        try:
            with translated(path):
                super().__init__(_open(path, created_at, connect or sqlite3.connect, migrations))
                self._identities = _identities(path)
        except BaseException:
            self._unlock()
            raise

    def ready(self) -> int:
        """Raise `LedgerError` if the file or its journal was removed or replaced."""
        for path, identity in self._identities.items():
            if _identity(path) != identity:
                raise LedgerError(
                    f"the ledger {path} was removed or replaced while it was in use",
                    advice="put it back or restart the exporter; nothing is counted until then",
                )
        return 1  # the lock is held until the end: there is only one term

    def translated(self) -> AbstractContextManager[None]:
        """Turn SQLite's errors into a `LedgerError` that says what to do."""
        return translated(self._path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is written in the block durable at its end, or, if it fails, undo it all."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            # If the rollback fails too, the file is left as a crash would leave it.
            with suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        """Write with one statement."""
        self.db.execute(statement, values)

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Write with a statement for each of `rows`."""
        self.db.executemany(statement, rows)

    def upsert(self, table: Table, rows: Iterable[Sequence[object]]) -> None:
        """Write rows in place of those with the same key."""
        self.db.executemany(_upsert(table), rows)

    def size_bytes(self) -> int:
        """Return the size of the file, without what its journal holds."""
        size: int = self.db.execute(_SIZE).fetchone()[0]
        return size

    def end_rewind(self) -> None:
        """Do nothing: a file does not lose commits."""

    def close(self) -> None:
        """Close the file, and let other processes open it."""
        with suppress(sqlite3.Error):
            self.db.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock:
            self._lock.release()
            self._lock = None


@cache
def _upsert(table: Table) -> str:
    names, places = ", ".join(table.columns), ", ".join("?" * len(table.columns))
    how = "INSERT OR REPLACE" if table.values else "INSERT OR IGNORE"
    return f"{how} INTO {table.name} ({names}) VALUES ({places})"


def require(path: Path) -> None:
    """Raise `LedgerError` if there is no file."""
    try:
        why = "" if stat.S_ISREG(path.stat().st_mode) else "not a regular file"
    except OSError as error:
        why = str(error.strerror)
    if why:
        raise LedgerError(
            f"the ledger {path} cannot be read: {why}",
            advice="set ledger.path to the file that the daemon writes",
        )


@contextmanager
def reading(path: Path, *, is_current: bool = True) -> Iterator[SqliteReader]:
    """Open the file read-only, as of one instant; a daemon may write it meanwhile.

    Raises `LedgerError`; with `is_current`, also if the tables are those of an older version.
    """
    require(path)
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with (
        translated(path),
        closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db,
    ):
        if not check_owner(db, path):
            raise LedgerError(
                f"{path} is empty", advice="set ledger.path to the file that the daemon writes"
            )
        check_health(db, path)
        if is_current and _pragma(db, "user_version") < len(MIGRATIONS):
            raise LedgerError(
                f"{path} was written by an older version of this exporter",
                advice="use that version, or start the daemon of this one first",
            )
        db.execute("BEGIN")
        yield SqliteReader(db)


def _open(
    path: Path | None,
    created_at: float,
    connect: Callable[..., sqlite3.Connection],
    migrations: Sequence[Migration],
) -> sqlite3.Connection:
    if path:
        _create_private(path)
    db = connect(
        str(path) if path else ":memory:",
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        check_owner(db, path, len(migrations))
        check_health(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        migrate(db, created_at, migrations)
        # SQLite opens what it may only read, and a full disk shows only when something is written.
        db.execute(_FIRST_USE, (created_at,))
    except BaseException:
        db.close()
        raise
    return db


def _create_private(path: Path) -> None:
    """Create the file for this user alone; SQLite gives its journal the same mode."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with suppress(OSError):  # SQLite says what is wrong with it
        os.close(os.open(os.path.realpath(path), flags, PRIVATE))


def check_owner(db: sqlite3.Connection, path: Path | None, newest: int = len(MIGRATIONS)) -> bool:
    """Raise `LedgerError` for a database of another program, or of a newer version of this one.

    Returns whether there are tables in it.
    """
    owner, version = _pragma(db, "application_id"), _pragma(db, "user_version")
    has_tables = bool(db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    if owner != APPLICATION_ID and (has_tables or owner or version):
        raise LedgerError(
            f"{path} is a database of another program",
            advice="set ledger.path to a file of its own",
            kind=LedgerFailure.CORRUPT,
        )
    if version < 0 or (has_tables and version == 0):
        raise damaged(path, f"version {version} does not exist")
    if version > newest:
        raise LedgerError(
            f"{path} was written by a newer version of this exporter"
            f" (schema version {version}; this one supports up to {newest})",
            advice="run that version, or restore a backup made before the upgrade",
            kind=LedgerFailure.CORRUPT,
        )
    return has_tables


def check_health(db: sqlite3.Connection, path: Path | None) -> None:
    """Raise `LedgerError` if pages or values of a ledger are damaged."""
    verdict: str = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise damaged(path, verdict)
    version = _pragma(db, "user_version")
    found = damage(SqliteReader(db), version) if version else ""
    if found:
        raise damaged(path, found)


def migrate(db: sqlite3.Connection, created_at: float, migrations: Sequence[Migration]) -> None:
    """Apply the migrations that the file lacks, each in one transaction with its record."""
    for version in range(_pragma(db, "user_version"), len(migrations)):
        db.execute("BEGIN IMMEDIATE")
        migrations[version](db)
        if version == 0:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute("INSERT INTO ledger (created_at) VALUES (?)", (created_at,))
        db.execute(f"PRAGMA user_version = {version + 1}")
        db.execute("COMMIT")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    value: int = db.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _identities(path: Path | None) -> dict[str, tuple[int, int]]:
    """Return device and inode of the file and its journal, by their paths."""
    if path is None:
        return {}
    # The journal lies beside the file itself, not beside a link to it.
    return {name: _identity(name) for name in (str(path), os.path.realpath(path) + "-wal")}


def _identity(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - twice a transaction
    except OSError:
        return -1, -1
    return found.st_dev, found.st_ino
