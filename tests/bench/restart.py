"""A restart with a history of 100,000 sessions in the ledger, at the default request budget.

To its gauges with what the ledger knows, and as it was without: by a complete scan.
"""

import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.bench.daemons import cpu_of
from tests.bench.polls import long_daemon, wait_for
from tests.bench.rows import Row
from tests.support.long_gateway import TOTAL, fast_cloud
from tests.support.pages import Page

_RATE = 10
"""`api.max-requests-per-second` of a daemon that is restarted."""

_GAUGES = b"emr_serverless_spark_livy_sessions{"
_FORGET_ORDER = "UPDATE gateway SET listing_order = ''"


def rows() -> Iterator[Row]:
    """Measure a restart, and one with a ledger that has forgotten the order of the listing."""
    with fast_cloud(50, 300) as endpoint, tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger.db"
        with long_daemon(endpoint, Path(folder)) as (_, url):
            wait_for(url, _GAUGES)
        seconds, cpu, requests = _restarted(endpoint, Path(folder))
        yield Row(
            f"restart with {TOTAL:,} sessions in the ledger: to the gauges of the gateway",
            f"{seconds:.1f} s, {requests:.0f} requests",
            f"{cpu:.1f} s of CPU; 50 run, {_RATE} requests/s; allowed are 5 s and 60 requests",
        )
        with contextlib.closing(sqlite3.connect(ledger)) as db, db:
            db.execute(_FORGET_ORDER)
        seconds, cpu, requests = _restarted(endpoint, Path(folder))
        yield Row(
            "the same without the order of the listing: a full scan",
            f"{seconds:.1f} s, {requests:.0f} requests",
            f"{cpu:.1f} s of CPU; as the first start after an upgrade",
        )


def _restarted(endpoint: str, folder: Path) -> tuple[float, float, float]:
    """Start the daemon; give seconds, and seconds of CPU, to its gauges, and its requests."""
    begin = time.monotonic()
    with long_daemon(endpoint, folder, rate=_RATE) as (process, url):
        wait_for(url, _GAUGES)
        seconds, cpu = time.monotonic() - begin, cpu_of(process.pid)
        page = Page.from_text(httpx.get(url).text)
    return seconds, cpu, page.value("exporter_target_last_poll_requests")
