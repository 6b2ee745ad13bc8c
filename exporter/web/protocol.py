"""HTTP on one connection: uvicorn's protocol, within bounds."""

import asyncio

import httptools
import structlog
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from exporter.web.connections import Connection, Connections, Phase

_log = structlog.get_logger(__name__)

REFUSED = "request_refused"

MOST_HEAD_BYTES = 32 * 1024
"""Of the request line and the headers: several times what any scraper sends."""
MOST_PIPELINED = 16
"""Requests that may wait while another one of the same connection is answered."""


class HeadTooLargeError(Exception):
    """The head of a request is larger than `MOST_HEAD_BYTES`."""


class TooManyPipelinedError(Exception):
    """More requests than `MOST_PIPELINED` wait on one connection."""


class BoundedProtocol(HttpToolsProtocol):
    """Refuses what is too large, tells `connections` what it waits for, and reads no bodies."""

    connection: Connection | None = None
    """Set before `connection_made` where the connection is known already, as after TLS."""

    def __init__(self, config: Config, state: ServerState, connections: Connections) -> None:
        super().__init__(config, state, {})
        self._connections = connections
        self._head_bytes = 0
        """Of a head that is not complete yet."""
        self._unanswered = 0
        """Requests that are answered now or wait for it."""
        self._is_last = False
        """Nothing more is read: the answer that runs is the last one, or the client is gone."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to read requests."""
        if self.connection is None:
            self.connection = self._connections.enter(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what runs."""
        if self.connection is not None:
            self._connections.leave(self.connection)
        self._is_last = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; answers begin as soon as a head is complete."""
        if self._is_last or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._wait_for(Phase.HEAD, instead_of=Phase.NEXT)
        self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # it is answered as if no other protocol had been asked for
        except httptools.HttpParserError as error:
            self._refuse(error.__context__ or error)
        else:
            if not self._unanswered and self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(HeadTooLargeError())

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        self._head_bytes = 0
        if size > MOST_HEAD_BYTES:
            raise HeadTooLargeError
        if self._unanswered > MOST_PIPELINED:
            raise TooManyPipelinedError
        super().on_headers_complete()
        self._unanswered += 1
        self._wait_for(Phase.ANSWER)
        names = {name for name, _ in self.headers}
        if self.parser.should_upgrade() or names & {b"content-length", b"transfer-encoding"}:
            # What follows is not for us; nobody who scrapes sends it.
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """Wait for the next request, or answer the one that is already there."""
        self._unanswered -= 1
        super().on_response_complete()
        if self._is_last:
            self.transport.close()
        self._wait_for(Phase.ANSWER if self._unanswered else Phase.NEXT)

    def _wait_for(self, phase: Phase, instead_of: Phase | None = None) -> None:
        if self.connection is not None and instead_of in {None, self.connection.phase}:
            self._connections.turn(self.connection, phase)

    def _refuse(self, error: BaseException) -> None:
        """Say what is wrong and hang up, or only hang up in the middle of an answer."""
        _log.debug(REFUSED, why=repr(error), client=self.client)
        if self._unanswered:
            self.pipeline.clear()
            self._is_last = True
            return
        status = 431 if isinstance(error, HeadTooLargeError) else 400
        reason = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}[status]
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%s\n" % (status, reason, len(reason) + 1, reason)
        )
        self.transport.close()
