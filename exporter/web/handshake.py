"""The beginning of a connection that is to be secured."""

import asyncio

import structlog

from exporter.web.access import Tls
from exporter.web.connections import Connection, Connections
from exporter.web.protocol import BoundedProtocol

_log = structlog.get_logger(__name__)

NO_TLS = "connection_not_secured"

_HANDSHAKE_SECONDS = 5.0
_SHUTDOWN_SECONDS = 1.0


class Handshake(asyncio.Protocol):
    """Agrees on TLS, then gives its place to HTTP. Who fails here learns nothing of the site.

    The file may have changed by the next connection, so each one is secured by itself, with what
    is in force when it comes.
    """

    def __init__(
        self,
        tls: Tls,
        http: BoundedProtocol,
        connections: Connections,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        """Keep the task of the handshake in `tasks` while it runs."""
        self._tls = tls
        self._http = http
        self._connections = connections
        self._tasks = tasks
        self._connection: Connection | None = None
        self._early = b""
        """What the client has sent together with the end of its handshake."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  it is TCP
        transport.pause_reading()
        self._connection = self._connections.enter(transport)
        task = asyncio.get_running_loop().create_task(self._secure(transport, self._connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def data_received(self, data: bytes) -> None:
        """Keep what comes before HTTP is there to read it."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the client is gone."""
        del exc
        if self._connection is not None:
            self._connections.leave(self._connection)

    async def _secure(self, transport: asyncio.Transport, connection: Connection) -> None:
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                self,
                self._tls.context,
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )
        except OSError as error:
            why = getattr(error, "reason", None) or str(error)
            _log.debug(NO_TLS, why=why, client=transport.get_extra_info("peername"))
            self._connections.leave(connection)
            return
        if secured is None or transport.is_closing():  # it was lost meanwhile
            self._connections.leave(connection)
        elif not self._tls.admits(secured.get_extra_info("peercert")):
            connection.abort("no allowed name in the client's certificate")
        else:
            self._begin(secured, connection)

    def _begin(self, secured: asyncio.Transport, connection: Connection) -> None:
        self._http.connection = connection
        secured.set_protocol(self._http)
        self._http.connection_made(secured)
        if self._early:
            self._http.data_received(self._early)
