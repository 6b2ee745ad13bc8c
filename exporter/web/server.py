"""uvicorn in the event loop of the daemon, which owns the signals and the socket."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

from exporter.errors import AddressInUseError

_GRACE_SECONDS = 1


class Server(uvicorn.Server):
    """An HTTP server that leaves signals to whoever runs it."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

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


def bind(host: str, port: int) -> socket.socket:
    """Listen on `host` (empty for all interfaces) and `port`.

    Raises `AddressInUseError` where that is not possible.
    """
    is_six = ":" in host or not host
    try:
        listener = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if is_six else socket.AF_INET,
            dualstack_ipv6=not host and socket.has_dualstack_ipv6(),
            backlog=2048,
        )
    except OSError as error:
        raise AddressInUseError(
            f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)};"
            " choose another address with --web.listen-address"
        ) from error
    # Connections inherit it. asyncio sets it only on sockets that name their protocol, which
    # these do not; without it a compressed page waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
