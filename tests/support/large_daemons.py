"""The real process with as many sessions on its page as there may be, and scrapes of it."""

import asyncio
import base64
import http.client
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import bcrypt
import trustme

from tests.support.long_gateway import fast_cloud
from tests.support.processes import CREDENTIAL, EXPORTER, Process, eventually, start
from tests.support.web_server import SECRET, write_certificate, write_config

SESSIONS: Final = 5000
"""What `sessions.max-series-sessions` lets on the page: 60,000 samples."""
_COST: Final = 10
_HEADERS: Final = {
    "Accept-Encoding": "gzip",
    "X-Prometheus-Scrape-Timeout-Seconds": "10",
    "Authorization": "Basic " + base64.b64encode(f"alice:{SECRET}".encode()).decode(),
}


@dataclass(frozen=True)
class LargeDaemon:
    """A process, and where it listens."""

    process: Process
    url: str

    @property
    def megabytes(self) -> float:
        """The most memory that it has held (RSS)."""
        status = Path(f"/proc/{self.process.running.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024 / 1e6

    async def scrapes(self, count: int) -> list[float]:
        """Scrape as Prometheus does, each time on a new connection; give the seconds, sorted.

        Raises where one of them fails or takes longer than Prometheus waits.
        """
        return sorted([await asyncio.to_thread(self._scrape) for _ in range(count)])

    async def has_all_sessions(self) -> bool:
        """Whether the page is complete."""
        return len(await asyncio.to_thread(self._page)) > 100_000

    def _scrape(self) -> float:
        begin = time.perf_counter()
        self._page()
        return time.perf_counter() - begin

    def _page(self) -> bytes:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        context = ssl._create_unverified_context()  # noqa: S323, SLF001  of the test's own
        connection = (
            http.client.HTTPSConnection(parts.hostname, parts.port, timeout=10, context=context)
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        )
        try:
            connection.request("GET", "/metrics", headers=_HEADERS)
            response = connection.getresponse()
            page = response.read()
            assert response.status == 200, response.status
            return page
        finally:
            connection.close()


@asynccontextmanager
async def large_daemon(
    folder: Path, *, has_tls: bool = False, has_passwords: bool = False
) -> AsyncIterator[LargeDaemon]:
    """Run `serve` inside the block, with all of its sessions on the page."""
    content: dict[str, object] = {}
    if has_tls:
        content["tls_server_config"] = dict(write_certificate(folder, trustme.CA()))
    if has_passwords:
        hashed = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(_COST)).decode()
        content["basic_auth_users"] = {"alice": hashed}
    with fast_cloud(SESSIONS, SESSIONS, pages=SESSIONS // 100) as endpoint:
        command = [
            *EXPORTER,
            "--region-id=cn-hangzhou",
            "--workspace-ids=w-1",
            "--livy-compute-ids=lc-1",
            "--session-clusters.enabled=false",
            f"--api.endpoint={endpoint}",
            "--api.max-requests-per-second=1000",
            "--web.listen-address=127.0.0.1:0",
            f"--web.config.file={write_config(folder, content)}",
        ]
        async with start(command, folder / "e", CREDENTIAL) as process:
            daemon = LargeDaemon(process, await process.url())
            await eventually(daemon.has_all_sessions)
            yield daemon
            await process.end()
