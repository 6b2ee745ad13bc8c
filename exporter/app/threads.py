"""The event loop of a command, with all the threads that it will ever need."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from exporter import signals
from exporter.errors import ThreadLimitError

T = TypeVar("T")

THREADS: Final = 7
"""For large listings, passwords and names to look up: few of them at once."""


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that starts no thread; asyncio's own starts one to end its threads."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        super().__init__()
        self._pool = pool
        self.set_default_executor(pool)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - asyncio's
        """Wait for the threads; all tasks are done by then."""
        self._pool.shutdown()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a command until it is done, or a signal cancels it.

    Raises `ThreadLimitError`, at the start rather than on the way, and `Interrupted`.
    """
    try:
        pool = _started_pool()
    except ThreadLimitError:
        main.close()
        raise
    with asyncio.Runner(loop_factory=lambda: _Loop(pool)) as runner:
        return runner.run(_interruptible(main))


async def _interruptible(main: Coroutine[Any, Any, T]) -> T:
    task, loop = asyncio.create_task(main), asyncio.get_running_loop()
    with signals.interrupting(lambda: loop.call_soon_threadsafe(task.cancel)):
        return await task


def _started_pool() -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="worker")
    all_there = threading.Barrier(THREADS + 1)  # so that none takes the work of two
    try:
        for _ in range(THREADS):
            pool.submit(all_there.wait)
        all_there.wait()
    except RuntimeError as error:
        all_there.abort()
        raise ThreadLimitError from error
    return pool
