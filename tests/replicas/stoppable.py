"""A process with a ledger that can be stopped, cut off or killed between any two messages.

Its work is done in a thread, which waits at the chosen instant; others go on meanwhile.
"""

import atexit
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen

from exporter.ledger import Ledger
from exporter.ledger.location import Postgres
from exporter.ledger.postgres.connection import BoundedConnection, connect
from exporter.ledger.postgres.statements import TIMELINE
from exporter.model import Standing
from exporter.poller.ledger_samples import LedgerSamples, may_show
from exporter.snapshot import Snapshot
from tests.support import postgres
from tests.support.harness import ManualClock

T = TypeVar("T")

DURATION: Final = 30.0
_LONG = "'lock_timeout', '2000'"
_SHORT = "'lock_timeout', '10'"

Rewrite = Callable[[str], str]
"""Changes a statement before it is sent: the test takes a protection away."""


class Crash(BaseException):
    """The process is no more. Not an `Exception`: nobody survives it."""


class Fate(StrEnum):
    """What happens to a process at the chosen instant."""

    PAUSE = "pause"
    CUT = "cut"
    CRASH = "crash"


@dataclass(frozen=True)
class Plan:
    """What happens at the n-th instant from now."""

    instants: int
    fate: Fate


class Server:
    """A schema on the shared server that can be set back, as a lagging standby would have it."""

    def __init__(self) -> None:
        database = postgres.shared().schema()
        self.schema = database.schema
        self.location = Postgres(
            database.url, database.schema, lease_duration=DURATION, is_patient=True
        )
        self.timeline = 1
        self._role = database.role
        self._admin = psycopg.connect(postgres.shared().superuser_url, autocommit=True)
        atexit.register(self._admin.close)
        Ledger(self.location, clock=ManualClock(), connect=self._open).close()
        tables = self._admin.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> 'meta'",
            (self.schema,),
        )
        self._tables = [name for (name,) in tables]
        parts = ", ".join(
            f"'{name}', (SELECT json_agg(t ORDER BY t::text) FROM {self.schema}.{name} AS t)"
            for name in self._tables
        )
        self._select = f"SELECT json_build_object({parts})::text"
        self._pristine = self.read()
        self.states = [self._pristine]
        """All that was committed, one after the other."""

    def read(self) -> str:
        """Return all rows of all tables."""
        found = self._admin.execute(self._select.encode()).fetchone()
        assert found is not None
        text: str = found[0]
        return text

    def reset(self) -> None:
        """Begin anew, with an empty ledger."""
        self.timeline = 1
        self._write(self._pristine)
        self.states = [self._pristine]

    def note(self) -> bool:
        """Note what was committed by now; return whether that is anything new."""
        state = self.read()
        is_new = state != self.states[-1]
        if is_new:
            self.states.append(state)
        return is_new

    def fail_over(self, lost: int, *, is_told: bool = True) -> None:
        """Let another server take over, which lacks the last commits."""
        self.end(None)
        del self.states[max(1, len(self.states) - lost) :]
        self._write(self.states[-1])
        self.timeline += is_told

    def end(self, pid: int | None) -> None:
        """End one connection, or all; what was not committed is undone."""
        self._admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE usename = %s AND coalesce(pid = %s, true)",
            (self._role, pid),
        )

    def end_idle(self) -> None:
        """End transactions whose client has not sent anything for too long."""
        self._admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE usename = %s AND state LIKE 'idle in transaction%%'",
            (self._role,),
        )

    def has_idle(self) -> bool:
        """Whether a transaction is open whose client has not sent anything for now."""
        found = self._admin.execute(
            "SELECT 1 FROM pg_stat_activity"
            " WHERE usename = %s AND state LIKE 'idle in transaction%%'",
            (self._role,),
        )
        return found.fetchone() is not None

    def _write(self, state: str) -> None:
        rows: dict[str, Any] = json.loads(state, parse_float=str)
        with self._admin.transaction():
            for name in self._tables:
                table = f"{self.schema}.{name}"
                self._admin.execute(f"DELETE FROM {table}".encode())
                if rows[name]:
                    statement = (
                        f"INSERT INTO {table} SELECT * FROM json_populate_recordset("
                        f"CAST(NULL AS {table}), CAST(%s AS json))"
                    )
                    self._admin.execute(statement.encode(), (json.dumps(rows[name]),))

    def _open(self, url: str) -> BoundedConnection:
        connection = connect(url, RewritingConnection)
        assert isinstance(connection, RewritingConnection)
        connection.timeline = self.timeline
        return connection


class RewritingConnection(BoundedConnection):
    """A connection to a server whose timeline is what the test says."""

    timeline: int
    rewrite: Rewrite = staticmethod(str)

    def execute(self, query: Any, *args: Any, **options: Any) -> psycopg.Cursor[Any]:  # noqa: ANN401
        """Execute a statement. What waits for a lock does not wait for long."""
        statement = query.replace(TIMELINE, f"'{self.timeline}'").replace(_LONG, _SHORT)
        return super().execute(self.rewrite(statement), *args, **options)


class StoppableConnection(RewritingConnection):
    """A connection with an instant before each statement and after each wait.

    A wait is that for an answer, or until something was sent.

    In a pipeline each statement is sent for itself, and all are answered at its end.
    """

    replica: "Replica | None" = None
    is_of_lease: bool | None = None
    statement = ""
    """The last one, which may not have been sent yet."""
    _is_ending = False

    def execute(self, query: Any, *args: Any, **options: Any) -> psycopg.Cursor[Any]:  # noqa: ANN401
        """Execute a statement, and note what the connection is for, by the first one."""
        if self.is_of_lease is None:
            self.is_of_lease = "server_encoding" in query
        self.statement = query
        if self.replica is not None:
            self.replica.pass_instant(self)
        self._is_ending = query == "COMMIT"
        return super().execute(query, *args, **options)

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for what the server does; then an instant passes.

        None passes between `COMMIT` and its answer: whether that was done would be left to chance.
        """
        if self.replica is None:
            return super().wait(gen, interval, timeout)
        if self.replica.is_dead:
            self.close()
            raise psycopg.OperationalError("the process has ended")
        result = super().wait(gen, interval, timeout)
        if self._is_ending:
            self._is_ending = False
        else:
            self.replica.pass_instant(self)
        return result


class Step:
    """Some work of a process: in a thread of its own, where it is to be stopped on the way."""

    def __init__(self, work: Callable[[], object], done: Callable[[], None]) -> None:
        self._work = work
        self.done = done
        """To be called when the work has succeeded."""
        self.plan: Plan | None = None
        self.error: BaseException | None = None
        self.is_over = False
        self.stopped_on: StoppableConnection | None = None
        self._thread: threading.Thread | None = None
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)

    def go_on(self, plan: Plan | None) -> None:
        """Do the work until it is over, or stops."""
        self.plan = plan
        if self._thread is None:
            if plan is None or plan.fate is not Fate.PAUSE:
                self._run()
                return
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        else:
            self.stopped_on = None
            self._go.release()
        assert self._back.acquire(timeout=50)

    def pause(self, connection: StoppableConnection) -> None:
        """Wait until the work is to go on."""
        self.stopped_on = connection
        self._back.release()
        self._go.acquire()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self.error = error
        self.is_over = True
        self._back.release()


class Replica:
    """One process after the other, each with a ledger and a page."""

    def __init__(self, server: Server, clock: ManualClock, hold: float, rewrite: Rewrite) -> None:
        self.server = server
        self.clock = clock
        self.is_dead = True
        self.step: Step | None = None
        """The work that is paused."""
        self.ledger: Ledger
        self._hold = hold
        self._rewrite = rewrite
        self._running: Step | None = None
        self._connections: list[StoppableConnection] = []

    def start(self) -> None:
        """Begin a process that shows nothing yet."""
        self.is_dead = False
        self.snapshot = Snapshot()
        self.ledger = Ledger(
            self.server.location, clock=self.clock, birth_hold=self._hold, connect=self._open
        )
        self.samples = LedgerSamples(self.ledger)

    def publish(self) -> None:
        """Publish the totals, as the poller does now and then."""
        self.snapshot = self.samples.apply_to(self.snapshot)

    def follow(self) -> None:
        """Withdraw what was read where another process owns the ledger, as the exporter does."""
        ownership = self.ledger.ownership()
        if ownership is not None and ownership.standing is Standing.STANDBY:
            self.ledger.withdraw()
        self.publish()

    def page(self) -> dict[tuple[str, ...], float]:
        """Return the counters that a scrape would see at this moment."""
        counters = self.snapshot.counters
        if self.is_dead or not counters or not may_show(self.ledger, counters):
            return {}
        return {
            (metric.name, *sample.labels): sample.value
            for metric, samples in counters.items()
            if metric.kind == "counter"
            for sample in samples
        }

    def do(self, step: Step, plan: Plan | None) -> None:
        """Do some work, or more of what is paused, until it is over or stops."""
        self._running = step
        step.go_on(plan)
        if not step.is_over:
            self.step = step
        elif step is self.step:
            self.step = None

    def pass_instant(self, connection: StoppableConnection) -> None:
        """Let an instant pass, or the fate be fulfilled."""
        step = self._running
        if step is None or step.plan is None:
            return
        if step.plan.instants > 1:
            step.plan = Plan(step.plan.instants - 1, step.plan.fate)
            return
        fate, step.plan = step.plan.fate, None
        if fate is Fate.CRASH:
            self.die()
            raise Crash
        if fate is Fate.CUT:
            self._cut(connection)
            raise psycopg.OperationalError("the connection was lost")
        step.pause(connection)
        if self.is_dead:
            raise Crash

    def die(self) -> None:
        """End the process at once."""
        self.is_dead = True
        for connection in self._connections:
            self._cut(connection)
        self._connections.clear()

    def kill(self) -> None:
        """End the process from outside; what it was doing ends with it."""
        step, self.step = self.step, None
        self.die()
        if step is not None:
            step.go_on(None)

    def _cut(self, connection: StoppableConnection) -> None:
        if not connection.closed:
            pid = connection.pgconn.backend_pid
            connection.close()
            self.server.end(pid)

    def _open(self, url: str) -> BoundedConnection:
        if self.is_dead:
            raise psycopg.OperationalError("the process has ended")
        connection = connect(url, StoppableConnection)
        assert isinstance(connection, StoppableConnection)
        connection.timeline = self.server.timeline
        connection.rewrite = self._rewrite
        connection.replica = self
        self._connections.append(connection)
        return connection
