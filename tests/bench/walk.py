"""A complete walk of a long history, and what the rest of a poll costs on top of it."""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx

from exporter.api import (
    PAGE_SIZE,
    Budget,
    Client,
    Credential,
    NullMeter,
    StaticCredentials,
    walk_pages,
)
from exporter.app.build import build
from exporter.clock import SystemClock
from exporter.exposition import Form, PageFormat
from exporter.settings import Settings
from tests.bench.rows import Row
from tests.lag import Lag, watched

PAGES = 1000

CREDENTIALS = StaticCredentials(Credential("key", "secret", "", "bench"))


def rows() -> Iterator[Row]:
    """Measure a walk alone, then whole polls with the ledger on this machine's disk."""
    with fast_cloud(PAGES) as endpoint:
        wall, cpu, lag = asyncio.run(walk(endpoint, PAGES))
        yield Row(
            f"walk of {PAGES:,} pages ({PAGES * PAGE_SIZE:,} sessions)",
            f"{PAGES / wall:.0f} pages/s",
            f"one request at a time; our own CPU is {cpu / wall:.0%} of the time, "
            "the cloud only copies bytes",
        )
        yield Row("longest block of the event loop in that walk", _milliseconds(lag), "")
        for name, seconds, lag in asyncio.run(_polls(endpoint)):
            yield Row(
                f"{name} of the same, with ledger and page",
                f"{PAGES / seconds:.0f} pages/s",
                f"{seconds:.1f} s; the event loop was blocked for {_milliseconds(lag)} at most",
            )


@contextlib.contextmanager
def fast_cloud(pages: int) -> Iterator[str]:
    """Run a cloud as a process of its own, with a gateway that has so many pages of history."""
    command = [sys.executable, "-m", "tests.bench.fast_cloud", str(pages)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _milliseconds(lag: Lag) -> str:
    return f"{lag.wall * 1000:.0f} ms"


async def walk(endpoint: str, pages: int) -> tuple[float, float, Lag]:
    """Read a history; give the time it took, our own computing time, and the loop's lag."""
    async with httpx.AsyncClient() as http:
        client = Client(
            http,
            account="",
            region_id="cn-hangzhou",
            endpoint=endpoint,
            credentials=CREDENTIALS,
            meter=NullMeter(),
            clock=SystemClock(),
            budget=Budget(SystemClock(), 100_000),
        )
        wall, cpu = time.perf_counter(), time.process_time()
        async with watched() as lag:
            listing = await walk_pages(
                partial(client.livy_sessions_page, "w-1", "lc-1"),
                size=PAGE_SIZE,
                key=lambda row: row.session_id,
            )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert len(listing.records) == pages * PAGE_SIZE
    return wall, cpu, lag


async def _polls(endpoint: str) -> list[tuple[str, float, Lag]]:
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
            (job,) = exporter.jobs
            found = []
            for name in ("first poll", "second poll"):
                begin = time.perf_counter()
                async with watched() as lag:
                    await exporter.polling.poll(job.source, job.requests)
                found.append((name, time.perf_counter() - begin, lag))
            exporter.answers.catch_up()
            page = exporter.answers.answer(Form(PageFormat.TEXT, is_gzipped=False))
            assert b"exporter_target_up" in page.read()
            exporter.ledger.close()
    return found
