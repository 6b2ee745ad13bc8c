"""The event loop of a command, with all the threads that it will ever need."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from exporter import signals
from exporter.errors import ThreadLimitError

T = TypeVar("T")

THREADS: Final = 8
"""For the ledger, large listings, passwords and names to look up: few of them at once."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a command to its end; raise `ThreadLimitError` at the start rather than on the way."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        try:
            loop.set_default_executor(_started_pool(THREADS))
        except ThreadLimitError:
            main.close()
            raise
        return runner.run(_interruptible(main))


async def _interruptible(main: Coroutine[Any, Any, T]) -> T:
    """Run a command until a signal cancels it; `Interrupted` is raised then."""
    task = asyncio.create_task(main)
    loop = asyncio.get_running_loop()
    with signals.interrupting(lambda: loop.call_soon_threadsafe(task.cancel)):
        return await task


def _started_pool(threads: int) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(threads, thread_name_prefix="worker")
    all_there = threading.Barrier(threads + 1)  # so that none takes the work of two
    try:
        for _ in range(threads):
            pool.submit(all_there.wait)
        all_there.wait()
    except RuntimeError as error:
        all_there.abort()
        raise ThreadLimitError from error
    return pool
