"""Applying the listing of a long history to the ledger, parsing not included."""

import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from exporter.clock import SystemClock
from exporter.ledger import Ledger
from exporter.model import LivySession, Usage
from tests.bench.rows import Row

SESSIONS = 100_000
CHANGES = 50
RUNS = 7
BATCH_ROWS = 2000
"""As many as the daemon counts in one transaction."""
GATEWAY = ("w-7f3c5a1b9d2e4a60", "lc-etl4dzdiubu73w2y")


def rows() -> Iterator[Row]:
    """Measure the first listing, and then later ones with a few changes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        opened: list[sqlite3.Connection] = []

        def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:  # noqa: ANN401
            opened.append(sqlite3.connect(*args, **kwargs))
            return opened[-1]

        ledger = Ledger(path, clock=SystemClock(), birth_hold=90, connect=connect)
        with closing(ledger):
            listing = history()
            first = _seconds(ledger, listing)
            seconds, written = [], 0
            for _ in range(RUNS):
                listing = _changed(listing)
                before = opened[0].total_changes
                seconds.append(_seconds(ledger, listing))
                written = max(written, opened[0].total_changes - before)
        size = path.stat().st_size
    seconds.sort()
    yield Row(f"first listing of {SESSIONS:,} Livy sessions", f"{first:.2f} s", "CPU, all written")
    yield Row(
        f"listing of {SESSIONS:,} known sessions, {CHANGES} changed",
        f"{seconds[len(seconds) // 2]:.2f} s",
        f"CPU, median of {RUNS}; one transaction, {written} rows written",
    )
    yield Row(f"ledger of {SESSIONS:,} sessions", f"{size / 1e6:.0f} MB", "the file")


def history() -> list[LivySession]:
    """Make a history of ended sessions."""
    return [
        LivySession(
            f"livy-{n:016x}",
            "terminated",
            name=f"job-{n}",
            queue=f"queue-{n % 10}",
            proxy_user=f"user-{n % 50}",
            created_ms=1_700_000_000_000 + n * 10_000,
            usage=Usage(n * 1_000_000, n * 4, n * 16_384),
        )
        for n in range(SESSIONS)
    ]


def _changed(listing: Sequence[LivySession]) -> list[LivySession]:
    """Parse the listing anew, so to say, with growth here and there."""
    step = len(listing) // CHANGES
    return [
        replace(each, usage=_grown(each.usage) if n % step == 0 else replace(each.usage))
        for n, each in enumerate(listing)
    ]


def _grown(usage: Usage) -> Usage:
    return replace(usage, nano_cu_hours=(usage.nano_cu_hours or 0) + 1_000_000)


def _seconds(ledger: Ledger, listing: Sequence[LivySession]) -> float:
    begin = time.process_time()
    scan = ledger.open_scan(GATEWAY)
    for start in range(0, len(listing), BATCH_ROWS):
        scan.add(listing[start : start + BATCH_ROWS])
    scan.finish()
    return time.process_time() - begin
