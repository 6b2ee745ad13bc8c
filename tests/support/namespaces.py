"""Processes that are alone: PID 1, as in a container, or with a network of their own."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.support.processes import Process, eventually
from tests.support.tools import lacking

_AS_PID_1 = ("unshare", "--pid", "--fork", "--kill-child")
_OWN_NETWORK = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"')


def as_pid_1(command: Sequence[str | Path]) -> list[str | Path]:
    """Write the command line that runs `command` as PID 1 of a namespace of its own."""
    _require(_AS_PID_1)
    return [*_AS_PID_1, *command]


def in_own_network(command: Sequence[str | Path]) -> list[str | Path]:
    """Write the command line that runs `command` with a loopback of its own, and nothing else."""
    _require(_OWN_NETWORK)
    return [*_OWN_NETWORK, *command]


@cache
def _require(prefix: tuple[str, ...]) -> None:
    """Skip where this user may not make namespaces."""
    done = subprocess.run([*prefix, "true"], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        lacking(f"no namespaces can be made here: {done.stderr.strip()}")


async def pid_1_of(process: Process) -> int:
    """Return the number by which this machine knows the PID 1 that `as_pid_1` runs."""
    outer = process.running.pid
    children = Path(f"/proc/{outer}/task/{outer}/children")

    async def has_child() -> bool:
        return bool(await asyncio.to_thread(children.read_text))

    await eventually(has_child, pause=0.005)
    return int((await asyncio.to_thread(children.read_text)).split()[0])


async def loads(pid: int, library: str) -> None:
    """Wait until a process has loaded a library."""
    maps = Path(f"/proc/{pid}/maps")

    async def is_loaded() -> bool:
        return library in await asyncio.to_thread(maps.read_text)

    await eventually(is_loaded, pause=0.005)


async def ends_by(process: Process, pid: int, number: signal.Signals) -> int:
    """Send a signal to the process `pid` behind `process`; give the exit code."""
    os.kill(pid, number)
    return await asyncio.wait_for(process.running.wait(), 8)
