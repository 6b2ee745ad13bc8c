"""Looks after the lease, over a connection of its own, so that no commit can keep it waiting."""

import platform
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psycopg

from exporter.clock import Clock
from exporter.errors import LedgerError, LedgerFailure
from exporter.ledger.postgres.connection import BoundedConnection, close, translated
from exporter.ledger.postgres.lease import Sight, Tenure, Watch, trust
from exporter.ledger.postgres.schema import prepare, renew_copy
from exporter.ledger.postgres.statements import TIMELINE, Statements

_LOOK = f"SELECT epoch, holder, beat, timeline, {TIMELINE} FROM main.lease"  # noqa: S608 - constants
_RENEW = f"""UPDATE main.lease SET beat = beat + 1, timeline = {TIMELINE}
    WHERE epoch = ? AND holder = ? RETURNING timeline"""  # noqa: S608 - constants
_RESIGN = f"""UPDATE main.lease SET holder = NULL, beat = beat + 1, timeline = {TIMELINE}
    WHERE holder = ?"""  # noqa: S608 - constants
# Waits for what a former owner is just writing: its fence locks the same row.
_OPEN_WRITES = "SELECT timeline FROM main.shard FOR NO KEY UPDATE"
_ACQUIRE = f"""UPDATE main.lease SET epoch = epoch + 1, holder = ?, beat = beat + 1,
    timeline = {TIMELINE} WHERE (epoch, beat) = (?, ?) AND holder IS NOT DISTINCT FROM ?
    RETURNING epoch, timeline"""  # noqa: S608 - constants
_SET_REVISION = "UPDATE main.shard SET revision = ?"
_BOUNDS = """SELECT set_config('lock_timeout', '2000', true),
    set_config('statement_timeout', '6000', true)"""

_LOOKS: Final = 6
"""In the duration of the lease: some may fail, and it is still renewed, or watched closely."""


@dataclass(frozen=True, slots=True)
class Grant:
    """That this process owns the ledger, in its n-th term: the revision to begin with.

    It `is_rewound` where the server has taken over from another since the last commit that it has:
    later ones may be lost.
    """

    term: int
    revision: int
    is_rewound: bool


class LeaseKeeper:
    """Renews the lease of this process, or watches that of another one and takes it over."""

    def __init__(
        self,
        name: str,
        statements: Statements,
        connect: Callable[[], BoundedConnection],
        *,
        clock: Clock,
        duration: float,
    ) -> None:
        self._name = name
        self._statements = statements
        self._connect = connect
        self._clock = clock
        self._duration = duration
        self._connection: BoundedConnection | None = None
        self._watch: Watch | None = None
        self._tenure: Tenure | None = None
        self._grant: Grant | None = None
        self._terms = 0
        self._is_renewed = False
        """Whether the lease of another process was renewed between the last two looks."""
        self._next_at = 0.0
        self._error: LedgerError | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def granted(self) -> Grant:
        """Return the present grant. Raises `LedgerError` where this process may not write."""
        if self._thread is None:
            self.tend()
        tenure, grant = self._tenure, self._grant
        if tenure is not None and grant is not None:
            if tenure.is_trusted(self._clock.boottime()):
                return grant
            raise self._error or LedgerError(
                f"the lease of the ledger {self._name} could not be renewed in time",
                advice="nothing is counted until it is; what was used meanwhile is counted then",
                kind=LedgerFailure.TIMEOUT,
                is_passing=True,
            )
        raise self._error or self._held()

    def tend(self) -> None:
        """Look at the lease, if it is time to: renew it, or take it where nobody owns it.

        What goes wrong is told by `granted`, once it matters.
        """
        sent = self._clock.boottime()
        if sent < self._next_at:
            return
        self._next_at = sent + self._duration / _LOOKS
        try:
            with translated(self._name):
                self._tend(sent)
            self._error = None
        except LedgerError as error:
            self._error = error
            self._disconnect()

    def lose(self) -> None:
        """Give up a lease that turned out to be somebody else's."""
        self._tenure = self._grant = self._watch = None

    def start(self) -> None:
        """Tend the lease in a thread of its own from now on."""
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Resign, so that another process need not wait, and end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(self._duration / _LOOKS)
        tenure = self._tenure
        self.lose()
        if tenure is not None and self._connection is not None:
            try:
                with translated(self._name):
                    self._connection.execute(self._statements.of(_RESIGN), (tenure.holder,))
            except LedgerError:
                """The lease ends by itself."""
        self._disconnect()

    def _run(self) -> None:
        while not self._stopping.wait(self._duration / _LOOKS):
            self.tend()

    def _tend(self, sent: float) -> None:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            prepare(self._connection, self._statements, self._clock.now())
        if self._tenure is not None:
            self._renew(self._connection, self._tenure, sent)
        else:
            self._look(self._connection, sent)

    def _renew(self, connection: BoundedConnection, tenure: Tenure, sent: float) -> None:
        values = (tenure.epoch, tenure.holder)
        found = connection.execute(self._statements.of(_RENEW), values).fetchone()
        if found is None:
            self.lose()
        elif self._tenure is tenure:
            self._tenure = tenure.renewed(found[0], sent, self._duration)

    def _look(self, connection: BoundedConnection, sent: float) -> None:
        found = connection.execute(self._statements.of(_LOOK)).fetchone()
        sight = Sight(*found) if found else Sight(0, "", 0, "", "")
        answered = self._clock.boottime()
        watch = self._watch or Watch(sight, answered, answered)
        self._is_renewed = sight.holder is not None and sight != watch.sight
        self._watch = watch.after(sight, sent, answered, self._duration / 3)
        if self._watch.may_acquire(self._duration):
            self._watch = None
            self._acquire(connection, sight)

    def _acquire(self, connection: BoundedConnection, sight: Sight) -> None:
        """Take the lease, if nobody else has done so since it was looked at."""
        holder = f"{platform.node()} {secrets.token_hex(8)}"
        revision = secrets.randbits(63)
        sent = self._clock.boottime()
        execute, of = connection.execute, self._statements.of
        with connection.transaction():
            execute(_BOUNDS)
            written = execute(of(_OPEN_WRITES)).fetchone()
            values = (holder, sight.epoch, sight.beat, sight.holder)
            taken = execute(of(_ACQUIRE), values).fetchone()
            if written is None or taken is None:
                raise psycopg.Rollback  # another one was faster
            execute(of(_SET_REVISION), (revision,))
            renew_copy(connection, self._statements, self._clock.now())
        if written is not None and taken is not None:
            self._terms += 1
            epoch, timeline = taken
            self._tenure = Tenure(holder, epoch, timeline, sent + trust(self._duration))
            self._grant = Grant(self._terms, revision, is_rewound=written[0] != timeline)

    def _held(self) -> LedgerError:
        holder = self._watch.sight.holder if self._watch else None
        return LedgerError(
            f"the ledger {self._name} is in use by {holder or 'another process'}",
            advice="nothing to do where that is another replica: this one takes over when it ends",
            kind=LedgerFailure.LOCKED,
            is_passing=not self._is_renewed,
        )

    def _disconnect(self) -> None:
        close(self._connection)
        self._connection = None
