"""The status page at `/` and its facts as JSON at `/api/v1/status`."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from exporter.web.status.view import StatusView

BodyParts = Sequence[bytes]
Write = Callable[[StatusView], BodyParts]
"""Writes a status in parts, which are kept and sent to all who ask for them."""

REFRESH_SECONDS: Final = 15
_REFRESH_LIMITS: Final = range(5, 3601)

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class _PartsResponse(Response):
    """Sends parts that are shared with other answers, so a slow reader has no copy of its own."""

    def __init__(self, parts: BodyParts, media_type: str, headers: Mapping[str, str]) -> None:
        self._parts = parts
        size = {"Content-Length": str(sum(map(len, parts)))}
        super().__init__(headers={**_HEADERS, **size, **headers}, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head, then part by part."""
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class StatusPages:
    """Serves the current status; each view is rendered once and shared by all requests.

    Writing takes longer than a scrape may wait, so it happens in a thread, one at a time.
    """

    def __init__(self, status: Callable[[], StatusView]) -> None:
        self._status = status
        self._lock = asyncio.Lock()
        self._of: StatusView | None = None
        self._written: dict[Write, BodyParts] = {}

    def routes(self) -> list[Route]:
        """Return the routes of both forms."""
        return [Route("/", self._page), Route("/api/v1/status", self._json)]

    async def _page(self, request: Request) -> Response:
        from exporter.web.status import page  # noqa: PLC0415 - late: a start must not wait for it

        seconds = _refresh(request.query_params)
        before, after = await self._write(page.render)
        headers = {"Content-Security-Policy": page.policy()}
        if seconds:
            headers["Refresh"] = str(seconds)
        parts = (before, page.refresh_line(seconds), after)
        return _PartsResponse(parts, "text/html", headers)

    async def _json(self, _: Request) -> Response:
        return _PartsResponse(await self._write(as_json), "application/json", {})

    async def _write(self, write: Write) -> BodyParts:
        async with self._lock:
            view = self._status()
            if view is not self._of:
                self._of, self._written = view, {}
            if write not in self._written:
                self._written[write] = await asyncio.to_thread(write, view)
            return self._written[write]


def as_json(view: StatusView) -> BodyParts:
    """Write the facts as JSON; they follow `schema.json`."""
    text = json.dumps(asdict(view), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return (text.encode("utf-8", "replace"),)


def _refresh(asked: Mapping[str, str]) -> int:
    """Return the seconds between refreshes: as asked for, none for `off`, else the usual."""
    wanted = asked.get("refresh", "")
    if wanted == "off":
        return 0
    seconds = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 5 else 0  # noqa: PLR2004
    return seconds if seconds in _REFRESH_LIMITS else REFRESH_SECONDS
