"""What counts as a scrape: a `GET` that was sent to its end; and how a page is handed over."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Gauge
from starlette.types import Message

from exporter.exposition import Answers, OwnMetrics, RenderedBoard
from exporter.snapshot import Snapshot
from exporter.web.scrape import Scrapes

pytestmark = pytest.mark.anyio


async def answer(method: str, *, is_gone: bool = False) -> tuple[list[Message], list[str]]:
    """Send a response to a client that may have gone away; give the messages and the calls."""
    sent: list[Message] = []
    calls: list[str] = []

    async def receive() -> Message:
        return {"type": "http.disconnect" if is_gone else "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    registry = CollectorRegistry()
    Gauge("page", "A page.", registry=registry)
    answers = Answers(RenderedBoard(Snapshot()), OwnMetrics(registry))
    scrapes = Scrapes(answers.answer, lambda *_: calls.append("received"))
    scope = {"type": "http", "method": method, "headers": [], "query_string": b""}
    await scrapes(scope, receive, send)
    return sent, calls


async def test_a_page_that_arrived_is_a_scrape() -> None:
    """The whole page was sent to a client that is still there."""
    sent, calls = await answer("GET")
    assert calls == ["received"]
    assert b"".join(message.get("body", b"") for message in sent).endswith(b"page 0.0\n")
    assert sent[-1]["more_body"] is False


async def test_an_aborted_scrape_does_not_count() -> None:
    """The client went away before the page was through."""
    _, calls = await answer("GET", is_gone=True)
    assert calls == []


async def test_a_head_is_no_scrape() -> None:
    """Headers show no sample."""
    _, calls = await answer("HEAD")
    assert calls == []


async def test_only_a_few_are_handed_much_at_a_time() -> None:
    """However many are slow, little of their pages waits for them; who ends makes room."""
    registry = CollectorRegistry()
    Gauge("page", "x" * 3_000_000, registry=registry)
    answers = Answers(RenderedBoard(Snapshot()), OwnMetrics(registry))
    scrapes = Scrapes(answers.answer, lambda *_: None)
    largest: list[int] = []
    is_slow = asyncio.Event()

    async def receive() -> Message:
        return {"type": "http.request"}

    async def scrape() -> None:
        sizes: list[int] = []

        async def send(message: Message) -> None:
            if body := message.get("body"):
                sizes.append(len(body))
                await is_slow.wait()

        scope = {"type": "http", "method": "GET", "headers": [], "query_string": b""}
        await scrapes(scope, receive, send)
        assert sum(sizes) > 3_000_000
        largest.append(max(sizes))

    await asyncio.gather(*(scrape() for _ in range(9)), _soon(is_slow))
    assert sorted(largest) == [1 << 16] * 5 + [1 << 20] * 4
    await scrape()
    assert largest[-1] == 1 << 20


async def _soon(event: asyncio.Event) -> None:
    """Set an event when all others have done what they can without it."""
    for _ in range(100):
        await asyncio.sleep(0)
    event.set()
