"""The one failure boundary: whatever a poll or a discovery meets becomes a reason."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from exporter.errors import PollError, Reason
from exporter.snapshot import Failure, ScanProgress
from exporter.sources import Progress

_log = structlog.get_logger(__name__)

CRASHED = "poll_crashed"
FAILED = "poll_failed"
RECOVERED = "poll_recovered"

_MOVED_SHARE: Final = 0.02
"""Of a timeout: by so much a deadline is moved at least, and so much too early it may be."""

T = TypeVar("T")


async def run_guarded(
    work: Callable[[Progress], Awaitable[T]],
    *,
    name: str,
    timeout: float,  # noqa: ASYNC109 - each sign of progress extends it
    on_progress: Progress,
) -> tuple[T | None, Failure | None]:
    """Do `work` and return its result, or why there is none.

    `work` gets a function to call whenever something arrives, which is passed on to
    `on_progress`; after `timeout` seconds without such a call it is cancelled.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout) as deadline:

            def progress(scan: ScanProgress | None = None) -> None:
                on_progress(scan)
                until = loop.time() + timeout
                # Each page and each turn is progress: a new timer for each would cost more than
                # the deadline is worth.
                if until - (deadline.when() or 0.0) > _MOVED_SHARE * timeout:
                    deadline.reschedule(until)

            return await work(progress), None
    except PollError as error:
        return None, Failure(error.reason, str(error), error.advice)
    except TimeoutError:
        message = f"nothing arrived for {timeout:g} s"
        return None, Failure(Reason.TIMEOUT, message, "see poll.timeout")
    except Exception:  # noqa: BLE001 - the boundary: a bug must not end the daemon
        _log.exception(CRASHED, target=name)
        message = "a bug in the exporter; the log has the traceback"
        return None, Failure(Reason.INTERNAL, message, "please report it")


def log_transition(name: str, before: Failure | None, now: Failure | None) -> None:
    """Log the first failure of its reason and the recovery from it, not every repetition."""
    if now is None:
        if before is not None:
            _log.info(RECOVERED, target=name, reason=before.reason.value)
        return
    is_news = before is None or before.reason != now.reason
    (_log.warning if is_news else _log.debug)(
        FAILED, target=name, reason=now.reason.value, error=now.message, advice=now.advice
    )
