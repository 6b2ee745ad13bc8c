"""Real processes: the exporter as its users start it, and the tools that read it."""

import asyncio
import os
import random
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from exporter.demo import DEMO_KEY_ID, DEMO_KEY_SECRET
from tests.support.repository import ROOT

EXPORTER: Sequence[str] = (sys.executable, "-m", "exporter")

STOP_SECONDS = 8.0
"""How long the exporter may take to end: what it promises."""

CREDENTIAL: Mapping[str, str] = {
    "ALIBABA_CLOUD_ACCESS_KEY_ID": DEMO_KEY_ID,
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": DEMO_KEY_SECRET,
}
"""The variables that give the exporter the credential of the simulated cloud."""

_PORTS = range(20_000, 30_000)
"""Below those that Linux and macOS give to clients, and to servers that ask for any."""

_STARTED = re.compile(rb'\bstarted\b.*?(https?://\S+?:[0-9]+)(?=[\s"])')


class Running(Protocol):
    """What the tests use of `asyncio.subprocess.Process`."""

    @property
    def pid(self) -> int:
        """Its id."""

    @property
    def returncode(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it; None while it runs."""

    def send_signal(self, signal: int, /) -> None:
        """Send a signal, if it still runs."""

    def kill(self) -> None:
        """Send SIGKILL, if it still runs."""

    async def wait(self) -> int:
        """Wait until it ends; return its exit code."""


@dataclass(frozen=True)
class Process:
    """A process that runs, or ran; what it wrote is in files."""

    running: Running
    stdout: Path
    stderr: Path

    @property
    def output(self) -> bytes:
        """All that it has written so far."""
        return self.stdout.read_bytes() + self.stderr.read_bytes()

    async def url(self) -> str:
        """Return the address at which the exporter serves, once it says so."""
        await until(lambda: _STARTED.search(self.output), "the exporter has started", self)
        found = _STARTED.search(self.output)
        assert found is not None
        return found[1].decode()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; give the exit code, and the seconds that it took to end."""
        start = time.monotonic()
        self.running.send_signal(number)
        code = await asyncio.wait_for(self.running.wait(), 2 * STOP_SECONDS)
        return code, time.monotonic() - start


@asynccontextmanager
async def start(
    arguments: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Run a program in `folder` inside the block; it is killed at the end if it still runs."""
    clear_output(folder)
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        running = await asyncio.create_subprocess_exec(
            *arguments,
            stdout=stdout,
            stderr=stderr,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": search_path(), **(environment or {})},
        )
    try:
        yield Process(running, folder / "stdout", folder / "stderr")
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def run(
    arguments: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[int, Process]:
    """Run a program to its end; give its exit code and what it wrote."""
    async with start(arguments, folder, environment) as process:
        return await end_of(process)


async def end_of(process: Process) -> tuple[int, Process]:
    """Wait until a process ends by itself; give its exit code and what it wrote."""
    return await asyncio.wait_for(process.running.wait(), 30), process


async def until(
    condition: Callable[[], object], what: str, process: Process, *, seconds: float = 45.0
) -> None:
    """Wait for a condition that a process brings about; fail if it ends, or takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.running.returncode is not None or time.monotonic() > deadline:
            raise AssertionError(f"not so: {what}; it wrote:\n{process.output.decode()}")
        await asyncio.sleep(0.02)


async def eventually(
    check: Callable[[], Awaitable[object]], *, seconds: float = 20.0, pause: float = 0.1
) -> None:
    """Ask again and again until the answer is true, or fail when it takes too long."""
    async with asyncio.timeout(seconds):
        while True:
            if await check():
                return
            await asyncio.sleep(pause)


def free_port() -> int:
    """Return a port of the loopback that only the caller will listen on, for a program to take.

    Not one that the kernel picks: it would give a port that is not listened on yet to the next
    that asks, a client for instance. Of these, it gives none to anybody.
    """
    return next(filter(claim, random.SystemRandom().sample(_PORTS, len(_PORTS))))


def claim(port: int) -> bool:
    """Whether this process has the port from now on, as no other run of the tests has it.

    The claim is a UDP socket at the same number, which ends with this process.
    """
    with socket.socket(type=socket.SOCK_DGRAM) as claimed:
        try:
            claimed.bind(("127.0.0.1", port))
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            return False
        claimed.detach()  # from now on nothing closes it
        return True


def clear_output(folder: Path) -> None:
    """Make the files for what a process writes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("stdout", "stderr"):
        (folder / name).write_bytes(b"")


def search_path() -> str:
    """Find the package from any folder, behind the guard of the tests."""
    return os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))
