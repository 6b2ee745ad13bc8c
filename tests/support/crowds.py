"""Crowds of clients that harm a web server: `python -m tests.support.crowds URL KIND=COUNT ...`.

Each client that is dropped comes again. The process says `ready` once all have come, and ends with
its stdin.
"""

import asyncio
import base64
import contextlib
import itertools
import logging
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_NUMBERS: Final = itertools.count()
_AWAY_SECONDS: Final = 0.5
"""Until a client that was dropped comes again."""
_SLOW_SECONDS: Final = 0.1
"""Between two reads of a slow client, of 1000 bytes each."""
_SILENT_PER_SECOND: Final = 300
_SILENT_SECONDS: Final = 2.0

_GET: Final = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


async def _idle(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Say nothing."""
    await reader.read()


async def _heads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begin a request of many short headers, and never end it."""
    writer.write(_GET.removesuffix(b"\r\n") + b"a:b\r\n" * 6000)
    await writer.drain()
    await reader.read()


async def _pipelined(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask again and again, read no answer, and then begin a request that never ends."""
    writer.write(_GET * 16)
    while not writer.transport.is_closing():
        await asyncio.sleep(0)  # lets the loop notice that the server has hung up
        writer.write(b"a:b\r\n" * 1000)
        await writer.drain()


async def _unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for as much as the server keeps without an answer that is read."""
    del reader
    writer.write(_GET * 800)
    await writer.drain()
    await asyncio.Event().wait()


async def _passwords(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Log in with wrong passwords, each time with a request behind it that never ends."""
    login = base64.b64encode(f"alice:{next(_NUMBERS)}".encode())
    writer.write(_GET.removesuffix(b"\r\n") + b"Authorization: Basic %s\r\n\r\n" % login)
    writer.write(_GET.removesuffix(b"\r\n") + b"a:b\r\n" * 4000)
    await writer.drain()
    await reader.read()


def _slow(path: Callable[[], str]) -> Act:
    """Ask for a page, and read it slowly."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_GET.replace(b"/metrics", path().encode()))
        while await reader.read(1000):  # noqa: ASYNC110  there is no event to wait for
            await asyncio.sleep(_SLOW_SECONDS)

    return act


def _some_names() -> str:
    """Name most of the page, each client with another name in addition."""
    families = ("state", "info", "created_timestamp_seconds", "cu_hours", "vcore_seconds")
    names = [f"emr_serverless_spark_livy_session_{family}" for family in families]
    return "/metrics?" + "&".join(f"name[]={name}" for name in [*names, f"x{next(_NUMBERS)}"])


KINDS: Final[Mapping[str, Act]] = {
    "idle": _idle,
    "heads": _heads,
    "pipelined": _pipelined,
    "unread": _unread,
    "page": _slow(lambda: "/metrics"),
    "names": _slow(_some_names),
    "status": _slow(lambda: f"/?refresh={5 + next(_NUMBERS) % 3000}"),
    "passwords": _passwords,
}
"""What a client does once it is connected. `silent` is one more kind: 300 new clients a second."""


@asynccontextmanager
async def crowd(url: str, crowds: Mapping[str, int]) -> AsyncIterator[None]:
    """Keep crowds connected to `url` inside the block, from a process of their own."""
    pipe = asyncio.subprocess.PIPE
    counts = [f"{kind}={count}" for kind, count in crowds.items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.crowds", url, *counts), stdin=pipe, stdout=pipe
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield
    finally:
        await process.communicate(b"")


async def _main(url: str, counts: Sequence[str]) -> None:
    logging.disable()  # asyncio warns of what is done here on purpose
    # A crowd elsewhere would not take the processor from the exporter, nor from who scrapes it.
    os.nice(10)
    tasks: list[asyncio.Task[None]] = []
    arrivals: list[asyncio.Event] = []
    for kind, count in (each.split("=") for each in counts):
        if kind == "silent":
            tasks.append(asyncio.create_task(_silent(url)))
            continue
        for _ in range(int(count)):
            arrivals.append(asyncio.Event())
            tasks.append(asyncio.create_task(_client(KINDS[kind], url, arrivals[-1])))
    for arrival in arrivals:
        await arrival.wait()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _client(act: Act, url: str, has_come: asyncio.Event) -> None:
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await _connected(url)
            has_come.set()
            try:
                await act(reader, writer)
            finally:
                writer.transport.abort()
        await asyncio.sleep(_AWAY_SECONDS)


async def _connected(url: str) -> Streams:
    parts = urlsplit(url)
    context = None
    if parts.scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = _socket()
    try:
        await asyncio.get_running_loop().sock_connect(plain, (parts.hostname, parts.port))
        return await asyncio.open_connection(
            sock=plain, limit=1000, ssl=context, server_hostname="x" if context else None
        )
    except BaseException:
        plain.close()
        raise


async def _silent(url: str) -> None:
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    while True:
        plain = _socket()
        plain.connect_ex((parts.hostname, parts.port))
        loop.call_later(_SILENT_SECONDS, plain.close)
        await asyncio.sleep(1 / _SILENT_PER_SECOND)


def _socket() -> socket.socket:
    """Make one of which little fits into the kernel, so that what is not read stays away."""
    plain = socket.socket()
    plain.setblocking(False)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return plain


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2:]))
