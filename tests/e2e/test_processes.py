"""The real process: how it starts, how it ends, and what it leaves."""

import asyncio
import os
import re
import signal
import socket
from itertools import pairwise
from pathlib import Path

import pytest

from exporter.demo import DEMO_KEY_SECRET, faults, serve
from exporter.demo.faults import Delay, Hang
from tests.support import forked
from tests.support.exporters import ANY_PORT, cloud_of, fetch, files_in, serve_command
from tests.support.pages import Page
from tests.support.processes import (
    CREDENTIAL,
    EXPORTER,
    STOP_SECONDS,
    Process,
    eventually,
    run,
    start,
    until,
)
from tests.support.worlds import GATEWAY, WORKSPACE, busy_world, empty_world, key, session, used

pytestmark = [pytest.mark.anyio, pytest.mark.process]

SIGNALS = [signal.SIGTERM, signal.SIGINT]
NOT_FOR_THE_DEMO = {
    "EMR_EXPORTER_WORKSPACE_IDS": "w-real",
    "EMR_EXPORTER_LIVY_COMPUTE_IDS": "lc-real",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "NO_PROXY": "",
    "no_proxy": "",
    "SSL_CERT_FILE": "/proc/none",
}


@pytest.mark.parametrize("number", SIGNALS)
async def test_the_demo_runs_and_ends(tmp_path: Path, number: signal.Signals) -> None:
    """`demo` says where to look, shows usage, and ends in time with exit code 0.

    What is set for a real account has no part in it, nor have proxies and certificates.
    """
    command = [*EXPORTER, "demo", ANY_PORT, "--web.telemetry-path=/figures"]
    async with start(command, tmp_path, NOT_FOR_THE_DEMO) as process:
        url = await process.url()
        invitation = f"(metrics: {url}/figures)".encode()
        await until(lambda: invitation in process.stdout.read_bytes(), "it invites", process)
        page = await fetch(url, "/figures")
        while not page.has("livy_cu_hours_total"):
            page = await fetch(url, "/figures")
        assert sum(page.values("livy_cu_hours_total").values()) > 0
        code, seconds = await process.end(number)
    assert (code, seconds < STOP_SECONDS) == (0, True)
    assert b"Traceback" not in process.output
    assert files_in(tmp_path) == ["stderr", "stdout"]


@pytest.mark.parametrize(
    ("number", "effect"),
    [(signal.SIGTERM, Hang()), (signal.SIGINT, Delay(0.5))],
    ids=["the API hangs", "in the middle of a scan"],
)
async def test_it_ends_in_time_whatever_it_waits_for(
    tmp_path: Path, number: signal.Signals, effect: Hang | Delay
) -> None:
    """A poll that waits for the API does not keep the process from ending."""
    world = empty_world()
    for n in range(5000):
        world.put_session(session(f"livy-{n}", 1))
    cloud = cloud_of(world)
    cloud.faults.add(effect)
    async with (
        serve(cloud.app) as endpoint,
        start(serve_command(world, endpoint, "serve", ANY_PORT), tmp_path, CREDENTIAL) as process,
    ):
        await process.url()
        await until(lambda: len(cloud.calls) >= 2, "it polls", process)
        code, seconds = await process.end(number)
    assert (code, seconds < STOP_SECONDS) == (0, True)
    assert b"Traceback" not in process.output


async def test_a_poll_that_is_not_over_is_not_begun_again(tmp_path: Path) -> None:
    """While a poll runs longer than the interval, the ones it stands in for are counted."""
    world = empty_world()
    cloud = cloud_of(world)
    cloud.faults.add(Delay(2.5), action="ListLivyComputeSessions")
    async with (
        serve(cloud.app) as endpoint,
        forked.start(
            serve_command(world, endpoint, "serve", ANY_PORT), tmp_path, CREDENTIAL
        ) as process,
    ):
        url = await process.url()

        async def has_called(times: int) -> bool:
            return cloud.counters["ListLivyComputeSessions", "OK"] >= times

        async def has_skipped() -> bool:
            page = await fetch(url)
            return page.value("exporter_polls_skipped_total", source="livy_sessions") > 0

        await eventually(lambda: has_called(2))
        await eventually(has_skipped)
        await process.end()
    times = [call.time for call in cloud.calls if call.action == "ListLivyComputeSessions"]
    assert min(after - before for before, after in pairwise(times)) > 2.4
    assert "event=poll_skipped target=livy_sessions/" in process.output.decode()
    assert "apscheduler" not in process.output.decode()


async def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    """A port that is taken ends with exit code 2 and a line that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [*EXPORTER, "demo", f"--web.listen-address={address}"]
        code, process = await forked.run(command, tmp_path)
    assert code == 2
    assert process.output.decode() == (
        f"error: cannot listen on {address}: Address already in use;"
        " choose another address with --web.listen-address\n"
    )


async def test_variables_of_a_kubernetes_service_do_no_harm(tmp_path: Path) -> None:
    """What Kubernetes injects for a Service named emr-exporter is not taken for settings."""
    injected = {
        "EMR_EXPORTER_SERVICE_HOST": "10.0.0.1",
        "EMR_EXPORTER_SERVICE_PORT": "9825",
        "EMR_EXPORTER_SERVICE_PORT_METRICS": "9825",
        "EMR_EXPORTER_PORT": "tcp://10.0.0.1:9825",
        "EMR_EXPORTER_PORT_9825_TCP": "tcp://10.0.0.1:9825",
        "EMR_EXPORTER_PORT_9825_TCP_PROTO": "tcp",
        "EMR_EXPORTER_PORT_9825_TCP_PORT": "9825",
        "EMR_EXPORTER_PORT_9825_TCP_ADDR": "10.0.0.1",
    }
    async with start([*EXPORTER, "demo", ANY_PORT], tmp_path, injected) as process:
        await process.url()
        code, _ = await process.end()
    assert code == 0


@pytest.mark.parametrize("output", [[], ["--output=-"]])
async def test_once_prints_the_page(tmp_path: Path, output: list[str]) -> None:
    """`once` prints the true totals on stdout, and nothing else, with exit code 0.

    Nor is there anything of its process, which is over: node_exporter would show that twice, as
    its own too.
    """
    world = busy_world()
    async with serve(cloud_of(world).app) as endpoint:
        code, process = await forked.run(
            serve_command(world, endpoint, "once", *output), tmp_path, CREDENTIAL
        )
    page = Page.from_text(process.stdout.read_text())
    assert code == 0
    assert page.value("livy_cu_hours_total", queue="root_queue", workspace_id=WORKSPACE) == 1.75
    names = re.findall(rb"^# TYPE (\w+)", process.stdout.read_bytes(), re.MULTILINE)
    assert [each for each in names if not each.startswith(b"emr_serverless_spark_")] == []
    assert process.stderr.read_bytes() == b""
    assert files_in(tmp_path) == ["stderr", "stdout"]


async def test_once_reports_a_failed_target(tmp_path: Path) -> None:
    """`once` ends with exit code 1 where a target failed, and still writes the page, whole.

    Where the output is a link, it is what that leads to which is replaced.
    """
    world = busy_world()
    cloud = cloud_of(world)
    cloud.faults.add(faults.FORBIDDEN, compute_id=GATEWAY)
    output = tmp_path / "emr.prom"
    await asyncio.to_thread(output.write_text, "an older page")
    link = tmp_path / "link.prom"
    await asyncio.to_thread(link.symlink_to, output)
    command = ["once", f"--output={link}"]
    async with serve(cloud.app) as endpoint:
        code, process = await forked.run(
            serve_command(world, endpoint, *command), tmp_path, CREDENTIAL
        )
    page = Page.from_text(await asyncio.to_thread(output.read_text))
    assert code == 1
    assert page.value("exporter_target_up", source="livy_sessions", workspace_id=WORKSPACE) == 0
    assert page.has("session_clusters")
    assert process.stdout.read_bytes() == b""
    assert files_in(tmp_path) == ["emr.prom", "link.prom", "stderr", "stdout"]
    assert not output.is_symlink()
    assert link.is_symlink()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing/emr.prom", "No such file or directory"), ("x" * 300, "File name too long")],
)
async def test_once_says_where_it_cannot_write(tmp_path: Path, name: str, reason: str) -> None:
    """An output that cannot be written is one line, and leaves nothing behind."""
    world = busy_world()
    command = ["once", f"--output={tmp_path / name}"]
    async with serve(cloud_of(world).app) as endpoint:
        code, process = await forked.run(
            serve_command(world, endpoint, *command), tmp_path, CREDENTIAL
        )
    assert code == 2
    assert process.output.decode() == (
        f"error: {command[1]}: {reason}; name a file in a folder that exists and can be written\n"
    )


async def test_once_replaces_files_only(tmp_path: Path) -> None:
    """What is no file, such as `/dev/stdout`, stays what it is: root could replace it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    world = empty_world()
    async with serve(cloud_of(world).app) as endpoint:
        command = serve_command(world, endpoint, "once", f"--output={pipe}")
        code, process = await forked.run(command, tmp_path, CREDENTIAL)
    assert code == 2
    assert process.output.decode() == (
        f"error: --output={pipe}: not a regular file; omit --output to print to stdout\n"
    )
    assert pipe.is_fifo()


async def test_totals_are_served_at_once_after_a_restart(tmp_path: Path) -> None:
    """A second process serves the totals of the first before any poll, and goes on from there."""
    world = busy_world()
    cloud = cloud_of(world)
    queue = {"queue": "root_queue", "workspace_id": WORKSPACE}
    async with serve(cloud.app) as endpoint:
        command = serve_command(world, endpoint, "serve", ANY_PORT, "--ledger.birth-hold=100ms")
        async with forked.start(command, tmp_path, CREDENTIAL) as process:
            await seen(process, queue, 1.75)
            world.revise(key("livy-a"), used(2.5))
            await seen(process, queue, 2.75)
            await process.end()
        hang = cloud.faults.add(Hang())
        async with forked.start(command, tmp_path, CREDENTIAL) as process:
            page = await fetch(await process.url())
            assert page.value("livy_cu_hours_total", **queue) == 2.75
            assert not page.has("exporter_target_up")
            world.revise(key("livy-a"), used(4.0))
            cloud.faults.remove(hang)
            await process.end()
        async with forked.start(command, tmp_path, CREDENTIAL) as process:
            await seen(process, queue, 4.25)


async def seen(process: Process, labels: dict[str, str], expected: float) -> None:
    """Wait until the page shows these CU-hours."""
    url = await process.url()

    async def is_shown() -> bool:
        found = (await fetch(url)).values("livy_cu_hours_total", **labels)
        return list(found.values()) == [expected]

    await eventually(is_shown)


async def test_other_commands_can_be_tried_on_the_demo(tmp_path: Path) -> None:
    """The demo prints a key and the lines to type, which work as printed, from any folder."""
    async with start([*EXPORTER, "demo", ANY_PORT], tmp_path / "demo") as process:
        url = await process.url()
        await until(lambda: b"reconcile" in process.stdout.read_bytes(), "it invites", process)
        page = await fetch(url)
        while not page.has("livy_cu_hours_total"):
            page = await fetch(url)
        lines = [line.strip() for line in process.stdout.read_text().splitlines()]
        exports = [line for line in lines if line.startswith("export ")]
        typed = [line for line in lines if " -m exporter " in line]
        commands = [line.partition(" -m exporter ")[2].split()[0] for line in typed]
        assert commands == ["check", "once", "reconcile"]
        exports.append(f"EMR_EXPORTER_WEB__LISTEN_ADDRESS={url.partition('://')[2]}")
        for line in typed:
            script = "\n".join(["set -a", *exports, line])
            code, tried = await run(["sh", "-c", script], tmp_path / "tried")
            assert (line, code, tried.stderr.read_text()) == (line, 0, "")
            assert tried.stdout.read_text()
        await process.end()
    assert DEMO_KEY_SECRET.encode() not in process.output


async def test_the_next_demo_removes_the_folder_of_a_killed_one(tmp_path: Path) -> None:
    """The next one removes its folder, and leaves those of demos that still run."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    folders: dict[str, list[str]] = {}
    command, environment = [*EXPORTER, "demo", ANY_PORT], {"TMPDIR": str(temporary)}
    async with forked.start(command, tmp_path / "killed", environment) as killed:
        await killed.url()
        killed.running.kill()
        await killed.running.wait()
    folders["killed"] = files_in(temporary)
    async with forked.start(command, tmp_path / "first", environment) as first:
        await first.url()
        folders["first"] = files_in(temporary)
        async with forked.start(command, tmp_path / "second", environment) as second:
            await second.url()
            folders["both"] = files_in(temporary)
            await second.end()
        await first.end()
    assert {name: len(each) for name, each in folders.items()} == {
        "killed": 1,
        "first": 1,
        "both": 2,
    }
    assert folders["killed"] != folders["first"]
    assert set(folders["first"]) < set(folders["both"])
    assert files_in(temporary) == []


async def test_a_demo_that_cannot_invite_ends_in_one_line(tmp_path: Path) -> None:
    """What it has begun is ended before, so that nothing else is logged."""
    command = ["sh", "-c", 'exec "$0" "$@" >/dev/full', *EXPORTER, "demo", ANY_PORT]
    code, process = await run(command, tmp_path)
    lines = process.output.decode().splitlines()
    assert code == 1
    assert [line for line in lines if "event=started" not in line] == [
        "error: the output cannot be written: No space left on device"
    ]
