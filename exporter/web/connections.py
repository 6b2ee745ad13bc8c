"""All open connections: how many there may be, and how long each may take for what it does.

Whoever connects is let in. Where there are too many, the one that has kept the server waiting
longest has to go: so clients that are idle, dribble or never read cannot keep a scrape out.
"""

import asyncio
import resource
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

import structlog

_log = structlog.get_logger(__name__)

DROPPED = "connection_dropped"


class Phase(Enum):
    """What a connection waits for."""

    HEAD = auto()
    """The client, to say whom it is and what it wants: TLS, then the head of a request."""
    ANSWER = auto()
    """The client, to take the answer."""
    NEXT = auto()
    """The next request, if there comes one."""


SECONDS: Mapping[Phase, float] = {Phase.HEAD: 10.0, Phase.ANSWER: 60.0, Phase.NEXT: 75.0}
"""How long each phase may last. Prometheus connects anew where its interval is longer."""

_MOST = 512


def most_connections() -> int:
    """Give how many connections there may be: half of the files that the process may open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if files == resource.RLIM_INFINITY else max(1, min(_MOST, files // 2))


@dataclass(slots=True, eq=False)
class Connection:
    """One connection; `transport` is that of TCP."""

    transport: asyncio.Transport
    phase: Phase
    since: float

    @property
    def pending(self) -> Phase:
        """Give the phase; an answer that is written but not on its way is not yet taken."""
        is_unsent = self.phase is Phase.NEXT and self.transport.get_write_buffer_size()
        return Phase.ANSWER if is_unsent else self.phase

    def abort(self, why: str) -> None:
        """Cut it off; what is not sent yet is lost."""
        client = self.transport.get_extra_info("peername")
        _log.debug(DROPPED, why=why, phase=self.phase.name.lower(), client=client)
        self.transport.abort()


class Connections:
    """Keeps the connections within their bounds."""

    def __init__(
        self,
        most: int | None = None,
        seconds: Mapping[Phase, float] = SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most or most_connections()
        self._seconds = seconds
        self._now = now
        self._open: set[Connection] = set()
        self._all_gone = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, transport: asyncio.Transport) -> Connection:
        """Let a connection in, and another one out where there are too many."""
        if len(self._open) >= self._most:
            oldest = min(self._open, key=lambda each: (each.pending is Phase.ANSWER, each.since))
            self.leave(oldest)
            oldest.abort("too many connections")
        connection = Connection(transport, Phase.HEAD, self._now())
        self._open.add(connection)
        self._all_gone.clear()
        return connection

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._open.discard(connection)
        if not self._open:
            self._all_gone.set()

    def turn(self, connection: Connection, phase: Phase) -> None:
        """Note that a connection now waits for something else."""
        connection.phase, connection.since = phase, self._now()

    def sweep(self) -> None:
        """Cut off the connections that take too long."""
        now = self._now()
        for connection in list(self._open):
            if now - connection.since > self._seconds[connection.pending]:
                self.leave(connection)
                connection.abort("too slow")

    async def end(self, seconds: float) -> None:
        """Wait so long for all of them to close, then cut off the rest."""
        if self._open:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), seconds)
        for connection in list(self._open):
            self.leave(connection)
            connection.abort("the exporter stops")
