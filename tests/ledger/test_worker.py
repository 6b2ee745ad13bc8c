"""The thread of the ledger."""

import asyncio
import gc
import threading
from contextlib import suppress
from typing import Any

from exporter.errors import LedgerError
from exporter.ledger.worker import Worker


def test_failed_write_of_a_cancelled_poll_is_not_logged_as_a_bug() -> None:
    """Nobody awaits its future, and asyncio logs the exceptions of such futures."""
    problems: list[dict[str, Any]] = []

    async def cancel_and_fail() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(context))
        worker, may_fail, has_begun = Worker(), threading.Event(), asyncio.Event()

        def fail() -> None:
            loop.call_soon_threadsafe(has_begun.set)
            may_fail.wait()
            raise LedgerError("the disk is full")

        task = asyncio.create_task(worker.run(fail))
        await has_begun.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        may_fail.set()
        await asyncio.to_thread(worker.close)
        await asyncio.sleep(0)
        del task
        gc.collect()

    asyncio.run(cancel_and_fail())
    gc.collect()
    assert problems == []
