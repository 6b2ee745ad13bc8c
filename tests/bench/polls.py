"""Short polls of long histories, and a process that remembers 100,000 sessions."""

import asyncio
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import httpx

from exporter.api import PAGE_SIZE
from tests.bench.rows import Row
from tests.support.long_gateway import TOTAL, exporter, fast_cloud, poll
from tests.support.processes import CREDENTIAL, EXPORTER, free_port

SHORT_POLLS = 20

HISTORIES = (10_000, TOTAL, 300_000)
"""Lengths of histories that cost the same; the first is the yardstick."""


def rows() -> Iterator[Row]:
    """Measure short polls, and then a process with all of it in memory."""
    polls = {sessions: _steady(sessions) for sessions in HISTORIES}
    yield Row(
        "poll in the steady state, 50 open among the newest 300",
        f"{max(requests for _, requests in polls.values())} requests",
        f"at most, of {SHORT_POLLS} polls with rolling retention; allowed are 6",
    )
    for sessions, (cpu, _) in polls.items():
        yield Row(
            f"the same with {sessions:,} sessions listed: CPU",
            f"{cpu * 1000:.0f} ms, {cpu / polls[HISTORIES[0]][0]:.2f} times",
            f"median, without the publish; allowed are 1.2 times that of {HISTORIES[0]:,}",
        )
    with fast_cloud(50, TOTAL) as endpoint:
        yield asyncio.run(_scattered(endpoint))
    with fast_cloud(5000, 5000) as endpoint:
        yield from _process(endpoint)


def _steady(sessions: int) -> tuple[float, int]:
    """Return seconds of CPU of a usual poll, and the requests of the one with most."""
    with fast_cloud(50, 300, pages=sessions // PAGE_SIZE) as endpoint:
        polls = asyncio.run(_polls(endpoint))
    return median(cpu for _, cpu, _ in polls), max(requests for _, _, requests in polls)


async def _polls(endpoint: str) -> list[tuple[float, float, int]]:
    async with exporter(endpoint) as built, httpx.AsyncClient() as http:
        await poll(built)
        found = []
        for _ in range(SHORT_POLLS):
            await http.get(f"{endpoint}/advance")
            found.append(await poll(built))
        return found


async def _scattered(endpoint: str) -> Row:
    async with exporter(endpoint) as built, httpx.AsyncClient() as http:
        await poll(built)
        await http.get(f"{endpoint}/advance")
        _, cpu, requests = await poll(built)
    return Row(
        "poll with 50 open sessions scattered over the history",
        f"{requests} requests",
        f"allowed are their 50 pages and 4; {cpu * 1000:.0f} ms of CPU",
    )


def _process(endpoint: str) -> Iterator[Row]:
    """Run the daemon through a full scan, and start it again with the ledger of that."""
    with tempfile.TemporaryDirectory() as folder:
        with long_daemon(endpoint, Path(folder)) as (process, url):
            wait_for(url, b"exporter_target_up")
            time.sleep(3)
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            sizes = {
                line.split()[0]: int(line.split()[1]) * 1024 / 1e6
                for line in status.splitlines()
                if line.startswith(("VmRSS", "VmHWM"))
            }
        yield Row(
            f"memory with {TOTAL:,} remembered sessions, 5,000 of them on the page",
            f"{sizes['VmRSS:']:.0f} MB",
            f"after a full scan, at most {sizes['VmHWM:']:.0f} MB; allowed are 160 MB",
        )
        begin = time.monotonic()
        with long_daemon(endpoint, Path(folder)) as (_, url):
            wait_for(url, b"exporter_build_info")
            seconds = time.monotonic() - begin
        yield Row(
            f"start to first answered scrape, ledger of {TOTAL:,} sessions",
            f"{seconds:.2f} s",
            "allowed are 1.5 s",
        )


@contextlib.contextmanager
def long_daemon(
    endpoint: str, folder: Path, *, rate: int = 1000
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run the daemon with a ledger in `folder`; give the process, and where its page is."""
    port = free_port()
    command = [
        *EXPORTER,
        "--region-id=cn-hangzhou",
        "--workspace-ids=w-1",
        "--livy-compute-ids=lc-1",
        "--session-clusters.enabled=false",
        f"--api.endpoint={endpoint}",
        f"--api.max-requests-per-second={rate}",
        "--poll.interval=2s",
        f"--ledger.path={folder / 'ledger.db'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    environment = {**os.environ, **CREDENTIAL, "HOME": str(folder)}
    with subprocess.Popen(command, env=environment) as process:
        try:
            yield process, f"http://127.0.0.1:{port}/metrics"
        finally:
            process.terminate()


def wait_for(url: str, text: bytes) -> None:
    """Wait until a text is on the page."""
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if text in httpx.get(url, timeout=5).content:
                return
        time.sleep(0.01)
