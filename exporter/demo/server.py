"""A server on the loopback, inside the running event loop and gone when its block ends."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from exporter.demo.cloud import Cloud
from exporter.demo.fleet import REGION_ID, Fleet
from exporter.demo.world import World

DEMO_KEY_ID: Final = "LTAI-demo-access-key"
DEMO_KEY_SECRET: Final = "SENTINEL-access-key-secret-2e97d4"  # noqa: S105  opens only the demo

GUEST_KEY_ID: Final = "LTAI-demo-guest"
GUEST_KEY_SECRET: Final = "guest"  # noqa: S105  opens only the demo, and is printed

SHUTDOWN_SECONDS = 5.0
"""How long a request may take to end after it was cancelled."""


class _Protocol(H11Protocol):
    """HTTP with a log of its own: a response that is cut on purpose is not logged as an error."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  passed on
        super().__init__(*args, **kwargs)
        self.logger = _LOG


def _is_unexpected(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("ASGI callable returned without")


_LOG = logging.getLogger(__name__)
_LOG.addFilter(_is_unexpected)


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

    async def end(self) -> None:
        self._is_ending = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SHUTDOWN_SECONDS)


@contextlib.asynccontextmanager
async def serve(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve an application, and give its base URL; port 0 takes a free one.

    Not by `uvicorn.Server`, which looks only ten times a second whether it should end.
    """
    running, state = _Running(app), ServerState()
    config = _config(running)
    config.load()
    with socket.create_server((host, port)) as listener:
        # Connections inherit it; asyncio would not set it, and pages would come 40 ms late.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = f"http://{host}:{listener.getsockname()[1]}"
        server = await asyncio.get_running_loop().create_server(
            lambda: _Protocol(config, state, {}), sock=listener
        )
        try:
            yield address
        finally:
            server.close()
            # First: what hangs by order must not be answered, not even with 500.
            _hang_up(state, at_once=False)
            await running.end()
            _hang_up(state, at_once=True)
            await asyncio.sleep(0)  # the loop closes the sockets in its next turn


def _hang_up(state: ServerState, *, at_once: bool) -> None:
    for connection in list(state.connections):
        if isinstance(connection, _Protocol) and connection.transport is not None:
            (connection.transport.abort if at_once else connection.transport.close)()


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
    guest_key_id: str = GUEST_KEY_ID
    guest_key_secret: str = GUEST_KEY_SECRET
    """A second key, for other clients of the cloud."""


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
    keys = {DEMO_KEY_ID: DEMO_KEY_SECRET, GUEST_KEY_ID: GUEST_KEY_SECRET}
    cloud = Cloud(world, clock=clock, access_keys=keys, seed=seed, tick=fleet.advance)
    workspaces = tuple(
        (workspace_id, tuple(gateway.compute_id for gateway in world.gateways(workspace_id)))
        for workspace_id in (workspace.workspace_id for workspace in world.workspaces())
    )
    async with serve(cloud.app, host, port) as endpoint:
        yield Demo(endpoint, DEMO_KEY_ID, DEMO_KEY_SECRET, REGION_ID, workspaces, cloud)
