"""What a user might pick instead, with the same page: Pushgateway and node_exporter."""

import contextlib
import gzip
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.rows import Row
from tests.support.processes import free_port

_SCRAPES = 3


def rows(page: bytes, rate: float, scrape: Callable[[int], tuple[bytes, float]]) -> Iterator[Row]:
    """Compare with our `rate` of scrapes a second; `page` is ours, in gzip."""
    text = gzip.decompress(page)
    for name, run in (("Pushgateway", _pushgateway), ("node_exporter's text files", _textfile)):
        program = _PROGRAMS[name]
        if shutil.which(program) is None:
            yield Row(f"the same / {name}", "not measured", f"{program} is not installed")
            continue
        with run(program, text) as port:
            scrape(port)
            seconds = min(scrape(port)[1] for _ in range(_SCRAPES))
        yield Row(
            f"the same / {name}",
            f"{rate * seconds:,.0f} times as many",
            f"{program} of Debian takes {seconds:.2f} s for the same samples",
        )


_PROGRAMS = {
    "Pushgateway": "prometheus-pushgateway",
    "node_exporter's text files": "prometheus-node-exporter",
}


@contextlib.contextmanager
def _pushgateway(program: str, text: bytes) -> Iterator[int]:
    with _running([program]) as port:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/metrics/job/exporter", data=text, method="PUT"
        )
        with urllib.request.urlopen(request, timeout=60):  # noqa: S310 - the loopback
            yield port


@contextlib.contextmanager
def _textfile(program: str, text: bytes) -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "exporter.prom").write_bytes(text)
        command = [
            program,
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={folder}",
        ]
        with _running(command) as port:
            yield port


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[int]:
    port = free_port()
    silent = subprocess.DEVNULL
    address = f"--web.listen-address=127.0.0.1:{port}"
    with subprocess.Popen([*command, address], stdout=silent, stderr=silent) as process:
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
