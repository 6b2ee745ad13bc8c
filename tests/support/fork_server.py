"""Processes that begin with their imports done: what costs 0.5 s to import is imported once."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support.repository import search_path

_SERVER = """
import json, os, sys

{imports}

def answer():
    for line in sys.stdin:
        request = json.loads(line)
        if isinstance(request, int):
            print(os.waitstatus_to_exitcode(os.waitpid(request, 0)[1]), flush=True)
        elif child := os.fork():
            print(child, flush=True)
        else:
            return request

def begin(folder, script, arguments, environment):
    os.chdir(folder)
    files = ("/dev/null", os.O_RDONLY), ("stdout", os.O_WRONLY), ("stderr", os.O_WRONLY)
    for number, (name, mode) in enumerate(files):
        opened = os.open(name, mode | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    exec(script, {{"__name__": "__main__"}})

if request := answer():
    begin(*request)
"""


class Forked:
    """A process of a fork server, to be used like one of `asyncio`."""

    def __init__(self, pid: int, wait: Callable[[int], int]) -> None:
        self.pid = pid
        self._wait = wait
        self._code: int | None = None
        self._end = select.poll()
        self._handle = os.pidfd_open(pid)
        self._end.register(self._handle, select.POLLIN)

    @property
    def returncode(self) -> int | None:
        """The exit code; `None` while the process runs."""
        if self._code is None and self._end.poll(0):
            os.close(self._handle)
            self._code = self._wait(self.pid)
        return self._code

    async def wait(self) -> int:
        """Wait for the end; return the exit code."""
        while (code := self.returncode) is None:  # noqa: ASYNC110 - its parent is another process
            await asyncio.sleep(0.01)
        return code

    def join(self) -> int | None:
        """Wait for the end, whatever else is to be done; return the exit code."""
        self._end.poll()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End the process at once."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """Runs scripts, each in a fork of a Python that has imported and done nothing else."""

    def __init__(self, imports: str) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER.format(imports=imports)],
            env={**os.environ, "PYTHONPATH": search_path()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server; processes that still run go on."""
        self._server.communicate()

    def start(
        self, script: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> Forked:
        """Begin a script in a folder; what it writes goes to the files `stdout` and `stderr`."""
        request = [str(folder), script, [*arguments], {**environment}]
        return Forked(self._ask(request), self._ask)

    def run(
        self, script: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> tuple[str, str]:
        """Run a script to its end; return its stdout and stderr. Raise where it failed."""
        folder.mkdir(exist_ok=True)
        code = self.start(script, arguments, environment, folder).join()
        stdout, stderr = ((folder / name).read_text() for name in ("stdout", "stderr"))
        assert code == 0, stderr
        return stdout, stderr

    def _ask(self, request: object) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())
