"""The open connections: their number, which one is dropped when there are too many, timeouts.

Every client is accepted. Where there are too many, the address with the most connections loses the
one of them that has made no progress for longest, whatever it waits for. Progress is what costs a
client something: coming, agreeing on TLS, completing the head of a request, taking a part of an
answer. So clients that are silent, slow or never read push out each other and not a scrape.
"""

import asyncio
import ipaddress
import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import structlog

_log = structlog.get_logger(__name__)

DROPPED = "connection_dropped"

MAX_CONNECTIONS: Final = 128
"""Prometheus needs a handful; each may hold some 100 KiB of memory, and of the kernel's."""


class ConnectionPhase(Enum):
    """What a connection waits for."""

    HEAD = auto()
    """The rest of a TLS handshake or of the head of a request."""
    ANSWER = auto()
    """An answer to be made, sent and taken."""
    IDLE = auto()
    """The first byte of the next request."""


SECONDS: Final[Mapping[ConnectionPhase, float]] = {
    ConnectionPhase.HEAD: 10.0,
    ConnectionPhase.ANSWER: 60.0,
    ConnectionPhase.IDLE: 75.0,
}
"""How long each phase may last. Prometheus reconnects where its interval is longer."""


def max_connections() -> int:
    """Return how many connections there may be: at most half of the files that may be open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files < 0 else max(1, min(MAX_CONNECTIONS, files // 2))


def peer_of(host: str) -> str:
    """Return what shares its connections: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:  # not TCP
        return host
    if address.version == 4:  # noqa: PLR2004  the version of IP
        return host
    return str(address.ipv4_mapped or address.exploded[:19])


@dataclass(slots=True, eq=False)
class Connection:
    """One connection. `abort` closes it at once; what is not sent yet is lost."""

    peer: str
    abort: Callable[[], None]
    phase: ConnectionPhase
    since: float
    progress_at: float


class Connections:
    """Keeps the connections within their bounds."""

    def __init__(
        self,
        most: int | None = None,
        seconds: Mapping[ConnectionPhase, float] = SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most or max_connections()
        self._seconds = seconds
        self._now = now
        self._open: set[Connection] = set()
        self._all_gone = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, peer: str, abort: Callable[[], None]) -> Connection:
        """Register a new connection; drop another one where there are too many."""
        now = self._now()
        connection = Connection(peer, abort, ConnectionPhase.HEAD, now, now)
        self._open.add(connection)
        self._all_gone.clear()
        if len(self._open) > self._most:
            self._drop(self._least_active(), "too many connections")
        return connection

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._open.discard(connection)
        if not self._open:
            self._all_gone.set()

    def progress(self, connection: Connection) -> None:
        """Note that the client has done something."""
        connection.progress_at = self._now()

    def begin(self, connection: Connection, phase: ConnectionPhase) -> None:
        """Note that a connection waits for something else from now on."""
        connection.phase, connection.since = phase, self._now()

    def sweep(self) -> None:
        """Drop the connections whose phase takes too long."""
        now = self._now()
        for connection in list(self._open):
            if now - connection.since > self._seconds[connection.phase]:
                self._drop(connection, "too slow")

    async def end(self, seconds: float) -> None:
        """Wait so long for all of them to close, then drop the rest."""
        if self._open:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), seconds)
        for connection in list(self._open):
            self._drop(connection, "the exporter stops")

    def _least_active(self) -> Connection:
        counts = Counter(connection.peer for connection in self._open)
        return max(
            self._open, key=lambda connection: (counts[connection.peer], -connection.progress_at)
        )

    def _drop(self, connection: Connection, reason: str) -> None:
        phase = connection.phase.name.lower()
        _log.debug(DROPPED, reason=reason, phase=phase, peer=connection.peer)
        self.leave(connection)
        connection.abort()
