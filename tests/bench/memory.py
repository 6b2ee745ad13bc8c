"""What the idle daemon holds in memory."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from tests.bench.daemons import daemon, polled
from tests.bench.rows import Row

POLLS = 20


def rows() -> Iterator[Row]:
    """Measure the process after some polls of the fleet of the demo."""
    megabytes = asyncio.run(_resident())
    yield Row(
        "memory of the daemon (RSS)",
        f"{megabytes:.0f} MB",
        f"after {POLLS} polls and more of the demo's fleet: 5 targets, about 940 sessions",
    )


async def _resident() -> float:
    async with daemon() as (process, port):
        await polled(port, POLLS)
        return await asyncio.to_thread(_resident_of, process.running.pid)


def _resident_of(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024 / 1e6
