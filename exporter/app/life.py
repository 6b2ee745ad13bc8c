"""The life of the daemon on one page: what starts in which order, and what stops how fast.

HTTP starts first and stops last: the totals of the ledger are on the page before the first poll,
and a scrape is answered until the end. Every wait has a timeout; together they stay below the 8 s
in which the process promises to end. If something hangs all the same (a thread, a disk, the reader
of the log), an alarm signal ends the process: every published total is on the disk by then.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial

import structlog

from exporter import signals
from exporter.app.build import Exporter
from exporter.app.notify import Notifier
from exporter.app.web_app import web_app
from exporter.poller import Schedule
from exporter.web import Server, bind

_log = structlog.get_logger(__name__)

STARTED = "started"
STOPPING = "stopping"
STOPPED = "stopped"
SHUTDOWN_FORCED = "shutdown_forced"

_POLL_GRACE_SECONDS = 4.0
_STOP_SECONDS = 7.0
_PULSE_SECONDS = 1.0
_SWITCH_SECONDS = 0.001
_COLLECT_AFTER = (2_000, 5, 1_000)
"""The thresholds of the garbage collector; Python's own are 700, 10 and 10. With 1,000 gateways, a
collection of everything stops the process for a quarter of a second, and came twice a minute."""


async def run_until_signalled(
    exporter: Exporter,
    notifier: Notifier,
    announce: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve and poll until a signal asks to stop. Raises `AddressInUseError`.

    `announce` is called with the URL once it is served; `notifier` gets the state of the process.
    """
    address = exporter.settings.web.listen
    exporter.telemetry.describe_process()  # only here: with `once`, the process is over when read
    with (
        bind(address.host, address.port) as listener,
        _every(_PULSE_SECONDS, lambda: _stepwise(exporter.own.steps())),
    ):
        server = Server(web_app(exporter), lambda: exporter.access.current.tls)
        async with (
            _signals() as stop,
            exporter.access.watched(_PULSE_SECONDS),
            server.serving(listener),
            _polling(exporter),
        ):
            port = listener.getsockname()[1]
            scheme = "https" if exporter.access.current.tls else "http"
            url = f"{scheme}://{_reachable(address.host)}:{port}"
            _log.info(STARTED, url=url, targets=len(exporter.targets.jobs))
            announce(url)
            notifier.ready()
            with watchdog(exporter, notifier):
                await stop.wait()
            notifier.stopping()
            _log.info(STOPPING)
    _log.info(STOPPED)


@asynccontextmanager
async def _polling(exporter: Exporter) -> AsyncIterator[None]:
    """Poll while the block runs; the ledger is closed after it."""
    schedule = Schedule(
        exporter.targets.run,
        exporter.targets.verify,
        poll_interval=exporter.settings.poll.interval,
        discovery_interval=exporter.settings.discovery.interval,
        on_skip=exporter.telemetry.poll_skipped,
        on_late=exporter.telemetry.poll_late,
        clock=exporter.clock,
    )
    exporter.follow_lease()
    exporter.targets.run_on(schedule)
    tune_gc()
    schedule.start(exporter.tick)
    try:
        yield
    finally:
        await schedule.stop(_POLL_GRACE_SECONDS)
        await asyncio.to_thread(exporter.ledger.close)


def tune_gc() -> None:
    """Let others take the interpreter from the event loop less often, and for less long.

    The garbage collector need not look again at what is loaded by now. Nearly all the rest ends by
    its reference count, so a full collection that is much rarer keeps little more. And a thread
    that computes, such as the ledger's, gives way after 1 ms, not 5: each system call of the loop
    has to wait for that.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    sys.setswitchinterval(_SWITCH_SECONDS)


@asynccontextmanager
async def _signals() -> AsyncIterator[asyncio.Event]:
    """Provide an event that is set by the signals which end the process.

    The handlers are Python's own, not those of the event loop: they run also while the loop is
    stuck in a system call, and the time in which the process has to end begins there.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def caught(_number: int, _frame: object) -> None:
        if not stop.is_set():
            signals.force_exit_after(_STOP_SECONDS, 0, partial(_log.warning, SHUTDOWN_FORCED))
        loop.call_soon_threadsafe(stop.set)

    with signals.handled_by(caught):
        yield stop


def watchdog(exporter: Exporter, notifier: Notifier) -> AbstractContextManager[None]:
    """Send systemd the status while the block runs, and keep-alives while all is well."""

    def tell() -> None:
        notifier.status(exporter.summary())
        if not exporter.unhealthy():
            notifier.alive()

    longest = notifier.watchdog_seconds / 3 or _PULSE_SECONDS
    return _every(min(_PULSE_SECONDS, longest), tell)


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


def _stepwise(steps: Iterator[None]) -> None:
    """Take `steps`, with a turn of the event loop between them."""
    if next(steps, steps) is not steps:
        asyncio.get_running_loop().call_soon(_stepwise, steps)


def _reachable(host: str) -> str:
    """Return the name under which this machine reaches a server that listens on `host`."""
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 - compared with, not bound to
        return "localhost"
    return f"[{host}]" if ":" in host else host
