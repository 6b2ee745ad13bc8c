"""HTTP on one connection: uvicorn's protocol, one bounded request at a time."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from functools import partial
from typing import Final

import httptools
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from exporter.web.http.connections import Connection, ConnectionPhase, Connections
from exporter.web.http.slices import SLICE

_log = structlog.get_logger(__name__)

REFUSED = "request_refused"

MAX_HEAD_BYTES: Final = 32 * 1024
"""Of the request line and the headers: several times what any scraper sends."""
MAX_HEADERS: Final = 100

_HEAD_END: Final = b"\r\n\r\n"
_HEAD_STARTS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n")
"""First bytes of a method, or of the empty lines that may come before it."""
_HOST: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_BODY_HEADERS: Final = frozenset((b"content-length", b"transfer-encoding"))
_REASONS: Final = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}


class HttpProtocol(HttpToolsProtocol):
    """Parses a head when it is complete and the answer before it is handed over; reads no bodies.

    What waits to be parsed never exceeds `MAX_HEAD_BYTES` and what one read brings, also while a
    password is checked or an answer is not taken.
    """

    def __init__(
        self, config: Config, state: ServerState, connections: Connections, connection: Connection
    ) -> None:
        super().__init__(config, state, {})
        self.app = partial(_answer, self.app, partial(connections.progress, connection))
        self._connections = connections
        self._connection = connection
        self._unparsed = bytearray()
        self._is_answering = False
        self._is_last = False
        """Whether nothing that comes from now on is read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to read requests; TLS is agreed on."""
        self._connection.abort = transport.abort
        transport.set_write_buffer_limits(SLICE)  # with TLS it would be 512 KiB
        self._connections.progress(self._connection)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop what is queued, and let the answer under way know that its client has gone."""
        self._connections.leave(self._connection)
        self._is_last = True
        self._unparsed.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Keep what arrived until it is a head that can be answered."""
        if self._is_last or self.transport.is_closing():
            return
        self._unparsed += data
        if self._connection.phase is ConnectionPhase.IDLE:
            self._connections.begin(self._connection, ConnectionPhase.HEAD)
        self._parse()
        if len(self._unparsed) <= MAX_HEAD_BYTES or self.transport.is_closing():
            return
        if self._is_answering:
            _log.debug(REFUSED, reason="too many bytes are pipelined", client=self.client)
            self.transport.abort()
        else:
            self._refuse(431, "the head is too large")

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        hosts = [value for name, value in self.headers if name == b"host"]
        is_old = self.parser.get_http_version() in {"0.9", "1.0"}
        if len(hosts) != 1 and (hosts or not is_old):
            raise ValueError("give one Host header")
        if hosts and not _HOST.fullmatch(hosts[0]):
            raise ValueError("the Host header is not that of a host")
        super().on_headers_complete()
        self._is_answering = True
        self._connections.progress(self._connection)
        self._connections.begin(self._connection, ConnectionPhase.ANSWER)
        names = {name for name, _ in self.headers}
        if self.parser.should_upgrade() or names & _BODY_HEADERS:
            # A body or another protocol follows; no scraper sends one.
            self.cycle.keep_alive = False
            self._is_last = True

    def on_response_complete(self) -> None:
        """Answer the next request where it is there already, or wait for it.

        Replaces uvicorn's: no request waits in its pipeline, and its timer for idle connections
        would keep everything of a broken connection for as long as it runs.
        """
        self._is_answering = False
        if self.transport.is_closing():
            return
        self._connections.begin(
            self._connection, ConnectionPhase.HEAD if self._unparsed else ConnectionPhase.IDLE
        )
        self._parse()

    def _parse(self) -> None:
        while not self._is_answering and not self._is_last and self._unparsed:
            end = self._unparsed.find(_HEAD_END)
            if self._unparsed[0] not in _HEAD_STARTS:
                self._refuse(400, "this is not HTTP")
            if end < 0 or self.transport.is_closing():
                return
            head = bytes(self._unparsed[: end + len(_HEAD_END)])
            del self._unparsed[: len(head)]
            self._parse_head(head)

    def _parse_head(self, head: bytes) -> None:
        if len(head) > MAX_HEAD_BYTES or head.count(b"\r\n") > MAX_HEADERS + 2:
            self._refuse(431, "the head is too large")
            return
        try:
            self.parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # it is answered as if no other protocol had been asked for
        except httptools.HttpParserError as error:
            self._refuse(400, str(error.__context__ or error))

    def _refuse(self, status: int, reason: str) -> None:
        _log.debug(REFUSED, reason=reason, client=self.client)
        self._is_last = True
        phrase = _REASONS[status]
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
            b"x-content-type-options: nosniff\r\nconnection: close\r\n\r\n%s\n"
            % (status, phrase, len(phrase) + 1, phrase)
        )
        self.transport.close()


async def _answer(
    app: ASGIApp, progress: Callable[[], None], scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer a request; each part of the answer that the connection takes is progress."""

    async def sending(message: Message) -> None:
        await send(message)
        progress()

    with contextlib.suppress(asyncio.CancelledError):  # the server ends, and the client is cut off
        await app(scope, receive, sending)
