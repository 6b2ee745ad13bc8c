"""A server on the loopback, inside the running event loop and gone when its block ends."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from exporter.demo.cloud import Cloud
from exporter.demo.fleet import REGION_ID, Fleet
from exporter.demo.world import World

DEMO_KEY_ID: Final = "LTAI-demo-access-key"
DEMO_KEY_SECRET: Final = "SENTINEL-access-key-secret-2e97d4"  # noqa: S105  opens only the demo

SHUTDOWN_SECONDS = 5.0
"""How long a server may take to stop before its task is cancelled."""


class _Protocol(H11Protocol):
    """HTTP with a log of its own: an answer that is cut on purpose is no error to report."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  passed on
        super().__init__(*args, **kwargs)
        self.logger = _LOG


def _is_unexpected(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("ASGI callable returned without")


_LOG = logging.getLogger(__name__)
_LOG.addFilter(_is_unexpected)


class _Server(uvicorn.Server):
    """uvicorn as a guest: signals belong to the host, and readiness is an event."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def hang_up(self, *, at_once: bool) -> None:
        """Close all connections; what hangs by order must not be answered, not even with 500."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Protocol) and connection.transport is not None:
                (connection.transport.abort if at_once else connection.transport.close)()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        interface="asgi3",
        http=_Protocol,
        lifespan="off",
        ws="none",
        # No level either: uvicorn would set it for every server of this process.
        log_config=None,
        log_level=None,
        access_log=False,
        # The service's clock, not this machine's, decides the Date header.
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )


class _Running:
    """An application whose requests can be ended, also those that hang by order."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        if task is None or self._is_ending:
            return
        self._tasks.add(task)
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # To be cancelled while the server ends is the plan, not an error to log.
            if not self._is_ending:
                raise
        finally:
            self._tasks.discard(task)

    def end(self) -> None:
        self._is_ending = True
        for task in self._tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def serve(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve an application, and give its base URL; port 0 takes a free one."""
    with socket.create_server((host, port)) as listener:
        # Connections inherit it; asyncio would not set it, and pages would come 40 ms late.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        running = _Running(app)
        server = _Server(_config(running))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await server.ready.wait()
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.hang_up(at_once=False)
            running.end()
            server.should_exit = True
            await _finish(task)
            server.hang_up(at_once=True)


async def _finish(task: asyncio.Task[None]) -> None:
    _, late = await asyncio.wait({task}, timeout=SHUTDOWN_SECONDS)
    for each in late:
        each.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@dataclass(frozen=True, slots=True)
class Demo:
    """A running simulated cloud, and all that a client needs to poll it."""

    endpoint: str
    access_key_id: str
    access_key_secret: str = field(repr=False)
    region_id: str
    workspaces: tuple[tuple[str, tuple[str, ...]], ...]
    """Workspace ids, each with the ids of its Livy gateways."""
    cloud: Cloud


@contextlib.asynccontextmanager
async def start_demo(
    *,
    seed: int = 0,
    speed: float = 60.0,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Demo]:
    """Run a simulated cloud in which life goes on, `speed` times as fast as in reality."""
    world = World(seed=seed)
    fleet = Fleet(world, seed=seed, speed=speed, start=clock())
    keys = {DEMO_KEY_ID: DEMO_KEY_SECRET}
    cloud = Cloud(world, clock=clock, access_keys=keys, seed=seed, tick=fleet.advance)
    workspaces = tuple(
        (each.workspace_id, tuple(g.compute_id for g in world.gateways(each.workspace_id)))
        for each in world.workspaces()
    )
    async with serve(cloud.app, host, port) as endpoint:
        yield Demo(endpoint, DEMO_KEY_ID, DEMO_KEY_SECRET, REGION_ID, workspaces, cloud)
