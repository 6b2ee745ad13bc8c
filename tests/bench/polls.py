"""Polls of a history of 100,000 sessions: the first one, short ones, and what they leave behind."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx

from exporter.api import PAGE_SIZE, Credential, StaticCredentials
from exporter.app.build import Exporter, build
from exporter.clock import SystemClock
from exporter.settings import Settings
from tests.bench.rows import Row
from tests.processes import CREDENTIAL, EXPORTER, free_port

PAGES = 1000
TOTAL = PAGES * PAGE_SIZE
SHORT_POLLS = 20

CREDENTIALS = StaticCredentials(Credential("key", "secret", "", "bench"))


def rows() -> Iterator[Row]:
    """Measure walks, short polls, and then a process with all of it in memory."""
    with _fast_cloud(50, 300) as endpoint:
        json_cpu, http_cpu = asyncio.run(_yardsticks(endpoint))
        yield from asyncio.run(_polls(endpoint, json_cpu, http_cpu))
    with _fast_cloud(50, TOTAL) as endpoint:
        yield asyncio.run(_scattered(endpoint))
    with _fast_cloud(5000, 5000) as endpoint:
        yield from _process(endpoint)


@contextlib.contextmanager
def _fast_cloud(open_rows: int, among: int) -> Iterator[str]:
    arguments = [str(PAGES), str(open_rows), str(among)]
    command = [sys.executable, "-m", "tests.bench.fast_cloud", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def _yardsticks(endpoint: str) -> tuple[float, float]:
    """Give the CPU of `json.loads` of all pages, and of as many bare requests."""
    async with httpx.AsyncClient() as http:
        begin = time.process_time()
        bodies = [(await http.get(f"{endpoint}/?pageNum={n + 1}")).content for n in range(PAGES)]
        http_cpu = time.process_time() - begin
    begin = time.process_time()
    for body in bodies:
        json.loads(body)
    return time.process_time() - begin, http_cpu


@contextlib.asynccontextmanager
async def _exporter(endpoint: str) -> AsyncIterator[Exporter]:
    settings = Settings.model_validate(
        {
            "region_id": "cn-hangzhou",
            "workspace_ids": ["w-1"],
            "livy_compute_ids": ["lc-1"],
            "session_clusters": {"enabled": False},
            "api": {"endpoint": endpoint, "max_requests_per_second": 1000},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        async with httpx.AsyncClient() as http:
            exporter = build(
                settings,
                clock=SystemClock(),
                http=http,
                credentials=lambda _role_arn: CREDENTIALS,
                ledger_path=Path(folder) / "ledger.db",
                birth_hold=90,
            )
            yield exporter
            exporter.ledger.close()


async def _poll(exporter: Exporter) -> tuple[float, float, int]:
    """Poll without a publish; give seconds, seconds of CPU, and requests."""
    (job,) = exporter.jobs
    wall, cpu, requests = time.perf_counter(), time.process_time(), job.requests()
    result = await job.source.poll(lambda *_: None)
    assert result.ledger_error is None
    return (
        time.perf_counter() - wall,
        time.process_time() - cpu,
        job.requests() - requests,
    )


async def _polls(endpoint: str, json_cpu: float, http_cpu: float) -> list[Row]:
    allowed = 4 * json_cpu + http_cpu
    async with _exporter(endpoint) as exporter, httpx.AsyncClient() as http:
        wall, cpu, requests = await _poll(exporter)
        found = []
        for _ in range(SHORT_POLLS):
            await http.get(f"{endpoint}/advance")
            found.append(await _poll(exporter))
    return [
        Row(
            f"complete walk of {TOTAL:,} sessions: CPU",
            f"{cpu / allowed:.2f} of what is allowed",
            f"{cpu:.1f} s; {requests:,} requests in {wall:.1f} s; allowed are 4 times json.loads"
            f" ({json_cpu:.2f} s) and {PAGES:,} bare httpx requests ({http_cpu:.2f} s)",
        ),
        Row(
            "poll in the steady state, 50 open among the newest 300",
            f"{max(each[2] for each in found)} requests",
            f"at most, of {SHORT_POLLS} polls with rolling retention; allowed are 6",
        ),
        Row(
            "the same: CPU",
            f"{sorted(each[1] for each in found)[SHORT_POLLS // 2] * 1000:.0f} ms",
            "median, without the publish; allowed are 50 ms",
        ),
    ]


async def _scattered(endpoint: str) -> Row:
    async with _exporter(endpoint) as exporter, httpx.AsyncClient() as http:
        await _poll(exporter)
        await http.get(f"{endpoint}/advance")
        _, cpu, requests = await _poll(exporter)
    return Row(
        "poll with 50 open sessions scattered over the history",
        f"{requests} requests",
        f"allowed are their 50 pages and 4; {cpu * 1000:.0f} ms of CPU",
    )


def _process(endpoint: str) -> Iterator[Row]:
    """Run the daemon through a complete walk, and start it again with the ledger of that."""
    with tempfile.TemporaryDirectory() as folder:
        with _daemon(endpoint, Path(folder)) as (process, url):
            _wait_for(url, b"exporter_target_up")
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
            f"after a complete walk, at most {sizes['VmHWM:']:.0f} MB; allowed are 160 MB",
        )
        begin = time.monotonic()
        with _daemon(endpoint, Path(folder)) as (_, url):
            _wait_for(url, b"exporter_build_info")
            seconds = time.monotonic() - begin
        yield Row(
            f"start to first answered scrape, ledger of {TOTAL:,} sessions",
            f"{seconds:.2f} s",
            "allowed are 1.5 s",
        )


@contextlib.contextmanager
def _daemon(endpoint: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    command = [
        *EXPORTER,
        "--region-id=cn-hangzhou",
        "--workspace-ids=w-1",
        "--livy-compute-ids=lc-1",
        "--session-clusters.enabled=false",
        f"--api.endpoint={endpoint}",
        "--api.max-requests-per-second=1000",
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


def _wait_for(url: str, text: bytes) -> None:
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if text in httpx.get(url, timeout=5).content:
                return
        time.sleep(0.01)
