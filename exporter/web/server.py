"""uvicorn in the event loop of the daemon, which owns the signals and the socket."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from exporter.errors import AddressInUseError
from exporter.web.access import Tls
from exporter.web.connections import SECONDS, Connections, Phase
from exporter.web.handshake import Handshake
from exporter.web.protocol import BoundedProtocol

_GRACE_SECONDS = 1.0
_BACKLOG = 2048
"""Connections that may wait at the socket until they are let in."""
_AT_ONCE = 64
"""Connections that are let in before somebody else gets a turn."""


class Server(uvicorn.Server):
    """An HTTP server that leaves signals to whoever runs it, and survives its clients."""

    def __init__(
        self,
        app: ASGIApp,
        tls: Callable[[], Tls | None] = lambda: None,
        connections: Connections | None = None,
    ) -> None:
        """Ask `tls` at each connection what to secure it with; `None` for plain HTTP."""
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=int(SECONDS[Phase.NEXT]),
            )
        )
        self._tls = tls
        self._connections = Connections() if connections is None else connections
        self._handshakes: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none: the daemon ends in an order of its own."""
        yield

    @contextlib.asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncIterator[None]:
        """Answer on `listener` inside the block; leaving it ends the answers that still run."""
        task = asyncio.create_task(self.serve(sockets=[listener]))
        try:
            yield
        finally:
            self.should_exit = True
            await task

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Let clients in."""
        loop = asyncio.get_running_loop()
        self.servers = []
        for each in sockets or ():
            self.servers.append(
                await loop.create_server(self._protocol, sock=each, backlog=_AT_ONCE)
            )
            each.listen(_BACKLOG)
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Look after the connections once a second."""
        if counter % 10 == 0:
            self._connections.sweep()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody in; give the answers that run a moment, then cut them off."""
        for each in (*self.servers, *(sockets or ())):
            each.close()
        for task in self._handshakes:
            task.cancel()
        for protocol in list(self.server_state.connections):
            protocol.shutdown()
        await self._connections.end(_GRACE_SECONDS)
        running = {*self._handshakes, *self.server_state.tasks}
        if running:
            await asyncio.wait(running, timeout=_GRACE_SECONDS)

    def _protocol(self) -> asyncio.Protocol:
        http = BoundedProtocol(self.config, self.server_state, self._connections)
        tls = self._tls()
        if tls is None:
            return http
        return Handshake(tls, http, self._connections, self._handshakes)


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
    # Connections inherit it. asyncio sets it only on sockets that name their protocol, which
    # these do not; without it a compressed page waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
