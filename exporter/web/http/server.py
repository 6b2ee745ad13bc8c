"""The server: accepting connections, TLS, and a bounded shutdown."""

import asyncio
import contextlib
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from functools import partial
from typing import Final

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from exporter.errors import AddressInUseError
from exporter.web.http.connections import SECONDS, Connection, ConnectionPhase, Connections, peer_of
from exporter.web.http.protocol import HttpProtocol

_log = structlog.get_logger(__name__)

HANDSHAKE_FAILED = "tls_handshake_failed"
ACCEPT_FAILED = "accept_failed"

_GRACE_SECONDS: Final = 1.0
_BACKLOG: Final = 2048
"""Connections that may wait at the socket until they are accepted."""
_AT_ONCE: Final = 4
"""Connections that are accepted before others get a turn."""
_RECEIVE_BYTES: Final = 64 * 1024
"""Of the kernel's memory, for what a connection has sent: requests are small."""
_SEND_BYTES: Final = 64 * 1024
_FEW: Final = 8
"""Connections that may fill as much of the kernel's memory with an answer as it grants: the others
get `_SEND_BYTES`, because a container pays for it."""
_PAUSE_SECONDS: Final = 1.0
_COMPLAINT_SECONDS: Final = 60.0
_HANDSHAKE_SECONDS: Final = 5

TlsSource = Callable[[], ssl.SSLContext | None]


class TlsProtocol(SSLProtocol):
    """asyncio's protocol, with a small buffer: its own takes 256 KiB for each connection."""

    max_size = 16 * 1024  # a record of TLS


class Server:
    """An HTTP server in the running event loop."""

    def __init__(
        self, app: ASGIApp, tls: TlsSource = lambda: None, connections: Connections | None = None
    ) -> None:
        """Ask `tls` at each connection what to secure it with; `None` for plain HTTP."""
        self._config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
        )
        self._state = ServerState()
        self._tls = tls
        self._connections = Connections() if connections is None else connections
        self._opening: set[asyncio.Task[None]] = set()
        self._complained_at = -_COMPLAINT_SECONDS

    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncIterator[None]:
        """Answer on `listener` inside the block; leaving it ends the answers that still run."""
        listener.setblocking(False)  # noqa: FBT003  the name of the method says it
        watch = asyncio.create_task(self._watch())
        self._resume_accepting(listener)
        try:
            yield
        finally:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
            await self._end()
            watch.cancel()

    async def _watch(self) -> None:
        """Look after the connections and the date, once a second."""
        while True:
            date = formatdate(usegmt=True).encode()
            self._state.default_headers = [(b"date", date), (b"x-content-type-options", b"nosniff")]
            self._connections.sweep()
            await asyncio.sleep(1)

    def _resume_accepting(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # mostly: no file is left to open
                self._pause_accepting(listener, str(error.strerror))
                return
            self._begin(client, str(address[0]))

    def _pause_accepting(self, listener: socket.socket, reason: str) -> None:
        """Try again later: the connection that cannot be accepted waits at the socket."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(_PAUSE_SECONDS, self._resume_accepting, listener)
        if loop.time() - self._complained_at >= _COMPLAINT_SECONDS:
            self._complained_at = loop.time()
            _log.warning(ACCEPT_FAILED, reason=reason, connections=len(self._connections))

    def _begin(self, client: socket.socket, host: str) -> None:
        if len(self._connections) >= _FEW:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        connection = self._connections.enter(peer_of(host), partial(_shut_down, client))
        task = asyncio.get_running_loop().create_task(self._open(client, connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, client: socket.socket, connection: Connection) -> None:
        """Do the TLS handshake if TLS is configured, then speak HTTP.

        The certificate may be another one at the next connection, so each one is secured with
        the configuration in use when it comes.
        """
        http = HttpProtocol(self._config, self._state, self._connections, connection)
        try:
            await _connect(client, http, self._tls())
        except OSError as error:
            reason = getattr(error, "reason", None) or str(error)
            _log.debug(HANDSHAKE_FAILED, reason=reason, peer=connection.peer)
            # Its frames refer to it, and to the buffers of the handshake: a cycle that would wait
            # for the garbage collector.
            error.__traceback__ = None
            self._connections.leave(connection)

    async def _end(self) -> None:
        """Wait a moment for the responses that are being sent, then drop their connections."""
        for protocol in list(self._state.connections):
            protocol.shutdown()
        await self._connections.end(_GRACE_SECONDS)
        running = {*self._opening, *self._state.tasks}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _connect(client: socket.socket, http: HttpProtocol, tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    if tls is None:
        await loop.connect_accepted_socket(lambda: http, client)
        return
    is_agreed = loop.create_future()
    secured = TlsProtocol(
        *(loop, http, tls, is_agreed),
        server_side=True,
        ssl_handshake_timeout=_HANDSHAKE_SECONDS,
        ssl_shutdown_timeout=SECONDS[ConnectionPhase.ANSWER],
    )
    transport, _ = await loop.connect_accepted_socket(lambda: secured, client)
    await is_agreed
    if transport.is_closing():
        raise ConnectionAbortedError("the client has hung up")


def _shut_down(client: socket.socket) -> None:
    """End a connection whose handshake runs: it fails as if the client had hung up."""
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


def bind(host: str, port: int) -> socket.socket:
    """Listen on `host` and `port`; on all interfaces where the host is empty or `::`.

    All interfaces are those of IPv4 alone where the kernel lacks IPv6. Raises `AddressInUseError`
    where the address cannot be listened on.
    """
    is_any = host in {"", "::"}
    is_dual = is_any and socket.has_dualstack_ipv6()
    is_six = is_dual or (":" in host and not is_any)
    try:
        listener = socket.create_server(
            ("" if is_any else host, port),
            family=socket.AF_INET6 if is_six else socket.AF_INET,
            dualstack_ipv6=is_dual,
            backlog=_BACKLOG,
        )
    except OSError as error:
        # Not by its number: the resolver has numbers of its own.
        reason = str(error.strerror).partition(" (while ")[0]
        raise AddressInUseError(
            f"cannot listen on {f'[{host}]' if ':' in host else host}:{port}: {reason};"
            " choose another address with --web.listen-address"
        ) from error
    # Connections inherit both. asyncio sets the first only on sockets that name their protocol,
    # which these do not; without it a compressed page waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
    return listener
