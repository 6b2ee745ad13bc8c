"""A cloud of many small workspaces that is cheaper than any client: ready rows, no checks.

Run as a process of its own: `python -m tests.support.fleet_cloud GATEWAYS` prints its port. Each
workspace has one gateway with 100 sessions, 10 of them live, and one session cluster. Each answer
tells a little more usage of the live sessions than the one before.
"""

import asyncio
import re
import sys

from exporter.demo import SimulatedSession, SimulatedUsage

SESSIONS = 100
LIVE = 10

_WORKSPACE = re.compile(rb"/workspaces?/w-([0-9]+)/(livycompute|sessionClusters)")
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


def workspace_id(number: int) -> str:
    """Return the id of a workspace by its number."""
    return f"w-{number:05d}"


def livy_compute_id(number: int) -> str:
    """Return the id of the gateway of a workspace by its number."""
    return f"lc-{number:05d}"


class _Gateway:
    """The sessions of one gateway, newest first; the live ones use more with each answer."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._asked = 0
        rows = (self._row(place) for place in range(LIVE, SESSIONS))
        self._ended = b",".join(rows)

    def answer(self) -> bytes:
        """Return the only page."""
        self._asked += 1
        rows = b",".join([*(self._row(place) for place in range(LIVE)), self._ended])
        return b'{"requestId":"R","totalCount":%d,"sessions":[%s]}' % (SESSIONS, rows)

    def _row(self, place: int) -> bytes:
        is_live = place < LIVE
        used = self._asked if is_live else place
        created = 1_700_000_000_000 + (SESSIONS - place) * 1000
        return SimulatedSession(
            workspace_id(self._number),
            livy_compute_id(self._number),
            f"livy-{self._number:05d}-{SESSIONS - place:04d}",
            created,
            name=f"session-{place}",
            queue=f"queue_{self._number % 3}",
            proxy_user=f"user{place % 5}",
            state="running" if is_live else "terminated",
            end_time_ms=None if is_live else created + 60_000,
            usage=SimulatedUsage(used * 10**9, used * 3600, used * 3600 * 4096),
        ).text.encode()


def _clusters(number: int) -> bytes:
    return (
        b'{"requestId":"R","totalCount":1,"maxResults":100,"nextToken":"","sessionClusters":'
        b'[{"workspaceId":"w-%05d","sessionClusterId":"sc-%05d","name":"thrift","kind":"THRIFT",'
        b'"queueName":"root_queue","state":"Running","userName":"admin","gmtCreate":1700000000000,'
        b'"startTime":1700000001000,"releaseVersion":"esr-4.3"}]}' % (number, number)
    )


class _Answers(asyncio.Protocol):
    """Answers every request head with what its path names."""

    def __init__(self, gateways: list[_Gateway]) -> None:
        self._gateways = gateways
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer; a client of ours sends a whole head at once, and one at a time."""
        found = _WORKSPACE.search(data)
        assert found is not None
        number = int(found[1])
        is_livy = found[2] == b"livycompute"
        body = self._gateways[number].answer() if is_livy else _clusters(number)
        self._transport.write(_HEAD % (len(body), body))


async def _serve(count: int) -> None:
    gateways = [_Gateway(number) for number in range(count)]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answers(gateways), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
