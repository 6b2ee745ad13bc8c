"""A cloud that is faster than any client: ready rows, and no check of anything.

Run as a process of its own: `python -m tests.support.fast_cloud PAGES [OPEN AMONG]` prints its
port. Of the newest AMONG sessions, OPEN evenly spread ones run; all others ended long ago. The
newest is listed first. Each request for `/advance` lets one session come and the oldest one leave.
"""

import asyncio
import re
import sys

from exporter.demo import SimulatedSession, SimulatedUsage

PAGE_SIZE = 100
COMING = 1000
"""Sessions that may still come."""

_PAGE = re.compile(rb"pageNum=([0-9]+)")


class _History:
    """The rows as bytes, from new to old, of which a window is listed."""

    def __init__(self, total: int, open_rows: int, among: int) -> None:
        step = max(1, among // max(1, open_rows))
        running = {total - 1 - place * step for place in range(open_rows)}
        numbers = range(total + COMING - 1, -1, -1)
        self._rows = [_session(each, is_open=each in running).text.encode() for each in numbers]
        self._total = total
        self._first = COMING

    def advance(self) -> None:
        """Let one session come, and the oldest leave."""
        self._first -= 1

    def page(self, number: int) -> bytes:
        """Return the answer with a page."""
        start = self._first + (number - 1) * PAGE_SIZE
        rows = self._rows[start : min(start + PAGE_SIZE, self._first + self._total)]
        body = b'{"requestId":"R","totalCount":%d,"sessions":[%s]}' % (self._total, b",".join(rows))
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return head % len(body) + body


class _Answers(asyncio.Protocol):
    """Answers every request head with the page that it names."""

    def __init__(self, history: _History) -> None:
        self._history = history
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer; a client of ours sends a whole head at once, and one at a time."""
        if data.startswith(b"GET /advance"):
            self._history.advance()
        found = _PAGE.search(data)
        self._transport.write(self._history.page(int(found[1]) if found else 1))


def _session(number: int, *, is_open: bool) -> SimulatedSession:
    return SimulatedSession(
        "w-1",
        "lc-1",
        f"livy-{number:08x}",
        1_700_000_000_000 + number * 1000,
        name=f"session-{number}",
        queue=f"queue_{number % 10}",
        proxy_user=f"user{number % 40}",
        state="running" if is_open else "terminated",
        end_time_ms=None if is_open else 1_700_000_100_000 + number * 1000,
        usage=SimulatedUsage(number * 10**9, number * 3600, number * 3600 * 4096),
    )


async def _serve(history: _History) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answers(history), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    pages, open_rows, among = (*map(int, sys.argv[1:]), 0, 0)[:3]
    asyncio.run(_serve(_History(pages * PAGE_SIZE, open_rows, among)))
