"""Daemons to measure: the real process, polling a simulated cloud in this one."""

import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from exporter.demo import start_demo
from tests.support.harness import targets_of
from tests.support.processes import CREDENTIAL, EXPORTER, Process, free_port, start

_TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def daemon() -> AsyncIterator[tuple[Process, int]]:
    """Run `serve` against a simulated cloud; give the process, just started, and its port."""
    port = free_port()
    async with start_demo() as cloud:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                *EXPORTER,
                f"--targets={json.dumps(targets_of(cloud.cloud.world))}",
                f"--api.endpoint={cloud.endpoint}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--poll.interval=1s",
            ]
            async with start(command, Path(folder), CREDENTIAL) as process:
                yield process, port
                await process.end()


async def scrape(port: int) -> bytes:
    """Ask for the page until it is answered."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.005)
            continue
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        page = await reader.read()
        writer.close()
        return page


async def polled(port: int, times: int) -> None:
    """Wait until each of the sources has polled all of its targets so often."""
    deadline = time.monotonic() + 60
    counted = 0.0
    while counted < times and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        page = (await scrape(port)).decode()
        lines = [line for line in page.splitlines() if "exporter_polls_total{" in line]
        counted = min((float(line.split()[-1]) for line in lines), default=0)


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
