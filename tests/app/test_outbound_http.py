"""Which way requests go, by the variables that every program knows."""

import asyncio
import resource
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import structlog

from exporter.app.no_proxy import NoProxy
from exporter.app.outbound_http import open_http, open_loopback_http
from exporter.errors import SettingsError

DIRECT = "GET / HTTP/1.1"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without any of them."""
    names = ("https_proxy", "http_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")
    for name in (*names, "sslkeylogfile"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def listener(lines: list[str], headers: Sequence[tuple[str, str]] = ()) -> AsyncIterator[int]:
    """Keep the first line of each connection, and hang up; give the port.

    With `headers`, answer first.
    """

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await reader.read(4096)).split(b"\r\n")[0].decode("latin-1"))
        if headers:
            head = "".join(f"{name}: {value}\r\n" for name, value in headers)
            writer.write(f"HTTP/1.1 200 OK\r\nConnection: close\r\n{head}\r\n".encode())
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def first_line(monkeypatch: pytest.MonkeyPatch, url: str, **variables: str) -> str:
    """Return the first line that arrives where `{port}` in `url` and the variables leads to."""
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


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("*", "https://a.example.com"),
        ("example.com", "https://example.com"),
        ("example.com", "https://a.example.com"),
        ("EXAMPLE.com.", "https://a.example.com"),
        (".example.com", "https://a.example.com"),
        ("*.example.com", "https://b.a.example.com"),
        ("x,example.com:443", "https://a.example.com"),
        ("example.com:8443 y", "https://example.com:8443"),
        ("https://example.com", "https://a.example.com"),
        ("all://example.com:443/", "https://example.com"),
        ("10.0.0.7", "https://10.0.0.7"),
        ("10.0.0.7:443", "https://10.0.0.7"),
        ("10.0.0.0/8", "https://10.200.0.7:8443"),
        ("10.1.2.3/8", "https://10.200.0.7"),
        ("fd01::/48", "https://[fd01::7]"),
        ("fd01::7", "https://[fd01::7]:8443"),
        ("[fd01::7]:443", "https://[fd01::7]"),
        ("b\u00fccher.example", "https://xn--bcher-kva.example"),
        ("", "https://localhost:8443"),
        ("", "https://127.9.9.9"),
        ("", "https://[::1]"),
    ],
)
def test_hosts_exempt_by_no_proxy(no_proxy: str, url: str) -> None:
    """Every form that Go or httpx understands has the meaning that it has there."""
    found = NoProxy.parse(no_proxy)
    assert found.exempts(httpx.URL(url))
    assert found.unknown == ()


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("", "https://example.com"),
        ("example.com", "https://myexample.com"),
        (".example.com", "https://example.com"),
        ("*.example.com", "https://example.com"),
        ("example.com:8443", "https://example.com"),
        ("http://example.com", "https://example.com"),
        ("0.7", "https://10.0.0.7"),
        ("10.0.0.0/8", "https://11.0.0.7"),
        ("10.0.0.0/8", "https://a10.example.com"),
        ("10.0.0.7", "https://10.0.0.70"),
        ("::1/128", "https://10.0.0.7"),
    ],
)
def test_hosts_not_exempt_by_no_proxy(no_proxy: str, url: str) -> None:
    """Hosts that end alike, other ports and other schemes go through the proxy."""
    found = NoProxy.parse(no_proxy)
    assert not found.exempts(httpx.URL(url))
    assert found.unknown == ()


@pytest.mark.parametrize(
    "entry",
    [
        *("10.0.*", "*foo.example.com", "a*.example.com", "10.0.0.0/99", "10.0.0.0/x"),
        *("example.com:https", "ftp://example.com", "example.com/path", "https://", ":443"),
    ],
)
def test_an_entry_that_is_not_understood_is_named(entry: str) -> None:
    """It exempts nobody, and the log names it."""
    found = NoProxy.parse(f"one.example.com,{entry}")
    assert found.unknown == (entry,)
    with structlog.testing.capture_logs() as events, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", f"one.example.com,{entry}")
        open_http()
    assert [event["entry"] for event in events] == [entry]


def test_cookies_are_not_kept() -> None:
    """Whatever an answer sets, the next request is the same and the memory stays free."""
    cookies = [("set-cookie", f"c{number}=x; Max-Age=99999") for number in range(2000)]

    async def ask() -> int:
        async with listener([], cookies) as port, open_http() as http:
            await http.get(f"http://127.0.0.1:{port}/")
            return len(http.cookies.jar)

    assert asyncio.run(ask()) == 0


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SSLKEYLOGFILE", "{folder}/none/keys", "SSLKEYLOGFILE={folder}/none/keys: No such file"),
        ("SSLKEYLOGFILE", "{folder}", "SSLKEYLOGFILE={folder}: Is a directory"),
        ("SSL_CERT_FILE", "{folder}/none", "SSL_CERT_FILE={folder}/none: No such file"),
        ("SSL_CERT_FILE", "{folder}", "SSL_CERT_FILE={folder}: "),
        ("SSL_CERT_FILE", "/dev/null", "SSL_CERT_FILE=/dev/null: it holds no certificate"),
        ("SSL_CERT_DIR", "{folder}/none", "SSL_CERT_DIR={folder}/none: no such folder"),
    ],
)
def test_an_unusable_proxy_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str, said: str
) -> None:
    """The one that is wrong, and not another that is read at the same time."""
    monkeypatch.setenv(variable, value.format(folder=tmp_path))
    with pytest.raises(SettingsError) as caught:
        open_http()
    assert str(caught.value).startswith(said.format(folder=tmp_path))
    assert "unset it" in str(caught.value)


def test_too_many_open_files_are_no_fault_of_the_certificates() -> None:
    """Where no file can be opened any more, the limit is named."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path("/dev/null").open("rb") as file:
        first_free = file.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, hard))
    try:
        with pytest.raises(SettingsError, match=r"ulimit -n"):
            open_http()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_keys_are_logged_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`SSLKEYLOGFILE` is no error by itself, and no concern of plain HTTP."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    open_http()
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path))
    open_loopback_http()


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
