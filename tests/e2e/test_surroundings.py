"""Clocks, time zones, kernels and variables that are not what a program expects."""

import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exporter.demo import faults, serve
from tests.support.exporters import ANY_PORT, cloud_of, fetch, files_in, serve_command
from tests.support.namespaces import in_own_network
from tests.support.processes import CREDENTIAL, EXPORTER, Process, eventually, run, start, until
from tests.support.repository import ROOT
from tests.support.tools import lacking
from tests.support.worlds import busy_world

pytestmark = [pytest.mark.anyio, pytest.mark.process]

DEMO = [*EXPORTER, "demo", ANY_PORT, "--poll.interval=1s"]
DAY = 86400
KERNEL_WITHOUT: list[str | Path] = [sys.executable, ROOT / "tests" / "support" / "kernel.py"]


def faketime() -> Path:
    """Find the library that fakes the wall clock of a program with threads."""
    found = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        lacking("libfaketime is not installed (.ci/run installs it)")
    return found[0]


def resident_mib(process: Process) -> float:
    """Return the memory of a process."""
    pages = int(Path(f"/proc/{process.running.pid}/statm").read_text().split()[1])
    return pages * 4096 / (1 << 20)


@pytest.mark.parametrize("days", [3650, -3650])
async def test_a_step_of_the_wall_clock_costs_nothing(tmp_path: Path, days: int) -> None:
    """Each job runs once, at once; the cost does not grow with the step."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environment = {
        "LD_PRELOAD": str(faketime()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    async with start(DEMO, tmp_path, environment) as process:
        url = await process.url()

        async def polls() -> float:
            page = await fetch(url)
            return sum(page.values("exporter_polls_total").values())

        async def has_polled() -> bool:
            return await polls() >= 8

        await eventually(has_polled)
        memory = resident_mib(process)
        clock.write_text(f"{days * DAY:+d}")
        before = await polls()

        async def goes_on() -> bool:
            return await polls() > before + 16

        await eventually(goes_on, seconds=15)
        assert resident_mib(process) < memory + 20
        code, _ = await process.end()
    assert code == 0
    assert b"Traceback" not in process.output


@pytest.mark.parametrize(
    "environment",
    [
        {"TZ": "CST-8"},
        {"TZ": "Asia/Shanghai", "PYTHONTZPATH": ""},
        {"TZ": ":/nowhere/zone"},
        {"TZ": "No/Where"},
        {"TZ": ""},
    ],
    ids=str,
)
async def test_local_time_is_not_needed(tmp_path: Path, environment: dict[str, str]) -> None:
    """Neither a time zone that only the C library knows, nor one whose data is not installed."""
    async with start(DEMO, tmp_path, environment) as process:
        await process.url()
        code, _ = await process.end()
    assert (code, b"Zone" in process.output) == (0, False)


@pytest.mark.parametrize(
    "variables",
    [
        {"PROMETHEUS_MULTIPROC_DIR": "{folder}/missing"},
        {"PROMETHEUS_MULTIPROC_DIR": "{folder}/shared"},
        {"prometheus_multiproc_dir": "{folder}/shared"},
        {"WEB_CONCURRENCY": "auto"},
    ],
    ids=str,
)
async def test_variables_of_other_programs_have_no_effect(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    """They are set for a whole machine or pod, and meant for a service that runs beside."""
    shared = tmp_path / "shared"
    shared.mkdir()
    environment = {name: text.format(folder=tmp_path) for name, text in variables.items()}
    async with start(DEMO, tmp_path / "demo", environment) as process:
        page = await fetch(await process.url())
        assert page.has("exporter_build_info")
        code, _ = await process.end()
    assert code == 0
    assert files_in(shared) == []


@asynccontextmanager
async def listening(
    folder: Path, address: str, *prefix: str | Path
) -> AsyncIterator[tuple[Process, str]]:
    """Run the demo on all interfaces of a network of its own; give the port."""
    command: Sequence[str | Path] = [*prefix, *EXPORTER, "demo", f"--web.listen-address={address}"]
    # Behind the guard of the tests nothing may listen on all interfaces; this network has one.
    environment = {"PYTHONPATH": str(ROOT)}
    async with start(in_own_network(command), folder, environment) as process:
        yield process, await process.url()


GET = """
import socket, sys
from urllib.request import urlopen
for url in sys.argv[1:]:
    print(urlopen(url + "/-/healthy", timeout=5).status)
"""


async def answers(process: Process, folder: Path, *urls: str) -> list[str]:
    """Ask from within the network of `process`; give the status of each answer."""
    inside = ["nsenter", "--net", f"--target={process.running.pid}", sys.executable, "-c", GET]
    _, asked = await run([*inside, *urls], folder, {"PYTHONPATH": "", "no_proxy": "*"})
    return asked.output.decode().split()


@pytest.mark.parametrize("address", [":9825", "[::]:9825", "[0:0:0:0:0:0:0:0]:9825"])
async def test_all_interfaces_means_both_families(tmp_path: Path, address: str) -> None:
    """IPv4 and IPv6, as with exporters in Go; the address in the log answers."""
    async with listening(tmp_path, address) as (process, url):
        urls = (url, "http://127.0.0.1:9825", "http://[::1]:9825")
        assert await answers(process, tmp_path / "get", *urls) == ["200"] * 3


@pytest.mark.parametrize("address", [":9825", "[::]:9825", "0.0.0.0:9825"])
async def test_a_kernel_without_ipv6_is_enough(tmp_path: Path, address: str) -> None:
    """All interfaces are those that there are."""
    async with listening(tmp_path, address, *KERNEL_WITHOUT, "ipv6") as (process, url):
        assert await answers(process, tmp_path / "get", url) == ["200"]


async def test_an_address_that_needs_ipv6_says_so(tmp_path: Path) -> None:
    """One line, with the reason."""
    command = [*KERNEL_WITHOUT, "ipv6", *EXPORTER, "demo", "--web.listen-address=[::1]:0"]
    code, process = await run(command, tmp_path)
    assert code == 2
    assert process.output.decode() == (
        "error: cannot listen on [::1]:0: Address family not supported by protocol;"
        " choose another address with --web.listen-address\n"
    )


@pytest.mark.parametrize("command", ["serve", "demo", "once", "check"])
async def test_a_limit_on_threads_is_named(tmp_path: Path, command: str) -> None:
    """It is no bug of the exporter, and the line says where it can be raised."""
    flags = ("--region-id=cn-hangzhou", "--api.endpoint=http://127.0.0.1:9")
    arguments = [*KERNEL_WITHOUT, "threads", *EXPORTER, command, *flags]
    code, process = await run(arguments, tmp_path)
    assert code == 1
    (line,) = process.stderr.read_text().splitlines()
    assert line.startswith("error: cannot start a thread: ")
    for limit in ("TasksMax=", "--pids-limit", "ulimit -u", "ulimit -v", "ulimit -s"):
        assert limit in line


LIMITED_LATER = """
import signal, sys
from exporter.cli import main
from tests.support import kernel

signal.signal(signal.SIGWINCH, lambda *_: kernel.install(kernel.filters("threads")))
sys.exit(main(sys.argv[1:]))
"""


async def test_a_daemon_polls_and_stops_without_new_threads(tmp_path: Path) -> None:
    """Another process may use up the limit; only a new credential has to wait, and says why."""
    cloud = cloud_of(busy_world())
    async with serve(cloud.app) as endpoint:
        flags = serve_command(cloud.world, endpoint, "serve", ANY_PORT)[len(EXPORTER) :]
        command = [sys.executable, "-c", LIMITED_LATER, *flags]
        async with start(command, tmp_path, CREDENTIAL) as process:
            url = await process.url()

            async def succeeds() -> bool:
                page = await fetch(url)
                return set(page.values("exporter_target_up").values()) == {1.0}

            await eventually(succeeds)
            process.running.send_signal(signal.SIGWINCH)
            calls = len(cloud.calls)
            await until(lambda: len(cloud.calls) > calls + 20, "it polls", process)
            assert await succeeds()
            cloud.faults.add(faults.EXPIRED_TOKEN)
            await until(lambda: b"reason=credential" in process.output, "it says why", process)
            code, _ = await process.end()
    output = process.output.decode()
    assert code == 0
    assert 'error="cannot start a thread: a limit on threads or on memory' in output
    assert "Traceback" not in output
    assert "bug" not in output
