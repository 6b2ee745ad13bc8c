"""A cloud that is faster than any client: ready bytes, and no check of anything.

Run as a process of its own: `python -m tests.bench.fast_cloud PAGES` prints its port.
"""

import asyncio
import re
import sys

from exporter.demo import Session, Usage

PAGE_SIZE = 100
_PAGE = re.compile(rb"pageNum=([0-9]+)")


class _Answers(asyncio.Protocol):
    """Answers every request head with the page that it names."""

    def __init__(self, pages: list[bytes]) -> None:
        self._pages = pages
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer; a client of ours sends a whole head at once, and one at a time."""
        found = _PAGE.search(data)
        number = int(found[1]) if found else 1
        self._transport.write(self._pages[min(number, len(self._pages)) - 1])


def _answer(rows: list[Session], total: int) -> bytes:
    body = '{{"requestId":"R","totalCount":{},"sessions":[{}]}}'.format(
        total, ",".join(row.text for row in rows)
    ).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def _session(number: int) -> Session:
    return Session(
        "w-1",
        "lc-1",
        f"livy-{number:08x}",
        1_700_000_000_000 + number,
        queue=f"queue_{number % 10}",
        proxy_user=f"user{number % 40}",
        state="terminated",
        end_time_ms=1_700_000_100_000 + number,
        usage=Usage(number * 10**9, number * 3600, number * 3600 * 4096),
    )


def _pages(count: int) -> list[bytes]:
    total = count * PAGE_SIZE
    full = [
        _answer([_session(first + n) for n in range(PAGE_SIZE)], total)
        for first in range(0, total, PAGE_SIZE)
    ]
    return [*full, _answer([], total)]


async def _serve(pages: list[bytes]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answers(pages), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(_pages(int(sys.argv[1]))))
