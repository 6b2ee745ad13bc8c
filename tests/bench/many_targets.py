"""The whole daemon with many gateways and workspaces: what a poll and a scrape cost then.

`python -m tests.bench many_targets`; with COUNTS="10 100" in the environment only those.
"""

import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.daemons import cpu_of
from tests.bench.rows import Row
from tests.support.fleet_cloud import livy_compute_id, workspace_id
from tests.support.pages import Page
from tests.support.processes import CREDENTIAL, EXPORTER, free_port

_COUNTS = tuple(map(int, os.environ.get("COUNTS", "10 100 1000").split()))
_REGIONS = 15
"""Gateways are spread over so many regions, each with a request budget of its own."""

_INTERVAL = 30
_WARM_UP_SECONDS = 75
"""Two polls of everything; the birth hold of 90 s ends while it is measured."""

_SECONDS = 90
_HEADERS = {"Accept-Encoding": "gzip", "X-Prometheus-Scrape-Timeout-Seconds": "10"}


@dataclass(frozen=True)
class _Measured:
    """CPU in seconds per second of wall time, memory in MB, seconds of each scrape."""

    cpu: float
    polls: float
    skipped: float
    memory: float
    scrapes: list[float]
    page: float

    @property
    def per_poll(self) -> float:
        """Seconds of CPU for a poll, with all that follows from it."""
        return self.cpu * _SECONDS / self.polls


def rows() -> Iterator[Row]:
    """Measure daemons that poll so many workspaces with one gateway each."""
    first: float | None = None
    for count in _COUNTS:
        found = _measured(count)
        first = first or found.per_poll
        scrapes = sorted(found.scrapes)
        yield Row(
            f"{count:,} gateways and {count:,} workspaces, polled every {_INTERVAL} s",
            f"{found.cpu * 100:.0f} % of a core, {found.memory:.0f} MB, "
            f"{found.skipped:.0f} polls skipped",
            f"{found.polls:.0f} polls of {found.per_poll * 1e3:.1f} ms of CPU, "
            f"{found.per_poll / first:.2f} times that of {_COUNTS[0]}",
        )
        yield Row(
            f"scrape of {count:,} gateways, one a second, p99",
            f"{scrapes[len(scrapes) * 99 // 100] * 1e3:.1f} ms",
            f"median {statistics.median(scrapes) * 1e3:.1f} ms, page of {found.page:.1f} MB, gzip",
        )


def _measured(count: int) -> _Measured:
    with _daemon(count) as (pid, port):
        time.sleep(_WARM_UP_SECONDS)
        before, cpu_before = _page(port), cpu_of(pid)
        begin = time.monotonic()
        scrapes = list(_scrapes(port, begin + _SECONDS))
        wall = time.monotonic() - begin
        cpu = cpu_of(pid) - cpu_before
        after = _page(port)
        polls, skipped = (
            sum(after.values(name).values()) - sum(before.values(name).values())
            for name in ("exporter_polls_total", "exporter_polls_skipped_total")
        )
        return _Measured(
            cpu / wall, polls, skipped, _memory_of(pid), scrapes, len(after.text) / 1e6
        )


@contextlib.contextmanager
def _daemon(count: int) -> Iterator[tuple[int, int]]:
    """Run a daemon on a cloud of its own; give its process id and port."""
    targets = [
        {
            "region_id": f"cn-r{number % _REGIONS}",
            "workspace_id": workspace_id(number),
            "livy_compute_ids": [livy_compute_id(number)],
        }
        for number in range(count)
    ]
    port = free_port()
    cloud_command = [sys.executable, "-m", "tests.support.fleet_cloud", str(count)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(cloud_command, stdout=subprocess.PIPE, text=True) as cloud,
    ):
        assert cloud.stdout is not None
        settings = Path(folder) / "settings.yaml"
        settings.write_text(json.dumps({"targets": targets}), encoding="utf-8")
        command = [
            *EXPORTER,
            f"--config.file={settings}",
            f"--api.endpoint=http://127.0.0.1:{cloud.stdout.readline().strip()}",
            f"--poll.interval={_INTERVAL}s",
            f"--ledger.path={folder}/ledger.db",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
        environment = {**os.environ, **CREDENTIAL, "HOME": folder}
        with subprocess.Popen(command, env=environment) as process:
            try:
                _wait_for(port, process)
                yield process.pid, port
            finally:
                process.terminate()
                cloud.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError):
            next(_scrapes(port, time.monotonic() + 1))
            return
        time.sleep(0.05)


def _scrapes(port: int, end: float) -> Iterator[float]:
    """Scrape once a second on one connection; give the seconds that each took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while (begin := time.monotonic()) < end:
        connection.request("GET", "/metrics", headers=_HEADERS)
        connection.getresponse().read()
        seconds = time.monotonic() - begin
        yield seconds
        time.sleep(max(0.0, 1 - seconds))
    connection.close()


def _page(port: int) -> Page:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return Page.from_text(text)


def _memory_of(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1e3
