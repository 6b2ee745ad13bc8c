"""What the web server uses of uvicorn and asyncio beyond what they document."""

import asyncio
import hashlib
import inspect
import socket
import ssl
import tomllib
from asyncio.sslproto import SSLProtocol
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from exporter.web.http.server import TlsProtocol

ROOT = Path(__file__).parents[2]

DIGESTS = {
    HttpToolsProtocol: "18fdf324b11bf160",
    RequestResponseCycle: "e67d470d435dcc1c",
    FlowControl: "126debcdaa894c83",
    ServerState: "f2260fbf10154746",
}
"""Classes of uvicorn, and the digests of their sources when they were last read."""


@pytest.mark.parametrize("code", DIGESTS)
def test_subclassed_code_of_uvicorn_is_unchanged(code: type) -> None:
    """If not: read the change, check `exporter/web/http` against it, write the new digest."""
    found = hashlib.sha256(inspect.getsource(code).encode()).hexdigest()
    assert found.startswith(DIGESTS[code])


def test_uvicorn_is_pinned_to_a_minor_version() -> None:
    """Also for those who install the package without the lock file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [Requirement(text) for text in project["dependencies"]]
    (uvicorn,) = (each for each in requirements if each.name == "uvicorn")
    major, minor, *_ = map(int, version("uvicorn").split("."))
    assert str(uvicorn.specifier) == f"<{major}.{minor + 1},>={major}.{minor}"


async def _buffer() -> int:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    loop = asyncio.get_running_loop()
    agreed = loop.create_future()
    secured = TlsProtocol(loop, asyncio.Protocol(), context, agreed, server_side=True)
    ours, theirs = socket.socketpair()
    with theirs:
        await loop.connect_accepted_socket(lambda: secured, ours)
        size = len(secured.get_buffer(-1))
    with pytest.raises(ConnectionResetError):
        await agreed
    return size


def test_tls_buffers_of_asyncio_can_be_reduced() -> None:
    """One per connection; its size is set by an undocumented attribute."""
    assert list(inspect.signature(SSLProtocol).parameters) == [
        "loop",
        "app_protocol",
        "sslcontext",
        "waiter",
        "server_side",
        "server_hostname",
        "call_connection_made",
        "ssl_handshake_timeout",
        "ssl_shutdown_timeout",
    ]
    assert asyncio.run(_buffer()) == TlsProtocol.max_size == 16 * 1024
