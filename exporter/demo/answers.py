"""From a decided answer to bytes on the wire, whole or not."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.types import Receive, Send

_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class CloudResponse:
    """A whole answer; `on_sending` is called right before its last byte is handed over."""

    status: int
    body: bytes
    content_type: str = "application/json;charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    on_sending: Callable[[], None] = field(default=lambda: None)


async def send_whole(answer: CloudResponse, date: str, send: Send) -> None:
    """Send an answer as a good server does."""
    await _start(answer, date, len(answer.body), send)
    answer.on_sending()
    await send({"type": "http.response.body", "body": answer.body})


async def send_cut(answer: CloudResponse, fraction: float, date: str, send: Send) -> None:
    """Announce all, send a part, and return: the server closes the connection."""
    await _start(answer, date, len(answer.body), send)
    part = answer.body[: int(len(answer.body) * fraction)]
    await send({"type": "http.response.body", "body": part, "more_body": True})


async def send_flood(
    answer: CloudResponse, size: int, date: str, receive: Receive, send: Send
) -> None:
    """Stream one JSON string of so many bytes, or until the client has had enough."""
    await _start(answer, date, None, send)
    gone = asyncio.ensure_future(wait_until_gone(receive))
    body, sent = b'"' + b"x" * (_CHUNK - 1), 0
    try:
        while sent < size and not gone.done():
            chunk = body[: size - sent]
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            sent, body = sent + len(chunk), b"x" * _CHUNK
            # The server's own waiting is skipped for a lost connection.
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


async def wait_until_gone(receive: Receive) -> None:
    """Wait until the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _start(answer: CloudResponse, date: str, length: int | None, send: Send) -> None:
    headers = [("Date", date), ("Content-Type", answer.content_type), *answer.headers]
    if length is not None:
        headers.append(("Content-Length", str(length)))
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
