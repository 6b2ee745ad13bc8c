"""An answer that knows whether it was received."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class ScrapeResponse(Response):
    """Sends a page and calls `on_received` once a `GET` was fully sent.

    The body goes out first; the next `send` returns only when the connection has taken what
    was written (or is gone), so asking for the connection then tells an aborted scrape from
    one that arrived. A `HEAD` shows nothing, so it is not a scrape.
    """

    def __init__(self, content: bytes, *, media_type: str, on_received: Callable[[], None]) -> None:
        super().__init__(content, headers={"content-type": media_type})
        self._on_received = on_received

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the page as ASGI messages."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        is_gone = await Request(scope, receive).is_disconnected()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if scope["method"] == "GET" and not is_gone:
            self._on_received()
