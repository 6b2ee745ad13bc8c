"""What counts as a scrape: a `GET` that was sent to its end; and how a page is handed over."""

import asyncio
import time
from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry, Gauge
from starlette.types import ASGIApp, Message

from exporter.exposition import OwnMetrics, PageResponses, RenderedSnapshotStore
from exporter.snapshot import Snapshot
from exporter.web.http.slices import LARGE_SLICE, SLICE, SlicedAnswers
from exporter.web.metrics import MetricsEndpoint

pytestmark = pytest.mark.anyio

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def endpoint(calls: list[str], *, help_text: str = "A page.", gauges: int = 1) -> ASGIApp:
    """Make the endpoint of a page, in slices; add to `calls` for each scrape."""
    registry = CollectorRegistry()
    for number in range(gauges):
        Gauge(f"page{number}", help_text, registry=registry)
    answers = PageResponses(RenderedSnapshotStore(Snapshot()), OwnMetrics(registry))
    return SlicedAnswers(MetricsEndpoint(answers.answer, lambda *_: calls.append("received")))


class Client:
    """A client of an ASGI application that hangs up after so many messages."""

    def __init__(self, hangs_up_after: int = 1_000_000) -> None:
        self.sent: list[Message] = []
        self._hangs_up_after = hangs_up_after

    async def ask(
        self,
        app: ASGIApp,
        method: str = "GET",
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a request."""
        given = [(name.encode(), text.encode()) for name, text in (headers or {}).items()]
        scope = {"type": "http", "method": method, "headers": given}
        await app({**scope, "query_string": query.encode()}, self._receive, self._send)

    @property
    def body(self) -> bytes:
        """The whole answer."""
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def largest(self) -> int:
        """The size of the largest slice."""
        return max(len(message.get("body", b"")) for message in self.sent)

    def header(self, name: str) -> str:
        """Return a header of the answer."""
        headers: list[tuple[bytes, bytes]] = self.sent[0]["headers"]
        return dict(headers)[name.encode()].decode()

    async def _receive(self) -> Message:
        is_gone = len(self.sent) >= self._hangs_up_after
        return {"type": "http.disconnect" if is_gone else "http.request"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


async def test_completely_sent_page_is_a_scrape() -> None:
    """The client was still connected at its end."""
    client, calls = Client(), list[str]()
    await client.ask(endpoint(calls))
    assert calls == ["received"]
    assert client.body.endswith(b"page0 0.0\n")
    assert client.sent[-1]["more_body"] is False


@pytest.mark.parametrize("messages", [1, 2, 3])
async def test_aborted_scrape_is_not_counted(messages: int) -> None:
    """The rest of the page is not sent."""
    client, calls = Client(messages), list[str]()
    await client.ask(endpoint(calls, help_text="x" * 10 * LARGE_SLICE))
    assert calls == []
    assert len(client.sent) <= max(messages, 2)


async def test_head_request_is_not_a_scrape() -> None:
    """Its response has no samples."""
    client, calls = Client(), list[str]()
    await client.ask(endpoint(calls), "HEAD")
    assert (calls, client.body) == ([], b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_page_filtered_by_name_is_streamed(method: str) -> None:
    """Its Content-Length is known, and yet it is never in memory as a whole."""
    client, calls = Client(), list[str]()
    app = endpoint(calls, help_text="x" * 5000, gauges=1000)
    query = "&".join(f"name[]=page{number}" for number in range(50, 100))
    await asyncio.gather(
        *(Client().ask(app) for _ in range(4)),  # they get the large slices
        client.ask(app, method, query),
    )
    assert calls == ["received"] * 4
    assert int(client.header("content-length")) == pytest.approx(250_000, rel=0.1)
    if method == "GET":
        assert len(client.body) == int(client.header("content-length"))
        assert client.body.startswith(b"# HELP page50 ")
        assert client.body.endswith(b"\npage99 0.0\n")
    assert client.largest <= SLICE


async def test_long_accept_header_is_parsed_up_to_a_limit() -> None:
    """A scraper's preferred format comes first; parsing the rest would block the event loop."""
    app = endpoint([])
    padding = ",".join(["text/html;q=0.1"] * 60)
    for accept, content_type in (
        (f"{OPENMETRICS},{padding}", "application/openmetrics-text"),
        (f"{padding},{padding},{OPENMETRICS}", "text/plain"),
        ("x" * 31_000, "text/plain"),
    ):
        client = Client()
        await client.ask(app, "HEAD", headers={"accept": accept})
        assert client.header("content-type").startswith(content_type)
    start = time.thread_time()
    for number in range(20):
        accept = f"a/{number}" + ";a=b" * 7750
        await Client().ask(app, "HEAD", headers={"accept": accept, "accept-encoding": accept})
    assert time.thread_time() - start < 0.2


async def test_few_responses_at_a_time_get_large_write_buffers() -> None:
    """Many slow readers use little memory; a response that ends frees its share."""
    app = endpoint([], help_text="x" * 3 * LARGE_SLICE)
    is_slow = asyncio.Event()

    class Slow(Client):
        async def _send(self, message: Message) -> None:
            await super()._send(message)
            await is_slow.wait()

    async def go_on() -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        is_slow.set()

    clients = [Slow() for _ in range(9)]
    await asyncio.gather(*(client.ask(app) for client in clients), go_on())
    assert [client.largest for client in clients] == [LARGE_SLICE] * 4 + [SLICE] * 5
    await clients[8].ask(app)
    assert clients[8].largest == LARGE_SLICE
