"""Which way requests go, by the variables that every program knows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from exporter.app.connections import open_http
from exporter.errors import SettingsError

DIRECT = "GET / HTTP/1.1"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without any of them."""
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def listener(lines: list[str]) -> AsyncIterator[int]:
    """Keep the first line of each connection, and hang up; give the port."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await reader.read(4096)).split(b"\r\n")[0].decode("latin-1"))
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def first_line(monkeypatch: pytest.MonkeyPatch, url: str, **variables: str) -> str:
    """Give the first line that arrives where `{port}` in `url` and the variables leads to."""
    lines: list[str] = []

    async def ask() -> None:
        async with listener(lines) as port:
            for name, value in variables.items():
                monkeypatch.setenv(name, value.format(port=port))
            async with open_http() as http:
                with pytest.raises(httpx.TransportError):
                    await http.get(url.format(port=port))

    asyncio.run(ask())
    (line,) = lines
    return line


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}", "127.0.0.1:{port}", " {0}"])
def test_https_goes_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    """The proxy gets no more than the name and the port; a scheme may be left out."""
    address = address.replace("{0}", "http://ann:secret@127.0.0.1:{port}/")
    line = first_line(monkeypatch, "https://api.invalid/", **{variable: address})
    assert line == "CONNECT api.invalid:443 HTTP/1.1"


@pytest.mark.parametrize(
    "no_proxy",
    [
        "127.0.0.1",
        "*",
        "127.0.0.1:{port}",
        ".svc, .cluster.local,10.0.0.0/8,fe80::/10,fd01::/48,::1,[::1],http://x:y,127.0.0.1",
    ],
)
def test_hosts_without_proxy(monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    """`NO_PROXY` is understood as it stands in clusters, with networks and addresses of IPv6."""
    line = first_line(
        monkeypatch,
        "https://127.0.0.1:{port}/",
        HTTPS_PROXY="http://127.0.0.1:9",
        NO_PROXY=no_proxy,
    )
    assert line.startswith("\x16\x03")  # a TLS handshake


def test_another_host_still_goes_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `NO_PROXY` names does not stand for hosts that end alike."""
    line = first_line(
        monkeypatch,
        "https://my-api.invalid/",
        HTTPS_PROXY="http://127.0.0.1:{port}",
        NO_PROXY="[::1],fe80::/10,api.invalid",
    )
    assert line == "CONNECT my-api.invalid:443 HTTP/1.1"


def test_loopback_in_plain_http_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signed request never goes to a proxy in the clear, nor does the machine ask for itself."""
    line = first_line(
        monkeypatch,
        "http://127.0.0.1:{port}/",
        HTTP_PROXY="http://127.0.0.1:9",
        ALL_PROXY="http://127.0.0.1:9",
    )
    assert line == DIRECT


@pytest.mark.parametrize(
    "address",
    [
        "http://ann:sentinel/x@proxy:3128",
        "http://ann:sen:tinel@proxy:sentinel",
        "proxy:sentinel",
        "ftp://ann:sentinel@proxy",
        "socks5://ann:sentinel@127.0.0.1:1080",
        "http://",
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_useless_proxy_is_named_but_not_quoted(
    monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    """The error says which variable to mend; a password, or a part of it, is not in it."""
    monkeypatch.setenv(variable, address)
    with pytest.raises(SettingsError, match=f"^{variable}: give the URL of an HTTP proxy") as said:
        open_http()
    assert "sentinel" not in str(said.value)
