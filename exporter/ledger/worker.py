"""The thread in which the ledger is read and written, so that a slow disk stops nothing else."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from exporter.errors import LedgerError, LedgerFailure

P = ParamSpec("P")
T = TypeVar("T")

WORK_TIMEOUT: Final = 10.0
"""Seconds that one piece of work may take; a database that is locked gives up after 5."""


class Worker:
    """Does one piece of work after the other, in a thread of its own.

    Names are looked up and passwords checked in other threads: a disk that hangs stops only the
    ledger. Callers that wait for the ledger get an error within `timeout` seconds.
    """

    def __init__(self, timeout: float = WORK_TIMEOUT) -> None:
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._began_at: float | None = None
        """When the work that is being done began."""

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do `work` with its arguments when its turn comes, and return its result.

        Raises what it raises; and `LedgerError` where it, or what is before it, hangs. It may
        be done all the same later on.
        """
        self._check()
        call = partial(work, *args, **kwargs)
        done = asyncio.get_running_loop().run_in_executor(self._pool, self._timed, call)
        # Where the caller is cancelled, nobody asks how it ended.
        done.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            while not (await asyncio.wait([done], timeout=self._left))[0]:
                self._check()
            return done.result()
        finally:
            done.cancel()

    def start(self) -> None:
        """Start the thread now. Raises `RuntimeError` if the system allows no more."""
        self._pool.submit(bool).result()

    def close(self) -> None:
        """End the thread once its work is done."""
        self._pool.shutdown()

    def _timed(self, work: Callable[[], T]) -> T:
        self._began_at = time.monotonic()
        try:
            return work()
        finally:
            self._began_at = None

    @property
    def _left(self) -> float:
        """The seconds that the work which is being done may still take."""
        began_at = self._began_at
        return self._timeout if began_at is None else began_at + self._timeout - time.monotonic()

    def _check(self) -> None:
        if self._left <= 0:
            raise LedgerError(
                f"the ledger has not answered for {self._timeout:g} s",
                advice="check its disk or database, which hangs or is very slow; counters stand"
                " still until it answers, and nothing is lost",
                kind=LedgerFailure.TIMEOUT,
            )
