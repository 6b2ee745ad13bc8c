"""The endpoint of scrapes: sends rendered pages, and reports which were received."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from exporter.exposition import Form, PageResponse, RenderedPage, filtered, negotiated
from exporter.web.asgi import is_gone

_MAX_ACCEPT: Final = 1024
"""Characters of a header that are looked at; Prometheus sends about 300."""
_MAX_FIELDS: Final = 100
"""Fields of a query; with more, the query is ignored."""

OnScrape = Callable[[RenderedPage, bool], None]


class MetricsEndpoint:
    """The ASGI application behind the path of the metrics.

    A page has arrived when all of it is on its way and the client is still there: `send` waits
    for room, and raises where the client has hung up. A `HEAD` shows nothing, so it is not a
    scrape; nor is a `GET` that asks for some names only, with `?name[]=`.
    """

    def __init__(self, answer: Callable[[Form], PageResponse], on_scrape: OnScrape) -> None:
        """Call `on_scrape` with a page that was fully sent, and whether Prometheus asked for it."""
        self._answer = answer
        self._on_scrape = on_scrape
        self._filtering = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the page in the form that is asked for."""
        headers = Headers(scope=scope)
        form = negotiated(_joined(headers, "accept"), _joined(headers, "accept-encoding"))
        names = _names(scope["query_string"])
        if names:
            await self._send_some(names, form, receive, send)
            return
        answer = self._answer(form)
        await _start(send, form, answer.size)
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        for part in answer.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        self._on_scrape(answer.page, "x-prometheus-scrape-timeout-seconds" in headers)

    async def _send_some(
        self, names: frozenset[str], form: Form, receive: Receive, send: Send
    ) -> None:
        """Send the samples of these names, in the form that is asked for but not compressed.

        They are looked up twice, first for their size: a whole answer is never in memory.
        """
        form = form._replace(is_gzipped=False)
        answer = self._answer(form)
        size = 0
        async for part in self._filtered(answer, names, receive):
            size += len(part)
        await _start(send, form, size)
        async for part in self._filtered(answer, names, receive):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _filtered(
        self, answer: PageResponse, names: frozenset[str], receive: Receive
    ) -> AsyncIterator[bytes]:
        parts = filtered(answer, names)
        while not is_gone(receive):
            async with self._filtering:  # so that a scrape waits for one part of one page at most
                part = next(parts, None)
                await asyncio.sleep(0)
            if part is None:
                return
            yield part


async def _start(send: Send, form: Form, size: int) -> None:
    headers = [
        (b"content-type", form.format.value.encode()),
        (b"content-length", b"%d" % size),
        (b"vary", b"Accept, Accept-Encoding"),
    ]
    if form.is_gzipped:
        headers.append((b"content-encoding", b"gzip"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})


def _names(query: bytes) -> frozenset[str]:
    """Return what `name[]` asks for, as prometheus-client's own server understands it."""
    try:
        fields = parse_qsl(query.decode("latin-1"), max_num_fields=_MAX_FIELDS)
    except ValueError:
        return frozenset()
    return frozenset(value for name, value in fields if name == "name[]")


def _joined(headers: Headers, name: str) -> str:
    """Return the values of a header that may occur more than once, cut off behind a whole one."""
    value = ",".join(headers.getlist(name))
    return value if len(value) <= _MAX_ACCEPT else value[:_MAX_ACCEPT].rpartition(",")[0]
