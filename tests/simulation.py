"""Simulated time for what runs side by side: an hour of many tasks in a second, always the same.

    with simulated() as runner:
        runner.run(main())

On this event loop a timer is due as soon as there is nothing else to do, so `asyncio.sleep` and
`asyncio.timeout` cost nothing, and threads' work is done on the spot. Nothing in it may wait for
a socket: the cloud is called directly.
"""

import asyncio
import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from starlette.types import ASGIApp

from tests.harness import START


class _Jumps(selectors.DefaultSelector):
    """Lets time jump to the next timer instead of waiting for it."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everything waits, and nothing will come")
        if not ready and timeout is not None:
            self.now += timeout
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop with a time of its own, seconds from 0."""

    def __init__(self) -> None:
        self._jumps = _Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        """Give the simulated time."""
        return self._jumps.now

    def run_in_executor(
        self, _executor: object, func: Callable[..., Any], *args: object
    ) -> "asyncio.Future[Any]":
        """Do the work at once, on this thread: it takes no simulated time."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  whoever awaits it gets it
            future.set_exception(error)
        return future


@contextmanager
def simulated() -> Iterator[asyncio.Runner]:
    """Give a runner on simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        yield runner


class LoopClock:
    """The clock of the running loop."""

    def now(self) -> float:
        """Give seconds since 1970-01-01 UTC."""
        return START + self.monotonic()

    def monotonic(self) -> float:
        """Give seconds since the start of the loop."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait on the loop."""
        await asyncio.sleep(seconds)


class DirectTransport(httpx.ASGITransport):
    """Calls an application without a socket; `latency` is in simulated seconds.

    A body that the application leaves unfinished is a connection that was closed too early.
    """

    def __init__(self, app: ASGIApp, latency: float = 0.02) -> None:
        super().__init__(app)
        self._latency = latency

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        await asyncio.sleep(self._latency)
        try:
            return await super().handle_async_request(request)
        except AssertionError as error:
            raise httpx.RemoteProtocolError("peer closed connection") from error
