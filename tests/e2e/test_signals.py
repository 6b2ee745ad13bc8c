"""What signals do to each command, also to one that is PID 1, as in a container."""

import asyncio
import os
import pty
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from exporter.demo import serve
from exporter.demo.faults import Hang
from tests.support.exporters import ANY_PORT, cloud_of
from tests.support.namespaces import as_pid_1, ends_by, loads, pid_1_of
from tests.support.processes import CREDENTIAL, EXPORTER, search_path, start, until
from tests.support.worlds import empty_world

pytestmark = [pytest.mark.anyio, pytest.mark.process]

REGION = "--region-id=cn-hangzhou"
NOWHERE = "--api.endpoint=http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("command", "number", "expected"),
    [
        ("serve", signal.SIGTERM, 0),
        ("serve", signal.SIGINT, 0),
        ("serve", signal.SIGQUIT, 0),
        ("demo", signal.SIGTERM, 0),
        ("once", signal.SIGTERM, 143),
        ("once", signal.SIGINT, 130),
        ("check", signal.SIGTERM, 143),
        ("reconcile", signal.SIGTERM, 143),
        ("config", signal.SIGTERM, 143),
    ],
)
async def test_a_command_that_is_still_starting_ends(
    tmp_path: Path, command: str, number: signal.Signals, expected: int
) -> None:
    """The kernel drops what PID 1 does not handle, so each signal is handled from the start."""
    arguments = as_pid_1([*EXPORTER, command, REGION, NOWHERE])
    async with start(arguments, tmp_path, CREDENTIAL) as process:
        pid = await pid_1_of(process)
        await loads(pid, "_pydantic_core")
        code = await ends_by(process, pid, number)
    assert (code, process.output) == (expected, b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("command", ["serve", "once", "check", "reconcile"])
async def test_a_command_that_waits_for_the_api_ends(
    tmp_path: Path, command: str, number: signal.Signals
) -> None:
    """A daemon ends with 0, any other command with 128 and the number of the signal."""
    cloud = cloud_of(empty_world())
    cloud.faults.add(Hang())
    async with serve(cloud.app) as endpoint:
        flags = (REGION, f"--api.endpoint={endpoint}", *([ANY_PORT] * (command == "serve")))
        async with start(as_pid_1([*EXPORTER, command, *flags]), tmp_path, CREDENTIAL) as process:
            await until(lambda: cloud.calls, "it calls", process)
            code = await ends_by(process, await pid_1_of(process), number)
    assert code == (0 if command == "serve" else 128 + number)
    assert b"Traceback" not in process.output


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE])
async def test_other_signals_do_not_end_the_daemon(tmp_path: Path, number: signal.Signals) -> None:
    """Files are read again without a signal, and `systemctl kill` or logrotate may send one."""
    async with start([*EXPORTER, "demo", ANY_PORT], tmp_path) as process:
        await loads(process.running.pid, "_pydantic_core")
        process.running.send_signal(number)
        url = await process.url()
        process.running.send_signal(number)
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{url}/-/healthy")).status_code == 200
        code, _ = await process.end()
    assert code == 0


async def test_a_closed_terminal_ends_the_daemon(tmp_path: Path) -> None:
    """Who closes the window of a demo does not leave it behind."""
    async with on_terminal(tmp_path, "demo", ANY_PORT) as (process, controller):
        await loads(process.pid, "_pydantic_core")
        process.send_signal(signal.SIGHUP)
        os.close(controller)
        assert await asyncio.wait_for(process.wait(), 8) == 0


@pytest.mark.parametrize(("command", "expected"), [("demo", 0), ("config", 129)])
async def test_output_for_a_closed_terminal_ends_a_command_as_its_signal_does(
    tmp_path: Path, command: str, expected: int
) -> None:
    """Writing to a terminal that is closed may fail before SIGHUP is there."""
    async with on_terminal(tmp_path, command, REGION, ANY_PORT) as (process, controller):
        os.close(controller)
        assert await asyncio.wait_for(process.wait(), 8) == expected


@asynccontextmanager
async def on_terminal(
    folder: Path, *arguments: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run a command on a terminal; give it, and the end by which the terminal is closed."""
    controller, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(*EXPORTER, *arguments, "--log.format=logfmt"),
        cwd=folder,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": search_path()},
        start_new_session=True,
    )
    os.close(terminal)
    try:
        yield process, controller
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
