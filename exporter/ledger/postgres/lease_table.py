"""Statements on the lease and the replicas, over a connection that never waits for a commit."""

from collections.abc import Callable
from typing import Final

import psycopg

import exporter
from exporter.clock import Clock
from exporter.ledger.database import Row
from exporter.ledger.postgres.connection import BoundedConnection, close
from exporter.ledger.postgres.lease import Sight
from exporter.ledger.postgres.reader import PostgresReader
from exporter.ledger.postgres.schema import prepare, renew_copy
from exporter.ledger.postgres.statements import BOUNDS, TIMELINE, Statements

_LOOK = f"SELECT epoch, holder, beat, timeline, {TIMELINE} FROM main.lease"  # noqa: S608 - constants
_ENTER = f"""INSERT INTO main.lease (epoch, holder, beat, timeline)
    VALUES (0, 'nobody', 0, {TIMELINE}) ON CONFLICT DO NOTHING"""  # noqa: S608 - constants
_RENEW = f"""UPDATE main.lease SET beat = beat + 1, timeline = {TIMELINE}
    WHERE epoch = ? AND holder = ? RETURNING timeline, beat"""  # noqa: S608 - constants
_RESIGN = f"""UPDATE main.lease SET holder = NULL, beat = beat + 1, timeline = {TIMELINE}
    WHERE holder = ?"""  # noqa: S608 - constants
# Waits for a transaction of the former owner: its fence locks the same row.
_OPEN_WRITES = "SELECT timeline FROM main.shard FOR NO KEY UPDATE"
_ACQUIRE = f"""UPDATE main.lease SET epoch = epoch + 1, holder = ?, beat = beat + 1,
    timeline = {TIMELINE} WHERE (epoch, beat) = (?, ?) AND holder IS NOT DISTINCT FROM ?
    RETURNING epoch, timeline"""  # noqa: S608 - constants
# No timeout of the server ends a transaction whose client was stopped, or vanished, while it was
# sending statements. In a database that was copied from this one, tables have the same numbers.
_END_WRITES = """SELECT pg_terminate_backend(pid)
    FROM pg_locks JOIN pg_database ON database = pg_database.oid AND datname = current_database()
    WHERE relation = CAST('main.shard' AS regclass) AND mode = 'RowExclusiveLock'
    AND granted AND pid <> pg_backend_pid()"""
_SET_REVISION = "UPDATE main.shard SET revision = ?"
# Replicas with other settings would poll something else after a hand-over. Times are those of the
# server: they tell only which replicas are alive; no right to write depends on them.
# Two statements: where the role's transactions are serializable, one that reads and writes would
# fail now and then beside that of another replica.
_REPORT = """INSERT INTO main.replica (name, seen_at, version, digest) VALUES (?, now(), ?, ?)
    ON CONFLICT (name) DO UPDATE SET seen_at = now()"""
_OTHERS = """SELECT count(*) FROM main.replica
    WHERE digest <> ? AND seen_at > now() - make_interval(secs => ?)"""
_LEAVE = "DELETE FROM main.replica WHERE name = ? OR seen_at < now() - interval '1 day'"

_LEAVE_SECONDS: Final = 1.0
"""For an answer to the release of the lease."""


class LeaseTable(PostgresReader):
    """The lease of a ledger, and the replicas that use it."""

    def __init__(
        self,
        statements: Statements,
        connect: Callable[[], BoundedConnection],
        *,
        clock: Clock,
        longest_wait: float,
    ) -> None:
        """Connect with `connect` when needed; `longest_wait` bounds each answer, in seconds."""
        super().__init__(None, statements)
        self._connect = connect
        self._clock = clock
        self._longest_wait = longest_wait

    def open(self) -> None:
        """Connect again if needed, and create or migrate the tables if they are not there yet."""
        known = self._opened
        if self._alive() is not known:
            prepare(self, self._clock.now())

    def close(self) -> None:
        """Close the connection."""
        close(self._opened)
        self._opened = None

    def look(self) -> Sight:
        """Return the lease; enter it again if an administrator has deleted its row."""
        found = self.run(_LOOK)
        if found is None:
            self.run(_ENTER)
            found = self.row(_LOOK)
        return Sight(*found)

    def renew(self, epoch: int, holder: str) -> Row | None:
        """Renew a lease; return the timeline and the beat, or `None` if it is lost."""
        return self.run(_RENEW, epoch, holder)

    def acquire(self, sight: Sight, holder: str, revision: int) -> Row | None:
        """Acquire the lease for `holder`, unless it has changed since `sight`.

        Return its epoch and timeline, and that of the last commit; `None` if it has changed.
        """
        try:
            with self.connection.transaction():
                self.run(BOUNDS)
                (written_on,) = self.row(_OPEN_WRITES)
                taken = self.run(_ACQUIRE, holder, sight.epoch, sight.beat, sight.holder)
                if taken is None:
                    return None
                self.run(_SET_REVISION, revision)
                renew_copy(self, self._clock.now())
        except psycopg.errors.LockNotAvailable:
            self.run(_END_WRITES)
            raise
        return (*taken, written_on)

    def report(self, replica: str, digest: str, seconds: float) -> bool:
        """Report a replica; return whether one seen in so many `seconds` has another digest."""
        self.run(_REPORT, replica, exporter.__version__, digest)
        return bool(self.row(_OTHERS, digest, seconds)[0])

    def leave(self, replica: str, holder: str | None) -> None:
        """Release the lease of `holder`, if any, and delete the replica."""
        if holder is None and self._opened is None:
            return
        self._alive().seconds = _LEAVE_SECONDS
        if holder is not None:
            self.run(_RESIGN, holder)
        self.run(_LEAVE, replica)

    def _alive(self) -> BoundedConnection:
        """Return an open connection: a new one if the present one is closed."""
        if self._opened is None or not self._opened.is_alive():
            self.close()
            connection = self._opened = self._connect()
            connection.seconds = min(connection.seconds, self._longest_wait)
        return self._opened
