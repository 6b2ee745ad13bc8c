"""Answers to scrapes: ready bytes, and the knowledge whether they were received."""

from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from exporter.exposition import Answer, Form, Page, negotiated

OnScrape = Callable[[Page, bool], None]


class Scrapes:
    """The ASGI application behind the path of the metrics.

    The body goes out first; the next `send` returns only when the connection has taken what
    was written (or is gone), so asking for the connection then tells an aborted scrape from
    one that arrived. A `HEAD` shows nothing, so it is not a scrape.
    """

    def __init__(self, answer: Callable[[Form], Answer], on_scrape: OnScrape) -> None:
        """Call `on_scrape` with a page that was fully sent, and whether Prometheus asked for it."""
        self._answer = answer
        self._on_scrape = on_scrape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the page in the form that is asked for."""
        asked = _headers(scope)
        form = negotiated(asked.get(b"accept", ""), asked.get(b"accept-encoding", ""))
        answer = self._answer(form)
        await send({"type": "http.response.start", "status": 200, "headers": _described(answer)})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        for part in answer.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        is_gone = _is_gone(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if not is_gone:
            self._on_scrape(answer.page, b"x-prometheus-scrape-timeout-seconds" in asked)


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
