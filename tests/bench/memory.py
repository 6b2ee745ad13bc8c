"""What the idle daemon and `reconcile` hold in memory."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.daemons import daemon, polled
from tests.bench.rows import Row
from tests.support.long_gateway import TOTAL, fast_cloud
from tests.support.processes import CREDENTIAL, EXPORTER

POLLS = 20


def rows() -> Iterator[Row]:
    """Measure the process after some polls of the fleet of the demo."""
    megabytes = asyncio.run(_resident())
    yield Row(
        "memory of the daemon (RSS)",
        f"{megabytes:.0f} MB",
        f"after {POLLS} polls and more of the demo's fleet: 5 targets, about 940 sessions",
    )
    yield Row(
        "memory of `reconcile` (most RSS)",
        f"{_most_of_reconcile():.0f} MB",
        f"a gateway with {TOTAL:,} sessions",
    )


def _most_of_reconcile() -> float:
    with fast_cloud() as endpoint, tempfile.TemporaryDirectory() as folder:
        _most_of("once", endpoint, folder)
        return _most_of("reconcile", endpoint, folder)


def _most_of(command: str, endpoint: str, folder: str) -> float:
    """Run a command on one gateway; return the most memory that it held, in MB."""
    settings = {
        "api.endpoint": endpoint,
        "api.max-requests-per-second": "1000",
        "region-id": "cn-hangzhou",
        "workspace-ids": "w-1",
        "livy-compute-ids": "lc-1",
        "session-clusters.enabled": "false",
        "ledger.path": f"{folder}/ledger.db",
    }
    flags = [f"--{name}={value}" for name, value in settings.items()]
    with subprocess.Popen(
        [*EXPORTER, command, *flags],
        env={**os.environ, **CREDENTIAL},
        stdout=subprocess.DEVNULL,
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024 / 1e6


async def _resident() -> float:
    async with daemon() as (process, port):
        await polled(port, POLLS)
        return await asyncio.to_thread(_resident_of, process.running.pid)


def _resident_of(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024 / 1e6
