"""Reading and writing the ledger in PostgreSQL.

Only the owner writes, so what it reads still holds when it writes: rows are read outside of any
transaction, and all that changes is sent at once, in one pipeline that ends with `COMMIT`. Where
something must be read again after it was written, the transaction begins earlier.

Each transaction replaces the revision, a random number, if it is still the one that this process
left. This fences off a process that wrongly believes to be the owner, and tells whether a `COMMIT`
whose answer was lost has succeeded: the revision is the one before, or that of the commit.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from typing import Final, Never

import psycopg

from exporter.clock import Clock
from exporter.errors import LedgerError, LedgerFailure
from exporter.ledger.database import Row, Table, name_of
from exporter.ledger.postgres.connection import BoundedConnection, close
from exporter.ledger.postgres.connection import connect as open_connection
from exporter.ledger.postgres.errors import translated
from exporter.ledger.postgres.keeper import LeaseKeeper
from exporter.ledger.postgres.reader import PostgresReader
from exporter.ledger.postgres.schema import MIGRATIONS, NAMESPACE, check_version
from exporter.ledger.postgres.statements import BOUNDS, TIMELINE, Statements, document, merge

_RETRY_SECONDS: Final = 1.0
"""The least seconds before a server that could not be used is tried again."""
_SIZE_SECONDS: Final = 60.0
_READING_SECONDS: Final = 60.0

# If the revision is another one, no row is found, and the division by zero aborts the pipeline;
# reading the result first would cost a round trip.
_FENCE = f"""WITH fenced AS (
    UPDATE main.shard SET revision = ?, version = ?,
        timeline = CASE WHEN ? THEN timeline ELSE {TIMELINE} END
    WHERE shard = '' AND revision = ? RETURNING 1)
    SELECT 1 / count(*) FROM fenced"""  # noqa: S608 - constants
_REVISION = """SELECT revision, current_setting('transaction_read_only')
    FROM main.shard WHERE shard = ''"""
_SIZE = f"""SELECT CAST(coalesce(sum(pg_total_relation_size(oid)), 0) AS bigint) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = {NAMESPACE}"""  # noqa: S608 - constants


class PostgresDatabase(PostgresReader):
    """The ledger in a schema of PostgreSQL, for the one process that owns it."""

    def __init__(
        self,
        url: str,
        schema: str,
        *,
        clock: Clock,
        duration: float,
        is_patient: bool = False,
        digest: str = "",
        connect: Callable[[str], BoundedConnection] | None = None,
    ) -> None:
        """Prepare to use the ledger; nothing is asked of the server yet.

        `duration` is that of the lease, in seconds; `digest` that of the settings which replicas
        must share; `connect` replaces the function that opens connections.
        """
        super().__init__(None, Statements(schema))
        self.is_patient = is_patient
        self.is_rewound = False
        self._name = name_of(url, schema)
        self._clock = clock
        self._open = partial(connect or open_connection, url)
        self.lease = LeaseKeeper(
            self._name,
            self.statements,
            self._open,
            clock=clock,
            duration=duration,
            digest=digest,
        )
        self._term = 0
        self.revision = self._next_revision = 0
        self._unanswered: set[int] = set()
        """The revisions of commits whose answer was lost: they may have succeeded."""
        self._pending: list[tuple[str, Sequence[object]]] = []
        self._is_begun = False
        self._size, self._size_at = 0, -_SIZE_SECONDS
        self._refusal: psycopg.Error | None = None
        self._refused_until = 0.0

    def ready(self) -> int:
        """Connect again if needed, and return the number of the present term.

        Raises `LedgerError` if this process does not own the ledger.
        """
        grant = self.lease.granted()
        if grant.term != self._term:
            self._disconnect()  # only the server that granted it knows the revision
            self._term, self.revision = grant.term, grant.revision
            self.is_rewound = grant.is_rewound
            self._unanswered.clear()
        if self._opened is None or not self._opened.is_alive():
            self._connect()
        return self._term

    def end_rewind(self) -> None:
        """Note, durably, that what this server lacks has been read again."""
        self.is_rewound = False
        with self.transaction():
            self.execute("SELECT 1")  # the fence notes it

    def translated(self) -> AbstractContextManager[None]:
        """Turn psycopg's errors into a `LedgerError` that says what to do."""
        return translated(self._name)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is written in the block durable at its end, or, if it fails, undo it all."""
        self._pending, self._is_begun = [], False
        try:
            yield
            if self._pending or self._is_begun:
                self._send("COMMIT")
        except BaseException:
            if self._is_begun:
                self._disconnect()  # the server undoes what was begun
            raise

    def query(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Return all rows that a statement finds, after what was written before it."""
        if self._pending:
            self._send()
        return super().query(statement, values)

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        """Write with one statement."""
        self._pending.append((self.statements.of(statement), values))

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Write with a statement for each of `rows`."""
        translated_once = self.statements.of(statement)
        self._pending += ((translated_once, row) for row in rows)

    def upsert(self, table: Table, rows: Iterable[Sequence[object]]) -> None:
        """Write rows in place of those with the same key."""
        self.execute(merge(table), (document(table, rows),))

    def size_bytes(self) -> int:
        """Return the size of the tables and their indexes, at most a minute old."""
        now = self._clock.monotonic()
        if now - self._size_at >= _SIZE_SECONDS and not self._is_begun and not self._pending:
            self._size, self._size_at = self.query(_SIZE, (self.statements.schema,))[0][0], now
        return self._size

    def close(self) -> None:
        """Disconnect, and let other processes write."""
        self._disconnect()
        self.lease.close()

    def _send(self, last: str = "") -> None:
        """Send the pending statements, and `last` to end the transaction, in one round trip."""
        connection = self.connection
        connection.warning = ""
        pending, self._pending = self._pending, []
        try:
            with connection.pipeline():
                if not self._is_begun:
                    self._begin(connection)
                for statement, values in pending:
                    connection.execute(statement, values)
                if last:
                    self._unanswered.add(self._next_revision)
                    connection.execute(last)
        except psycopg.errors.DivisionByZero:
            self._look_who_wrote()
        if last and connection.warning:
            # Such as that no standby has confirmed it: a fail-over may lose it.
            raise LedgerError(
                f"a commit to the ledger {self._name} may not be durable: {connection.warning}",
                advice="check the standby servers of the database (synchronous_standby_names); the"
                " next poll finds out whether the commit was made",
                kind=LedgerFailure.TIMEOUT,
                is_passing=True,
            )
        if last:
            self._is_begun = False
            self.revision = self._next_revision
            self._unanswered.clear()

    def _begin(self, connection: BoundedConnection) -> None:
        if self.lease.granted().term != self._term:
            raise self._lost()
        self._is_begun = True
        self._next_revision = secrets.randbits(63)
        connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        connection.execute(BOUNDS)
        values = (self._next_revision, len(MIGRATIONS), self.is_rewound, self.revision)
        connection.execute(self.statements.of(_FENCE), values)

    def _connect(self) -> None:
        """Connect again, and find out whether a commit without an answer has succeeded."""
        tried_at = self._clock.monotonic()
        if self._refusal is not None and tried_at < self._refused_until:
            raise self._refusal.with_traceback(None)  # it would grow with each use
        self._disconnect()
        try:
            self._opened = self._open()
            self._resume()
        except psycopg.Error as error:
            self._disconnect()
            now = self._clock.monotonic()
            # At most half of the time is spent waiting for a server that does not answer.
            self._refusal, self._refused_until = error, now + max(_RETRY_SECONDS, now - tried_at)
            raise
        self._refusal = None

    def _resume(self) -> None:
        """Adopt the revision of the server, if it is that of one of our commits."""
        revision, is_read_only = self.row(_REVISION)
        if is_read_only == "on":
            # A standby may lack the last commits, so its revision proves nothing.
            raise psycopg.errors.ReadOnlySqlTransaction("the server allows reading only")
        if revision in self._unanswered:
            self.revision = revision
        elif revision != self.revision:
            raise self._lost()

    def _look_who_wrote(self) -> Never:
        """Find out whose commit replaced the revision that the fence expected."""
        self._disconnect()
        self._connect()
        raise LedgerError(
            f"an earlier commit to the ledger {self._name}, whose answer was lost, has succeeded",
            advice="nothing to do: the next poll goes on from there",
            kind=LedgerFailure.TIMEOUT,
            is_passing=True,
        )

    def _lost(self) -> LedgerError:
        self.lease.lose(self._term)
        return LedgerError(
            f"another process has taken over the ledger {self._name}",
            advice="nothing to do if that is another replica; else give each exporter a"
            " ledger.schema of its own",
            kind=LedgerFailure.LOST,
            is_passing=True,
        )

    def _disconnect(self) -> None:
        self._is_begun = False
        close(self._opened)
        self._opened = None


@contextmanager
def reading(url: str, schema: str) -> Iterator[PostgresReader]:
    """Open the ledger for reading, as of one instant; a daemon may write it meanwhile."""
    with translated(name_of(url, schema)), closing(open_connection(url)) as connection:
        connection.seconds = _READING_SECONDS
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        reader = PostgresReader(connection, Statements(schema))
        check_version(reader)
        yield reader
