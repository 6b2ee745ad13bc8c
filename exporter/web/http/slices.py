"""Answers in slices, so that little of one waits in memory for a client that is slow."""

import asyncio
from functools import partial
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.asgi import is_gone

SLICE: Final = 1 << 15
LARGE_SLICE: Final = 1 << 20
MAX_LARGE: Final = 4
"""Answers under way that get large slices: a fifth faster, for the few clients that scrape."""


class ClientGoneError(OSError):
    """The client has hung up; raised by `send`, as ASGI has it, and caught here."""


class SlicedAnswers:
    """Hands over the bodies of an application slice by slice, each when the one before is taken.

    An answer that nobody waits for any longer ends with its next slice.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        size = LARGE_SLICE if self._under_way < MAX_LARGE else SLICE
        self._under_way += 1
        try:
            await self._app(scope, receive, partial(_send_sliced, receive, send, size))
        except ClientGoneError:
            pass
        finally:
            self._under_way -= 1


async def _send_sliced(receive: Receive, send: Send, size: int, message: Message) -> None:
    body = message.get("body", b"")
    *starts, last = range(0, len(body) or 1, size)
    for start in starts:
        part = {"type": message["type"], "body": body[start : start + size], "more_body": True}
        await _send_part(receive, send, part)
    await _send_part(receive, send, {**message, "body": body[last:]} if starts else message)


async def _send_part(receive: Receive, send: Send, message: Message) -> None:
    await send(message)
    if message.get("more_body"):
        await asyncio.sleep(0)  # others get a turn, and the loop notices who has hung up
        if is_gone(receive):
            raise ClientGoneError
