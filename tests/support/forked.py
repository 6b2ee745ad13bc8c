"""Processes that begin with their imports done: 0.07 s of CPU for a start instead of 0.5 s.

For tests of what the exporter does, not of how its process comes up. Each process is a fork, made
by the server of `multiprocessing`, of a Python that has imported the exporter and done nothing
else.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from exporter.cli import main
from tests.support.fork_entry import FORKS, enter
from tests.support.processes import EXPORTER, Process, clear_output, end_of

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        "tests.support.fork_entry",
        *("exporter.cli.commands", "exporter.app", "exporter.demo", "exporter.ledger.postgres"),
        # What the vendor's library imports, which itself reads the environment when imported.
        *("aiohttp", "requests", "Tea.core"),
    ]
)


@asynccontextmanager
async def start(
    arguments: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Run the exporter in `folder` inside the block; it is killed at the end if it still runs."""
    command = [str(argument) for argument in arguments]
    assert command[: len(EXPORTER)] == [*EXPORTER]
    async with fork(main, command[len(EXPORTER) :], folder, environment or {}) as process:
        yield process


async def run(
    arguments: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[int, Process]:
    """Run a command of the exporter to its end; give its exit code and what it wrote."""
    async with start(arguments, folder, environment) as process:
        return await end_of(process)


@asynccontextmanager
async def fork(
    main: Callable[[], int | None],
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
) -> AsyncIterator[Process]:
    """Run a function of a module in `folder`; it is killed at the end if it still runs."""
    sys.audit(FORKS, [main.__module__, *arguments])
    clear_output(folder)
    variables = {**os.environ, **environment}
    forked = _SERVER.Process(target=enter, args=(main, arguments, folder, variables))
    forked.start()
    running = _Forked(forked)
    try:
        yield Process(running, folder / "stdout", folder / "stderr")
    finally:
        running.kill()
        await running.wait()


class _Forked:
    """A fork, as if it were an `asyncio.subprocess.Process`."""

    def __init__(self, fork: ForkServerProcess) -> None:
        assert fork.pid is not None
        self.pid = fork.pid
        self._fork = fork

    @property
    def returncode(self) -> int | None:
        return self._fork.exitcode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        while (code := self.returncode) is None:
            loop.add_reader(self._fork.sentinel, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(self._fork.sentinel)
        return code
