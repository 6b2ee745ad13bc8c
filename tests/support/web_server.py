"""A web server as the daemon runs it, with certificates that are made for the test."""

import asyncio
import contextlib
import logging
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from exporter.web import ReloadingWebConfig, Server, bind
from exporter.web.access import AccessMiddleware
from exporter.web.http import Connections, SlicedAnswers

ALICE = "$2b$04$aQTMCXd.jYTtihCMaJA.Ael98nlCqcfkc3SBrdW31iEw6VeG3hi26"
"""The hash of `SECRET`, cheap enough for tests."""
SECRET = "correct horse"


def hello() -> Starlette:
    """Make a site of one page, and of two that ask for no password."""

    async def greet(_: Request) -> PlainTextResponse:
        return PlainTextResponse("hello\n")

    return Starlette(
        routes=[Route(path, greet) for path in ("/", "/metrics", "/-/healthy", "/-/ready")]
    )


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    def url(self, scheme: str = "http", path: str = "/") -> str:
        """Return a URL of it."""
        return f"{scheme}://{self.host}:{self.port}{path}"


@asynccontextmanager
async def served(
    access: ReloadingWebConfig | None = None,
    site: ASGIApp | None = None,
    connections: Connections | None = None,
) -> AsyncIterator[Address]:
    """Serve a site on the loopback inside the block."""
    access = access or ReloadingWebConfig(None)
    app = AccessMiddleware(
        SlicedAnswers(site or hello()), lambda: access.current, ("/-/healthy", "/-/ready")
    )
    server = Server(app, lambda: access.current.tls, connections)
    with bind("127.0.0.1", 0) as listener:
        address = Address(*listener.getsockname())
        async with server.serving(listener):
            yield address


def write_config(folder: Path, content: Mapping[str, Any], name: str = "web.yml") -> Path:
    """Write a web configuration."""
    path = folder / name
    path.write_text(yaml.safe_dump(content))
    return path


def write_certificate(
    folder: Path, ca: trustme.CA, *names: str, stem: str = "server"
) -> Mapping[str, str]:
    """Write a certificate and its key, and give the keys of the file that name them."""
    issued = ca.issue_cert(*(names or ("127.0.0.1", "localhost")))
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    (folder / f"{stem}.crt").write_bytes(chain)
    (folder / f"{stem}.key").write_bytes(issued.private_key_pem.bytes())
    return {"cert_file": f"{stem}.crt", "key_file": f"{stem}.key"}


def write_ca(folder: Path, ca: trustme.CA, name: str = "ca.crt") -> Path:
    """Write the certificate of an authority."""
    path = folder / name
    ca.cert_pem.write_to_path(path)
    return path


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    """Return the TLS of a client that trusts `ca`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(context)
    return context


async def exchange(address: Address, sent: bytes) -> bytes:
    """Send bytes, and give all that comes until the server hangs up, or says no more."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    received = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        writer.write(sent)
        await writer.drain()
        async with asyncio.timeout(10):
            while part := await reader.read(65536):
                received += part
    writer.close()
    return received


def statuses(received: bytes) -> list[int]:
    """Return the status of each answer."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


class Heard(logging.Handler):
    """Collects what libraries say."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.said.append(self.format(record))
