"""A gateway with a long history on a cloud that is faster than any client, and what reads it."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import httpx

from exporter.api import (
    PAGE_SIZE,
    Client,
    RateLimiter,
    StaticCredentials,
    scan_pages,
)
from exporter.app.build import Exporter, build
from exporter.clock import SystemClock
from exporter.ledger import Postgres
from exporter.settings import Settings
from tests.support.api_clients import CREDENTIAL, client_of
from tests.support.harness import NO_TLS

PAGES = 1000
TOTAL = PAGES * PAGE_SIZE


@contextlib.contextmanager
def fast_cloud(open_rows: int = 0, among: int = 0, *, pages: int = PAGES) -> Iterator[str]:
    """Run the cloud as a process of its own; give its endpoint.

    Of the newest `among` sessions, `open_rows` run.
    """
    arguments = [str(pages), str(open_rows), str(among)]
    command = [sys.executable, "-m", "tests.support.fast_cloud", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@contextlib.asynccontextmanager
async def exporter(
    endpoint: str,
    *,
    full_walk_interval: str = "6h",
    rate: int = 1000,
    ledger: Postgres | None = None,
) -> AsyncIterator[Exporter]:
    """Build an exporter that polls the gateway alone.

    Its ledger is on this machine's disk where it is not in PostgreSQL; `rate` is its budget, in
    requests a second.
    """
    settings = Settings.model_validate(
        {
            "region_id": "cn-hangzhou",
            "workspace_ids": ["w-1"],
            "livy_compute_ids": ["lc-1"],
            "session_clusters": {"enabled": False},
            "livy": {"full_walk_interval": full_walk_interval},
            "api": {"endpoint": endpoint, "max_requests_per_second": rate},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        async with httpx.AsyncClient(verify=NO_TLS) as http:
            built = build(
                settings,
                clock=SystemClock(),
                http=http,
                credentials=lambda _role_arn: StaticCredentials(CREDENTIAL),
                ledger_location=ledger or Path(folder) / "ledger.db",
                birth_hold=90,
            )
            yield built
            built.ledger.close()


@contextlib.asynccontextmanager
async def client(endpoint: str) -> AsyncIterator[Client]:
    """Make a client that asks as fast as it can."""
    clock = SystemClock()
    async with httpx.AsyncClient(verify=NO_TLS) as http:
        yield client_of(http, endpoint, clock, limiter=RateLimiter(clock, 100_000))


async def read_alone(reader: Client, pages: int = PAGES) -> tuple[float, float]:
    """Read the history by the client alone; give seconds, and seconds of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    sessions = await scan_pages(
        partial(reader.livy_sessions_page, "w-1", "lc-1"),
        size=PAGE_SIZE,
        key=lambda row: row.session_id,
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert len(sessions) == pages * PAGE_SIZE
    return wall, cpu


async def poll(built: Exporter) -> tuple[float, float, int]:
    """Poll without a publish; give seconds, seconds of CPU, and requests."""
    (job,) = built.targets.jobs.values()
    wall, cpu, requests = time.perf_counter(), time.process_time(), job.requests()
    result = await job.source.poll(lambda *_: None)
    assert result.ledger_error is None
    return time.perf_counter() - wall, time.process_time() - cpu, job.requests() - requests
