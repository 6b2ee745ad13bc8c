"""Renews the lease of this process, or watches that of another one and acquires it."""

import platform
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import structlog

from exporter.clock import Clock
from exporter.errors import LedgerError, LedgerFailure
from exporter.ledger.postgres.connection import BoundedConnection
from exporter.ledger.postgres.errors import translated
from exporter.ledger.postgres.lease import Sight, Tenure, Watch, trust
from exporter.ledger.postgres.lease_table import LeaseTable
from exporter.ledger.postgres.statements import Statements
from exporter.model import Loss, Ownership, Standing

_log = structlog.get_logger(__name__)

FAILED = "lease_unreadable"
RECOVERED = "lease_readable"

_RENEWALS: Final = 6
"""In the duration of the lease, so that it is renewed in time even if some fail."""
_LONGEST_WAIT: Final = 1.0
"""Seconds between two looks of a standby: an owner that resigns is followed soon."""

_STOP_SECONDS: Final = 1.0
"""For the statement in progress when this process ends."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Proof that this process owns the ledger, in its n-th term, and the revision to begin with.

    It `is_rewound` if the server has taken over from another one since the last commit that it
    has: later commits may be lost.
    """

    tenure: Tenure
    term: int
    revision: int
    is_rewound: bool


class LeaseKeeper:
    """Keeps the lease for this process, or waits until it may be acquired."""

    def __init__(
        self,
        name: str,
        statements: Statements,
        connect: Callable[[], BoundedConnection],
        *,
        clock: Clock,
        duration: float,
        digest: str = "",
    ) -> None:
        """Keep the lease of the ledger `name`; it lasts `duration` seconds.

        The `digest` is that of the settings which decide what is polled.
        """
        self._name = name
        # Where an answer is missing, the lease is to be renewed over another connection in time.
        self._new_table = partial(
            LeaseTable, statements, connect, clock=clock, longest_wait=duration / 3
        )
        self._table = self._new_table()
        self._clock = clock
        self._duration = duration
        self._digest = digest
        self._replica = f"{platform.node()} {secrets.token_hex(4)}"
        self._watch: Watch | None = None
        self._lock = threading.Lock()
        """Guards the grant, which the writing thread may find lost."""
        self._grant: Grant | None = None
        self._is_renewed = False
        """Whether the lease of another process was renewed between the last two looks."""
        self._has_expired = False
        self._holder, self._since = "", float("nan")
        self._losses = Counter[Loss]()
        self._terms = self._rewinds = 0
        self._settings_differ = False
        self._next_at, self._looked_at, self._seen_at = 0.0, clock.boottime(), float("-inf")
        self._error: LedgerError | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def granted(self) -> Grant:
        """Return the present grant. Raises `LedgerError` if this process may not write."""
        if self._stopping.is_set():
            raise LedgerError(f"the ledger {self._name} is closed")
        if self._thread is None:
            self.tend()
        grant = self._grant
        if grant is not None:
            if grant.tenure.is_trusted(self._clock.boottime()):
                return grant
            raise self._error or LedgerError(
                f"the lease of the ledger {self._name} could not be renewed in time",
                advice="check the database server and the network; counting pauses until the lease"
                " is renewed, and then catches up",
                kind=LedgerFailure.TIMEOUT,
                is_passing=True,
            )
        raise self._error or self._held()

    def ownership(self) -> Ownership:
        """Return who owns the ledger, as far as this process knows."""
        grant = self._grant
        if grant is None:
            standing = Standing.STANDBY
        elif grant.tenure.is_trusted(self._clock.boottime()):
            standing = Standing.OWNER
        else:
            standing = Standing.EXPIRED
        return Ownership(
            standing,
            grant.tenure.trusted_until if grant else 0.0,
            self._holder,
            self._since if self._holder else None,
            self._looked_at,
            self._seen_at,
            self._error.with_advice if self._error else "",
            self._terms,
            dict(self._losses),
            self._rewinds,
            self._settings_differ,
        )

    def tend(self) -> None:
        """Renew the lease, or look at that of another process, if it is time to.

        An error is logged, and raised by the next call of `granted`.
        """
        sent = self._clock.boottime()
        if sent < self._next_at:
            return
        self._note_expiry(sent)
        try:
            with translated(self._name):
                self._tend(sent)
            if self._error is not None:
                _log.info(RECOVERED, ledger=self._name)
            self._error, self._seen_at = None, sent
        except LedgerError as error:
            is_news = self._error is None or self._error.kind is not error.kind
            (_log.warning if is_news else _log.debug)(
                FAILED, ledger=self._name, error=str(error), advice=error.advice
            )
            self._error = error
            self._table.close()
        self._looked_at = self._clock.boottime()
        self._next_at = sent + self._interval

    def lose(self, term: int, loss: Loss = Loss.LOST) -> None:
        """Give up the lease of a term, if it is the present one: another process may have it."""
        with self._lock:
            if self._grant is not None and self._grant.term == term:
                self._losses[loss] += 1
                self._grant = self._watch = None
                self._holder, self._has_expired = "", False

    def start(self) -> None:
        """Tend the lease in a thread of its own from now on."""
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Release the lease, so that another process need not wait for its end, and stop.

        A transaction in progress is not waited for: the process that takes over does that.
        """
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
            if self._thread.is_alive():
                self._table = self._new_table()  # that thread waits for an answer on the other
        grant = self._grant
        if grant is not None:
            self.lose(grant.term, Loss.RESIGNED)
        with suppress(LedgerError), translated(self._name):  # else the lease ends by itself
            self._table.leave(self._replica, grant.tenure.holder if grant else None)
        self._table.close()

    @property
    def _interval(self) -> float:
        interval = self._duration / _RENEWALS
        return interval if self._grant else min(interval, _LONGEST_WAIT)

    def _run(self) -> None:
        while not self._stopping.wait(min(self._interval, _LONGEST_WAIT)):
            self.tend()

    def _note_expiry(self, at: float) -> None:
        """Count an expiry, once, when the trust in the lease has run out."""
        grant = self._grant
        if grant is not None and not self._has_expired and at >= grant.tenure.trusted_until:
            self._has_expired = True
            self._losses[Loss.EXPIRED] += 1

    def _tend(self, sent: float) -> None:
        self._table.open()
        if self._grant is not None:
            self._renew(self._grant, sent)
        if self._grant is None:
            self._look(sent)
        within = 2 * self._duration
        self._settings_differ = self._table.report(self._replica, self._digest, within)

    def _renew(self, grant: Grant, sent: float) -> None:
        found = self._table.renew(grant.tenure.epoch, grant.tenure.holder)
        if found is None:
            self.lose(grant.term)
            return
        timeline, beat = found
        tenure = grant.tenure.renewed(timeline, sent, self._duration)
        with self._lock:
            if self._grant is not grant:
                return  # the writing thread has found it lost
            self._grant = replace(grant, tenure=tenure)
            self._has_expired = False
        if tenure.is_doubt_over(sent):
            self._acquire(Sight(tenure.epoch, tenure.holder, beat, timeline, timeline))

    def _look(self, sent: float) -> None:
        sight = self._table.look()
        answered = self._clock.boottime()
        watch = self._watch or Watch(sight, answered, answered)
        self._is_renewed = sight.holder is not None and sight != watch.sight
        watch = watch.after(sight, sent, answered, self._duration / 3)
        self._watch = watch
        if watch.may_acquire(self._duration):
            self._acquire(sight)
        else:
            self._note_holder(sight.holder or "")

    def _acquire(self, sight: Sight) -> None:
        holder = f"{self._replica}/{secrets.token_hex(4)}"
        revision = secrets.randbits(63)
        sent = self._clock.boottime()
        acquired = self._table.acquire(sight, holder, revision)
        if acquired is None:
            return  # another process was faster
        epoch, timeline, written_on = acquired
        tenure = Tenure(holder, epoch, timeline, sent + trust(self._duration))
        is_rewound = written_on != timeline
        with self._lock:
            self._terms += 1
            self._rewinds += is_rewound
            self._grant = Grant(tenure, self._terms, revision, is_rewound)
            self._watch = None
        self._note_holder(holder)

    def _note_holder(self, holder: str) -> None:
        if holder != self._holder:
            self._holder, self._since = holder, self._clock.now()

    def _held(self) -> LedgerError:
        return LedgerError(
            f"the ledger {self._name} is in use by {self._holder or 'another process'}",
            advice="nothing to do if that is another replica: this one takes over when that stops;"
            " else give each exporter a ledger.schema of its own",
            kind=LedgerFailure.LOCKED,
            is_passing=not self._is_renewed,
        )
