"""The life of the daemon on one page: what starts in which order, and what stops how fast.

HTTP starts first and stops last: totals of old are on the page before the first poll, and a
scrape is answered until the end. Everything that is waited for has a bound; together they
stay below the 8 s in which the process promises to end.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog

from exporter.app.build import Exporter
from exporter.poller import Schedule
from exporter.settings import Settings
from exporter.web import Server, bind

_log = structlog.get_logger(__name__)

STARTED = "started"
STOPPING = "stopping"
STOPPED = "stopped"

_POLL_GRACE_SECONDS = 4.0
_OWN_METRICS_SECONDS = 1.0


async def live(
    settings: Settings, exporter: Exporter, announce: Callable[[str], None] = lambda _: None
) -> None:
    """Serve and poll until a signal asks to stop. Raises `AddressInUseError`.

    `announce` is given the address to open, once it answers.
    """
    address = settings.web.listen
    own_metrics = _every(_OWN_METRICS_SECONDS, exporter.own.refresh)
    with bind(address.host, address.port) as listener, own_metrics:
        server = Server(exporter.web)
        async with _signals() as stop, server.serving(listener):
            schedule = Schedule(
                exporter.roster.run,
                poll_interval=settings.poll.interval,
                discovery_interval=settings.discovery.interval,
                on_skip=exporter.telemetry.poll_skipped,
            )
            exporter.roster.run_on(schedule)
            schedule.start(exporter.polling.tick)
            port = listener.getsockname()[1]
            url = f"http://{_reachable(address.host)}:{port}"
            _log.info(STARTED, url=url, targets=len(exporter.jobs))
            announce(url)
            await stop.wait()
            _log.info(STOPPING)
            await schedule.stop(_POLL_GRACE_SECONDS)
            await asyncio.to_thread(exporter.ledger.close)
    _log.info(STOPPED)


@asynccontextmanager
async def _signals() -> AsyncIterator[asyncio.Event]:
    """Give an event that SIGTERM and SIGINT set while the block runs."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    caught = (signal.SIGTERM, signal.SIGINT)
    for number in caught:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in caught:
            loop.remove_signal_handler(number)


@contextmanager
def _every(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """Call `call` now and again while the block runs; a failure is logged by the event loop."""
    loop = asyncio.get_running_loop()
    timer: asyncio.Handle

    def again() -> None:
        nonlocal timer
        timer = loop.call_later(seconds, again)
        call()

    timer = loop.call_soon(again)
    try:
        yield
    finally:
        timer.cancel()


def _reachable(host: str) -> str:
    """Give the name under which this machine reaches a server that listens on `host`."""
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 - compared with, not bound to
        return "localhost"
    return f"[{host}]" if ":" in host else host
