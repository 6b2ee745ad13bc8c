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
from typing import Any, Self

import httpx
from starlette.types import ASGIApp

from exporter.demo import Behaviour, World
from exporter.model import Target
from tests.support.harness import START, Harness, ManualClock


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
        """Return the simulated time."""
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
    """Provide a runner on simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        yield runner


class LoopClock(ManualClock):
    """The clock of the running loop, which goes on by itself."""

    def now(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        return START + self.monotonic()

    def monotonic(self) -> float:
        """Return seconds since the start of the loop."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait on the loop."""
        await asyncio.sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Refuse: others would miss it."""
        raise AssertionError(f"sleep {seconds} s instead")


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


class LiveHarness(Harness):
    """An exporter whose targets are polled side by side, each on its interval.

    `latency` is what an answer takes at least; the budget is the real one unless it is set.
    """

    def __init__(
        self,
        world: World,
        *,
        latency: float = 0.02,
        behaviour: Behaviour | None = None,
        **settings: Any,  # noqa: ANN401  as the schema says
    ) -> None:
        settings["api"] = {"max_requests_per_second": 10, **settings.get("api", {})}
        super().__init__(world, clock=LoopClock(), behaviour=behaviour, **settings)
        self._latency = latency
        self.durations: dict[Target, list[float]] = {}
        """How long each poll took, in simulated seconds."""

    async def __aenter__(self) -> Self:
        """Build the exporter; nothing is polled yet."""
        self._endpoint = "http://127.0.0.1"
        transport = DirectTransport(self.cloud.app, self._latency)
        self._http = await self._stack.enter_async_context(httpx.AsyncClient(transport=transport))
        self.start()
        return self

    @property
    def http(self) -> httpx.AsyncClient:
        """The client that reaches the cloud."""
        return self._http

    async def live(self, seconds: float, interval: float) -> None:
        """Poll everything on the interval for so long."""
        end = self.clock.monotonic() + seconds
        targets = tuple(self.exporter.targets.jobs)
        await asyncio.gather(*(self._poll_until(end, each, interval) for each in targets))

    async def _poll_until(self, end: float, target: Target, interval: float) -> None:
        while (start := self.clock.monotonic()) < end:
            await self.exporter.targets.run(target)
            took = self.clock.monotonic() - start
            self.durations.setdefault(target, []).append(took)
            # As the scheduler does it: what is missed while a poll runs is not caught up.
            await self.clock.sleep(interval - took % interval)
