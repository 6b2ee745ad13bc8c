"""Scrapes and publishes of 100,000 samples.

Rates are taken in short slices in turn, so that what else the machine does concerns all alike.
"""

import contextlib
import http.client
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping

from exporter.exposition import Renderer
from tests.bench import nginx, peers
from tests.bench.many_sessions import ManySessions
from tests.bench.rows import Row
from tests.support.long_gateway import fast_cloud

_ROUNDS = 15
_HEADERS = {"Accept-Encoding": "gzip", "X-Prometheus-Scrape-Timeout-Seconds": "10"}
_BUSY_SECONDS = 20
_NGINX = "scrape of 100,000 samples / nginx"


def rows() -> Iterator[Row]:
    """Measure everything on pages of the same size."""
    with _server("still") as ours, _server("reference") as reference, _server("bare") as bare:
        page, _ = _scrape(ours)
        note = f"gzip, {len(page):,} bytes, one connection"
        rate = statistics.median(_rate(ours) for _ in range(_ROUNDS))
        seconds = statistics.median(_scrape(reference)[1] for _ in range(3))
        yield from _against_nginx({"": ours, ", by asyncio alone": bare}, page, note)
        yield Row("the same / prometheus-client", f"{rate * seconds:,.0f} times as many", note)
        yield from peers.rows(page, rate, _scrape)
    for rate, speed in ((10, "at the default budget"), (1000, "as fast as can be")):
        with fast_cloud() as endpoint, _server("busy", endpoint, str(rate)) as busy:
            times = sorted(_busy_scrapes(busy))
        yield Row(
            f"scrape during a full scan {speed}, 1 % changing every 0.5 s, p99",
            f"{times[len(times) * 99 // 100] * 1e3:.1f} ms",
            f"median {statistics.median(times) * 1e3:.1f} ms, {len(times)} scrapes",
        )
    yield from _publishes()


def _against_nginx(ports: Mapping[str, int], page: bytes, note: str) -> Iterator[Row]:
    """Compare servers of the page by what is theirs; what they share is the kernel."""
    if not nginx.is_installed():
        yield Row(_NGINX, "not measured", "nginx or wrk is not installed")
        return
    with nginx.nginx(page) as yardstick:
        for whose, port in ports.items():
            pairs = [(_wrk(port), _wrk(yardstick)) for _ in range(_ROUNDS)]
            lean = [(_rate(port), _rate(yardstick)) for _ in range(_ROUNDS)]
            ratio, lean_ratio = (
                statistics.median(a / b for a, b in each) for each in (pairs, lean)
            )
            read = f"{note}, by wrk; {lean_ratio:.2f} by a client that only reads"
            yield Row(f"{_NGINX}{whose}", f"{ratio:.2f}", read)


def _publishes() -> Iterator[Row]:
    sessions, renderer = ManySessions(), Renderer()
    for share, what in ((1.0, "all"), (0.0, "nothing"), (0.01, "1 %")):
        times = []
        for _ in range(1 if share == 1.0 else _ROUNDS):
            sessions.change(share)
            snapshot = sessions.snapshot()
            times.append(_cpu(lambda snapshot=snapshot: renderer.render(snapshot)))  # type: ignore[misc]
        yield Row(
            f"publish of 100,000 samples, {what} changed",
            f"{statistics.median(times) * 1e3:.0f} ms of CPU",
            "all four forms",
        )


def _cpu(call: Callable[[], object]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin


@contextlib.contextmanager
def _server(*arguments: str) -> Iterator[int]:
    command = [sys.executable, "-m", "tests.bench.page_server", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.communicate()


def _scrape(port: int) -> tuple[bytes, float]:
    """Return the page and the seconds it took."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    begin = time.perf_counter()
    connection.request("GET", "/metrics", headers=_HEADERS)
    page = connection.getresponse().read()
    seconds = time.perf_counter() - begin
    connection.close()
    return page, seconds


def _scrapes(port: int, seconds: float) -> Iterator[float]:
    """Scrape again and again on one connection; give the seconds that each took."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        connection.request("GET", "/metrics", headers=_HEADERS)
        connection.getresponse().read()
        yield time.perf_counter() - begin
    connection.close()


def _rate(port: int) -> float:
    times = list(_scrapes(port, 0.3))
    return len(times) / sum(times)


def _busy_scrapes(port: int) -> Iterator[float]:
    """Scrape at times that have nothing to do with those of the publishes."""
    end = time.perf_counter() + _BUSY_SECONDS
    while time.perf_counter() < end:
        yield from _scrapes(port, 0.001)
        time.sleep(0.0137)


def _wrk(port: int) -> float:
    command = ["wrk", "-t1", "-c1", "-d1s", "-H", "Accept-Encoding: gzip"]
    said = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/metrics"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None
    return float(found[1])
