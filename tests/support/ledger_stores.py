"""Where tests keep a ledger: in SQLite, or in PostgreSQL, maybe behind PgBouncer.

pytestmark = both_stores      # of a test or a module in tests/ledger

ledger = opened(tmp_path / "ledger.db")    # that file, or a schema in its place
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from exporter.ledger import Ledger
from exporter.ledger.location import Location, Postgres
from tests.support import postgres
from tests.support.harness import START
from tests.support.postgres import Database

SQLITE: Final = "sqlite"
POSTGRES: Final = "postgres"
PGBOUNCER: Final = "pgbouncer"

_ON_SERVER = [pytest.param(name, marks=pytest.mark.real) for name in (POSTGRES, PGBOUNCER)]

both_stores = pytest.mark.parametrize("store", [SQLITE, _ON_SERVER[0]], indirect=True)
"""Run a test on SQLite and on PostgreSQL."""

postgres_alone = pytest.mark.parametrize("store", _ON_SERVER[:1], indirect=True)
"""Run it on PostgreSQL alone, where it costs too much to be run there as often."""

all_stores = pytest.mark.parametrize("store", [SQLITE, *_ON_SERVER], indirect=True)
"""Run it through PgBouncer, too."""

servers = pytest.mark.parametrize("store", _ON_SERVER, indirect=True)
"""Run it on PostgreSQL alone, directly and through PgBouncer."""

_EMPTY = """DO $$ DECLARE name text; BEGIN
    IF to_regclass('{schema}.meta') IS NULL THEN RETURN; END IF;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'
        AND tablename NOT IN ('meta', 'lease', 'shard', 'ledger')
    LOOP EXECUTE format('DELETE FROM {schema}.%I', name); END LOOP;
    UPDATE {schema}.ledger SET created_at = {start}, knows_prometheus = 0;
    UPDATE {schema}.lease SET holder = NULL, beat = beat + 1;
    END $$"""
_FREE = "UPDATE {schema}.lease SET holder = NULL, beat = beat + 1"


class Schemas:
    """Schemas of the shared server, which one test after the other uses.

    To make one and its tables takes 0.1 s, to empty it some milliseconds.
    """

    def __init__(self) -> None:
        self._free: list[Database] = []

    def take(self) -> Database:
        """Return an empty schema."""
        if not self._free:
            return postgres.shared().schema()
        database = self._free.pop()
        postgres.shared().execute(_EMPTY.format(schema=database.schema, start=START))
        return database

    def give_back(self, database: Database) -> None:
        """Let others use a schema, whose users have ended."""
        self._free.append(database)


class Store:
    """SQLite: files, and the memory of the process."""

    def __init__(self) -> None:
        self._ledgers: list[Ledger] = []

    def new(self) -> Location:
        """Return where a ledger can be that no test calls by a path."""
        return None

    def at(self, path: Path) -> Path | Postgres:
        """Return where the ledger is that a test calls by a path."""
        return path

    def trace(self, path: Path) -> int:
        """Return a number that each commit to a ledger changes."""
        return path.with_name(f"{path.name}-wal").stat().st_size

    def note(self, ledger: Ledger) -> Ledger:
        """Close a ledger at the end of the test, if it is still open."""
        self._ledgers.append(ledger)
        return ledger

    def free(self, path: Path) -> None:
        """Let another process own a ledger, although one does."""
        raise NotImplementedError

    def another(self) -> "Store":
        """Return a store of the same kind, without any ledger."""
        return Store()

    def close(self) -> None:
        """Close what the test has left open."""
        self.close_ledgers()

    def close_ledgers(self) -> None:
        """Close the ledgers that were opened so far."""
        while self._ledgers:
            self._ledgers.pop().close()


class PostgresStore(Store):
    """Schemas of the shared server, which is reached by its own port or another one."""

    def __init__(self, schemas: Schemas, port: int | None = None) -> None:
        super().__init__()
        self._schemas = schemas
        self._port = port
        self._by_path: dict[Path, Postgres] = {}
        self._taken: list[Database] = []

    def new(self) -> Postgres:
        """Return a schema."""
        database = self._schemas.take()
        self._taken.append(database)
        return Postgres(database.at(self._port or database.port).url, database.schema)

    def at(self, path: Path) -> Postgres:
        """Return the schema that a test calls by a path."""
        if path not in self._by_path:
            self._by_path[path] = self.new()
        return self._by_path[path]

    def trace(self, path: Path) -> int:
        """Return the revision of a ledger."""
        schema = self.at(path).schema
        revision: int = postgres.shared().execute(f"SELECT revision FROM {schema}.shard")[0][0]
        return revision

    def free(self, path: Path) -> None:
        """Let another process own a ledger, although one does."""
        postgres.shared().execute(_FREE.format(schema=self.at(path).schema))

    def another(self) -> "PostgresStore":
        """Return a store on the same server, without any ledger."""
        return PostgresStore(self._schemas, self._port)

    def close(self) -> None:
        """Close what the test has left open, and let later tests use the schemas."""
        super().close()
        while self._taken:
            self._schemas.give_back(self._taken.pop())


class _Use:
    """The store of the running test."""

    store = Store()


@contextmanager
def used(store: Store) -> Iterator[None]:
    """Keep in a store all ledgers that are opened inside the block."""
    before, _Use.store = _Use.store, store
    try:
        with closing(store):
            yield
    finally:
        _Use.store = before


@contextmanager
def for_an_example() -> Iterator[Store]:
    """Keep the ledgers of one example of a property apart from those of the others."""
    store = current().another()
    with used(store):
        yield store


def for_harness(path: Path) -> Path | Postgres:
    """Return where an exporter keeps its ledger whose clock a test moves.

    It would run ahead of the thread that renews the lease, so that is one for months.
    """
    location = current().at(path)
    return replace(location, lease_duration=1e7) if isinstance(location, Postgres) else location


def current() -> Store:
    """Return the store of the running test."""
    return _Use.store
