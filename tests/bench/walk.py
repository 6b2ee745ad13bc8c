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

PAGES = 1000

CREDENTIALS = StaticCredentials(Credential("key", "secret", "", "bench"))


def rows() -> Iterator[Row]:
    """Measure a walk alone, then whole polls with the ledger on this machine's disk."""
    with _fast_cloud() as endpoint:
        wall, cpu = asyncio.run(_walk(endpoint))
        yield Row(
            f"walk of {PAGES:,} pages ({PAGES * PAGE_SIZE:,} sessions)",
            f"{PAGES / wall:.0f} pages/s",
            f"one request at a time; our own CPU is {cpu / wall:.0%} of the time, "
            "the cloud only copies bytes",
        )
        for name, seconds in asyncio.run(_polls(endpoint)):
            yield Row(
                f"{name} of the same, with ledger and page",
                f"{PAGES / seconds:.0f} pages/s",
                f"{seconds:.1f} s",
            )


@contextlib.contextmanager
def _fast_cloud() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bench.fast_cloud", str(PAGES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def _walk(endpoint: str) -> tuple[float, float]:
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
        listing = await walk_pages(
            partial(client.livy_sessions_page, "w-1", "lc-1"),
            size=PAGE_SIZE,
            key=lambda row: row.session_id,
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert len(listing.records) == PAGES * PAGE_SIZE
    return wall, cpu


async def _polls(endpoint: str) -> list[tuple[str, float]]:
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
                await exporter.polling.poll(job.source, job.requests)
                found.append((name, time.perf_counter() - begin))
            exporter.answers.catch_up()
            page = exporter.answers.answer(Form(PageFormat.TEXT, is_gzipped=False))
            assert b"exporter_target_up" in page.read()
            exporter.ledger.close()
    return found
