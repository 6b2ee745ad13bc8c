"""What systemd is told, read from a real socket."""

import asyncio
import os
from functools import partial
from pathlib import Path

import pytest

from exporter.app.life import watchdog
from exporter.app.notify import Notifier
from exporter.demo import serve
from tests.support.exporters import ANY_PORT, cloud_of, serve_command
from tests.support.forked import start
from tests.support.harness import targets_of
from tests.support.processes import CREDENTIAL, EXPORTER, eventually, search_path
from tests.support.simulation import LiveHarness, simulated
from tests.support.systemd import Systemd, systemd
from tests.support.worlds import busy_world


@pytest.mark.parametrize("is_abstract", [False, True])
def test_messages_arrive(tmp_path: Path, is_abstract: object) -> None:
    """The socket may be a file, or a name of the kernel's own."""
    address = f"@emr-exporter-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with systemd(address) as listener:
        environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2500000"}
        notifier = Notifier.from_environment(environ)
        notifier.ready()
        notifier.status("2 of 3\ntargets up")
        notifier.status("2 of 3 targets up")
        notifier.alive()
        notifier.stopping()
        assert notifier.watchdog_seconds == 2.5
        assert listener.listen() == [
            "READY=1",
            "STATUS=2 of 3 targets up",
            "WATCHDOG=1",
            "STOPPING=1",
        ]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": ""},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
    ],
)
def test_the_watchdog_is_off_unless_set_for_this_process(environ: dict[str, str]) -> None:
    """Also where it is meant for another process; nothing is sent then."""
    assert Notifier.from_environment(environ).watchdog_seconds == 0


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@nobody-listens", "x" * 300])
def test_a_notify_socket_without_a_listener_is_harmless(address: str) -> None:
    """The daemon runs as well without systemd."""
    Notifier(address).ready()


@pytest.mark.process
@pytest.mark.anyio
async def test_the_daemon_reports_its_state_to_systemd(tmp_path: Path) -> None:
    """Ready once it serves, its state in a line, signs of life, and the beginning of the end."""
    address = str(tmp_path / "notify")
    environ = {**CREDENTIAL, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"}
    world = busy_world()
    targets = sum(1 + len(each["livy_compute_ids"]) for each in targets_of(world))
    with systemd(address) as listener:
        async with serve(cloud_of(world).app) as endpoint:
            command = serve_command(world, endpoint, "serve", ANY_PORT)
            async with start(command, tmp_path / "e", environ) as process:
                await listener.hears("READY=1")
                await listener.hears(f"STATUS={targets} of {targets} targets up")
                await listener.hears("WATCHDOG=1", times=3)
                code, _ = await process.end()
        assert code == 0
        said = [each for each in listener.listen() if not each.startswith(("STATUS", "WATCHDOG"))]
    assert said == ["READY=1", "STOPPING=1"]


def test_no_watchdog_message_is_sent_while_polling_hangs(tmp_path: Path) -> None:
    """What makes the process unhealthy lets systemd restart it."""

    async def main(listener: Systemd) -> None:
        async with LiveHarness(busy_world()) as h:
            await h.poll()
            with watchdog(h.exporter, Notifier(address, watchdog_seconds=3)):
                await listener.hears("WATCHDOG=1", times=3)
                await listener.listens_for(3600)
                listener.heard.clear()
                await listener.listens_for(600)
                assert listener.heard.count("WATCHDOG=1") == 0
                await h.poll()
                await listener.hears("WATCHDOG=1", times=3)

    address = str(tmp_path / "notify")
    with systemd(address) as listener, simulated() as runner:
        runner.run(main(listener))


@pytest.mark.process
@pytest.mark.anyio
async def test_a_blocked_log_pipe_does_not_delay_shutdown(tmp_path: Path) -> None:
    """A log that hangs stops everything but the end."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    process = await asyncio.create_subprocess_exec(
        *(*EXPORTER, "demo", ANY_PORT),
        cwd=tmp_path,
        stdout=writing,
        stderr=writing,
        env={**os.environ, "PYTHONPATH": search_path()},
    )
    os.close(writing)
    try:
        await eventually(partial(is_blocked, process.pid), seconds=30)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 8) == 0
    finally:
        if process.returncode is None:
            process.kill()
        os.close(reading)


async def is_blocked(pid: int) -> bool:
    """Whether a process waits until somebody reads what it wrote to a pipe."""
    where = await asyncio.to_thread(Path(f"/proc/{pid}/wchan").read_text)
    return "pipe_write" in where
