"""Connections that go wrong below HTTP, and answers that are too much: raw servers."""

import asyncio
import gzip
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from exporter.api import Credential
from exporter.clock import SystemClock
from exporter.errors import ApiError, Reason
from tests.support.api_clients import client_of
from tests.support.harness import NO_TLS
from tests.support.processes import CREDENTIAL, EXPORTER, run

pytestmark = pytest.mark.anyio

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What a server does with a connection whose request has been read."""

TIMEOUT = 0.5
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@asynccontextmanager
async def raw_server(answer: Answer) -> AsyncIterator[str]:
    """Serve connections by hand; give the URL."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def never(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Take the request, and say nothing."""
    await reader.read()


async def half_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begin the head of an answer, and leave it at that."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")
    await reader.read()


async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, so that no single read takes long."""
    writer.write(HEAD + b"Content-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(TIMEOUT / 10)


async def half_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Announce more than is sent, close the sending side, and keep the other open."""
    writer.write(HEAD + b'Content-Length: 1000\r\n\r\n{"sessionClusters":')
    writer.write_eof()
    await reader.read()


async def close_at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close without a word."""
    writer.close()


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Break the connection in the middle of an answer."""
    writer.write(HEAD + b'Content-Length: 1000\r\n\r\n{"sessionClusters":')
    await writer.drain()
    writer.transport.abort()


async def chunk_cut(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Stop in the middle of a chunk."""
    writer.write(HEAD + b'Transfer-Encoding: chunked\r\n\r\nff\r\n{"sessionClusters":')
    writer.close()


async def no_http(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak something else."""
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")


async def endless_head(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send headers without end."""
    writer.write(HEAD)
    while True:
        writer.write(b"X-More: " + b"x" * 8000 + b"\r\n")
        await writer.drain()


async def claims_much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Announce more than is allowed, and send none of it."""
    writer.write(HEAD + b"Content-Length: 1000000000\r\n\r\n")
    await reader.read()


async def compressed(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say gzip of what is none."""
    writer.write(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        (never, {Reason.TIMEOUT}),
        (half_a_head, {Reason.TIMEOUT}),
        (drip, {Reason.TIMEOUT}),
        (half_closed, {Reason.NETWORK}),
        (close_at_once, {Reason.NETWORK}),
        (reset, {Reason.NETWORK}),
        (chunk_cut, {Reason.NETWORK}),
        (no_http, {Reason.NETWORK}),
        (endless_head, {Reason.NETWORK}),
        (claims_much, {Reason.TOO_LARGE, Reason.TIMEOUT}),
        (compressed, {Reason.MALFORMED}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_every_connection_error_has_a_reason(answer: Answer, reasons: set[Reason]) -> None:
    """The call ends in time, with the reason, and without a word of what was sent."""
    timeout = TIMEOUT if Reason.TIMEOUT in reasons else 20 * TIMEOUT
    async with raw_server(answer) as url, httpx.AsyncClient(verify=NO_TLS) as http:
        credential = Credential("LTAIsentinel", "sentinel-secret")
        client = client_of(
            http, url, SystemClock(), credential=credential, max_attempts=1, timeout=timeout
        )
        start = time.monotonic()
        with pytest.raises(ApiError) as caught:
            await client.session_clusters_page("w-1")
        assert time.monotonic() - start < 4 * timeout
    assert caught.value.reason in reasons
    assert "sentinel" not in str(caught.value)


GIGABYTE = 10**9
MAX_RSS = 120 * 2**20


async def gigabyte(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a valid page of a gigabyte, as fast as it is taken."""
    writer.write(HEAD + f"Content-Length: {GIGABYTE}\r\n\r\n".encode())
    writer.write(b'{"sessionClusters":[')
    row = b'{"sessionClusterId":"sc-1"},' * 2000
    for _ in range(GIGABYTE // len(row)):
        writer.write(row)
        await writer.drain()


async def most_memory_of_once(url: str, folder: Path) -> tuple[int, int, bytes]:
    """Run the exporter once on this service: its exit code, most memory in bytes, and output."""
    code = (
        "import resource, subprocess, sys;"
        "result = subprocess.call(sys.argv[1:]);"
        "most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss;"
        "print('most memory', most, file=sys.stderr);"
        "sys.exit(result)"
    )
    command = [
        *(sys.executable, "-c", code, *EXPORTER, "once"),
        *("--region-id=cn-hangzhou", "--workspace-ids=w-1", "--livy-compute-ids=lc-1"),
        *(f"--api.endpoint={url}", "--api.max-attempts=1"),
    ]
    exit_code, process = await run(command, folder, CREDENTIAL)
    kilobytes = int(process.output.rpartition(b"most memory ")[2].split()[0])
    return exit_code, kilobytes * 1024, process.output


@pytest.mark.process
async def test_a_gigabyte_does_not_fill_the_memory(tmp_path: Path) -> None:
    """Reading ends at the limit: the process stays small, and the page says `too_large`."""
    async with raw_server(gigabyte) as url:
        code, most, output = await most_memory_of_once(url, tmp_path)
    assert code == 1
    assert most < MAX_RSS
    assert output.count(b'reason="too_large",source="session_clusters"} 1.0') == 1


@pytest.mark.process
@pytest.mark.parametrize("status", [b"200 OK", b"500 Internal Server Error"])
async def test_layers_of_compression_are_not_undone(tmp_path: Path, status: bytes) -> None:
    """Two kilobytes that become gigabytes are refused as they are, in a failure as well."""
    body = gzip.compress(gzip.compress(b" " * 200_000_000))

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 %b\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\n" % status
        )
        writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    async with raw_server(answer) as url:
        code, most, output = await most_memory_of_once(url, tmp_path)
    assert code == 1
    assert len(body) < 2000
    assert most < MAX_RSS
    assert b"content encoding 'gzip, gzip'" in output


@pytest.mark.process
@pytest.mark.parametrize(("count", "reason"), [(5_000_000, b"too_large"), (20_000, b"malformed")])
async def test_many_rows_below_the_limit_do_not_either(
    tmp_path: Path, count: int, reason: bytes
) -> None:
    """An answer that is small enough, but would become large when it is read, is refused."""
    body = b'{"sessionClusters":[' + b",".join([b"{}"] * count) + b"]}"

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    async with raw_server(answer) as url:
        code, most, output = await most_memory_of_once(url, tmp_path)
    assert code == 1
    assert most < MAX_RSS
    assert output.count(b'reason="%b",source="session_clusters"} 1.0' % reason) == 1
