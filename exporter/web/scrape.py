"""Answers to scrapes: ready bytes, and the knowledge whether they were received."""

import asyncio
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from exporter.exposition import Answer, Form, Page, filtered, negotiated

_SLICE = 1 << 16
"""Bytes that are handed over at a time: no more of a page waits for a client that is slow."""
_LARGE_SLICE = 1 << 20
_MOST_LARGE = 4
"""Answers under way that may hand over as much: a fifth faster, for those few who scrape."""
_MOST_FIELDS = 1000

OnScrape = Callable[[Page, bool], None]


class Scrapes:
    """The ASGI application behind the path of the metrics.

    The body goes out first; the next `send` returns only when the connection has taken what
    was written (or is gone), so asking for the connection then tells an aborted scrape from
    one that arrived. A `HEAD` shows nothing, so it is not a scrape; nor is a `GET` that asks for
    some names only, with `?name[]=`.
    """

    def __init__(self, answer: Callable[[Form], Answer], on_scrape: OnScrape) -> None:
        """Call `on_scrape` with a page that was fully sent, and whether Prometheus asked for it."""
        self._answer = answer
        self._on_scrape = on_scrape
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the page in the form that is asked for."""
        asked = _headers(scope)
        form = negotiated(asked.get(b"accept", ""), asked.get(b"accept-encoding", ""))
        names = _names(scope["query_string"])
        if names:
            await self._send_some(names, form, send)
            return
        answer = self._answer(form)
        await send({"type": "http.response.start", "status": 200, "headers": _described(answer)})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        await self._send_parts(answer, send)
        is_gone = _is_gone(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if not is_gone:
            self._on_scrape(answer.page, b"x-prometheus-scrape-timeout-seconds" in asked)

    async def _send_parts(self, answer: Answer, send: Send) -> None:
        self._under_way += 1
        size = _LARGE_SLICE if self._under_way <= _MOST_LARGE else _SLICE
        try:
            for part in _sliced(answer, size):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": True})
        finally:
            self._under_way -= 1

    async def _send_some(self, names: frozenset[str], form: Form, send: Send) -> None:
        """Send the samples of these names, in the form that is asked for but not compressed."""
        found = []
        for part in filtered(self._answer(form._replace(is_gzipped=False)), names):
            found.append(part)
            await asyncio.sleep(0)  # a page is long, and others wait for theirs
        body = b"".join(found)
        headers = [
            (b"content-type", form.format.value.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"vary", b"Accept, Accept-Encoding"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _sliced(answer: Answer, size: int) -> Iterator[bytes]:
    for part in answer.parts:
        for start in range(0, len(part), size):
            yield part[start : start + size]


def _names(query: bytes) -> frozenset[str]:
    """Give what `name[]` asks for, as prometheus-client's own server understands it."""
    try:
        fields = parse_qsl(query.decode("latin-1"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        return frozenset()
    return frozenset(value for name, value in fields if name == "name[]")


def _is_gone(receive: Receive) -> bool:
    """Tell whether the client has gone, by looking and not waiting for what it says.

    Starlette does the same by cancelling itself, which takes as long as all the rest here.
    """
    look = receive().__await__()
    try:
        look.send(None)
    except StopIteration as said:
        return bool(said.value["type"] == "http.disconnect")
    look.close()
    return False


def _headers(scope: Scope) -> dict[bytes, str]:
    """Give what is asked for; a header that stands there twice means both."""
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        text = value.decode("latin-1")
        found[name] = f"{found[name]},{text}" if name in found else text
    return found


def _described(answer: Answer) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", answer.form.format.value.encode()),
        (b"content-length", b"%d" % answer.size),
        (b"vary", b"Accept, Accept-Encoding"),
    ]
    if answer.form.is_gzipped:
        headers.append((b"content-encoding", b"gzip"))
    return headers
