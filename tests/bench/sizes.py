"""What the whole daemon needs, by the number of sessions: what a machine for it must have."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.daemons import polled, scrape
from tests.bench.rows import Row
from tests.support.pages import Page
from tests.support.processes import CREDENTIAL, EXPORTER, free_port, start

SIZES = ((1_000, 50), (10_000, 500), (100_000, 5_000))
"""Sessions that are listed, and how many of them run."""
POLLS = 5


def rows() -> Iterator[Row]:
    """Measure a daemon with one gateway, through its first full scan and some polls more."""
    for sessions, live in SIZES:
        peak, ledger, page, requests = asyncio.run(_needs(sessions, live))
        yield Row(
            f"{sessions:,} sessions, {live:,} of them live",
            f"{peak:.0f} MB of memory at most, ledger {ledger:.1f} MB",
            f"page {page:.1f} MB, {requests:.0f} requests in a later poll",
        )


async def _needs(sessions: int, live: int) -> tuple[float, float, float, float]:
    """Return MB of memory at the peak, of the ledger, of the page, and requests in a poll."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, _cloud(sessions, live) as cloud:
        assert cloud.stdout is not None
        target = {"region_id": "cn-a", "workspace_id": "w-1", "livy_compute_ids": ["lc-1"]}
        command = [
            *EXPORTER,
            f"--targets={json.dumps([target])}",
            f"--api.endpoint=http://127.0.0.1:{cloud.stdout.readline().decode().strip()}",
            "--api.max-requests-per-second=1000",
            "--session-clusters.enabled=false",
            f"--web.listen-address=127.0.0.1:{port}",
            "--poll.interval=1s",
        ]
        async with start(command, Path(folder), CREDENTIAL) as process:
            await polled(port, POLLS)
            answer = await scrape(port)
            page = Page.from_text(answer.partition(b"\r\n\r\n")[2].decode())
            peak = _peak_of(process.running.pid)
            await process.end()
        cloud.terminate()
        ledger = (Path(folder) / "emr-exporter.db").stat().st_size
        requests = page.value("exporter_target_last_poll_requests")
        return peak / 1e6, ledger / 1e6, len(page.text) / 1e6, requests


def _cloud(sessions: int, live: int) -> subprocess.Popen[bytes]:
    """Start the fast cloud; every other of the newest sessions is live."""
    sizes = (sessions // 100, live, 2 * live)
    command = [sys.executable, "-m", "tests.support.fast_cloud", *map(str, sizes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _peak_of(pid: int) -> int:
    """Return the most bytes of memory that a process has held (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
