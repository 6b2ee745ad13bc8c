"""The status page at `/` and its facts as JSON at `/api/v1/status`."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exporter.web.status.view import StatusView

REFRESH_SECONDS: Final = 15
_REFRESH_LIMITS: Final = range(5, 3601)

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class StatusPages:
    """Answers with the status of now; what was written once is given to all who ask for it.

    Writing takes longer than a scrape may wait, so it happens in a thread, one at a time.
    """

    def __init__(self, status: Callable[[], StatusView]) -> None:
        self._status = status
        self._lock = asyncio.Lock()
        self._of: StatusView | None = None
        self._written: dict[Callable[[StatusView], bytes], bytes] = {}

    def routes(self) -> list[Route]:
        """Return the routes of both forms."""
        return [Route("/", self._page), Route("/api/v1/status", self._json)]

    async def _page(self, request: Request) -> Response:
        from exporter.web.status import page  # noqa: PLC0415 - late: a start must not wait for it

        refresh = _refresh(request.query_params)
        body = page.with_refresh(await self._write(page.render), refresh)
        headers = {**_HEADERS, "Content-Security-Policy": page.policy()}
        if refresh:
            headers["Refresh"] = str(refresh)
        return Response(body, headers=headers, media_type="text/html")

    async def _json(self, _: Request) -> Response:
        body = await self._write(as_json)
        return Response(body, headers=_HEADERS, media_type="application/json")

    async def _write(self, write: Callable[[StatusView], bytes]) -> bytes:
        async with self._lock:
            view = self._status()
            if view is not self._of:
                self._of, self._written = view, {}
            if write not in self._written:
                self._written[write] = await asyncio.to_thread(write, view)
            return self._written[write]


def as_json(view: StatusView) -> bytes:
    """Write the facts as JSON; they follow `schema.json`."""
    text = json.dumps(asdict(view), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _refresh(asked: Mapping[str, str]) -> int:
    """Return the seconds between refreshes: as asked for, none for `off`, else the usual."""
    wanted = asked.get("refresh", "")
    if wanted == "off":
        return 0
    seconds = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 5 else 0  # noqa: PLR2004
    return seconds if seconds in _REFRESH_LIMITS else REFRESH_SECONDS
