"""TLS on the wire: who gets in, what they see of it, and certificates that change."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import trustme

from exporter.web import ReloadingWebConfig
from exporter.web.http.connections import Connections
from tests.support.processes import eventually
from tests.support.web_server import (
    Address,
    served,
    trusting,
    write_ca,
    write_certificate,
    write_config,
)

pytestmark = pytest.mark.anyio

CA = trustme.CA()
STRANGER = trustme.CA()


def tls_access(folder: Path, **more: object) -> ReloadingWebConfig:
    """Make a web configuration with a certificate for the loopback."""
    pair = write_certificate(folder, CA)
    return ReloadingWebConfig(write_config(folder, {"tls_server_config": {**pair, **more}}))


def mutual(folder: Path, **more: object) -> ReloadingWebConfig:
    """Make one that lets in clients of the authority only."""
    write_ca(folder, CA)
    kind = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.crt"}
    return tls_access(folder, **{**kind, **more})


def client(address: Address, context: ssl.SSLContext) -> httpx.AsyncClient:
    """Return a client of the server."""
    return httpx.AsyncClient(base_url=address.url("https"), verify=context)


def presenting(ca: trustme.CA) -> ssl.SSLContext:
    """Return the TLS of a client that trusts the server and shows a certificate of `ca`."""
    context = trusting(CA)
    ca.issue_cert("client.test").configure_cert(context)
    return context


def serial(address: Address) -> str:
    """Ask for the server's certificate on a new connection; give its serial number."""
    context = trusting(CA)
    with (
        socket.create_connection((address.host, address.port), 10) as plain,
        context.wrap_socket(plain, server_hostname=address.host) as secured,
    ):
        found = secured.getpeercert()
        assert found is not None
        return str(found["serialNumber"])


async def test_https_is_served(tmp_path: Path) -> None:
    """Several requests on one connection, and two connections at a time."""
    async with served(tls_access(tmp_path)) as address, client(address, trusting(CA)) as http:
        answers = [await http.get("/"), await http.get("/")]
        answers += await asyncio.gather(http.get("/"), http.get("/"))
    assert {answer.text for answer in answers} == {"hello\n"}


async def test_plain_http_on_the_https_port_gets_no_response(tmp_path: Path) -> None:
    """The connection is closed, and later HTTPS requests work."""
    async with served(tls_access(tmp_path)) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        async with client(address, trusting(CA)) as http:
            assert (await http.get("/")).is_success
    assert b"HTTP" not in answer
    assert len(answer) <= 7  # an alert of TLS


async def test_rotated_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    """New connections get the new certificate; open ones are not interrupted."""
    access = tls_access(tmp_path)
    async with served(access) as address, client(address, trusting(CA)) as http:
        assert (await http.get("/")).is_success
        before = await asyncio.to_thread(serial, address)
        write_certificate(tmp_path, CA)
        await access.refresh()
        after = await asyncio.to_thread(serial, address)
        assert (await http.get("/")).is_success
    assert before != after


async def test_broken_certificate_keeps_the_last_valid_one(tmp_path: Path) -> None:
    """New connections get the previous certificate."""
    access = tls_access(tmp_path)
    async with served(access) as address:
        before = await asyncio.to_thread(serial, address)
        (tmp_path / "server.crt").write_text("not a certificate")
        await access.refresh()
        assert await asyncio.to_thread(serial, address) == before


async def test_mutual_tls_refuses_clients_without_a_valid_certificate(tmp_path: Path) -> None:
    """None, or one of another authority."""
    async with served(mutual(tmp_path)) as address:
        for context in (trusting(CA), presenting(STRANGER)):
            async with client(address, context) as http:
                with pytest.raises(httpx.TransportError):
                    await http.get("/")
        async with client(address, presenting(CA)) as http:
            assert (await http.get("/")).text == "hello\n"


async def test_optional_client_certificate_is_verified_if_sent(tmp_path: Path) -> None:
    """An invalid one is refused although none is required."""
    access = mutual(tmp_path, client_auth_type="VerifyClientCertIfGiven")
    async with served(access) as address:
        for context in (trusting(CA), presenting(CA)):
            async with client(address, context) as http:
                assert (await http.get("/")).text == "hello\n"
        async with client(address, presenting(STRANGER)) as http:
            with pytest.raises(httpx.TransportError):
                await http.get("/")


async def test_min_version_of_tls_is_enforced(tmp_path: Path) -> None:
    """A client that supports only older versions is refused."""
    old = trusting(CA)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with served(tls_access(tmp_path, min_version="TLS13")) as address:
        async with client(address, old) as http:
            with pytest.raises(httpx.ConnectError):
                await http.get("/")
        async with client(address, trusting(CA)) as http:
            assert (await http.get("/")).is_success


async def test_unfinished_handshake_counts_as_a_connection_and_times_out(tmp_path: Path) -> None:
    """Connections that never reach HTTP are bounded like all others."""
    connections = Connections(most=3)
    async with served(tls_access(tmp_path), connections=connections) as address:
        streams = [await asyncio.open_connection(address.host, address.port) for _ in range(5)]
        for _, writer in streams:
            writer.write(b"\x16\x03\x01")
        await eventually(lambda: has_ended(streams[1][0]), seconds=5)
        assert len(connections) <= 3
        async with client(address, trusting(CA)) as http:
            assert (await http.get("/")).is_success
        for _, writer in streams:
            writer.close()


async def has_ended(reader: asyncio.StreamReader) -> bool:
    """Whether the server has hung up."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        return await asyncio.wait_for(reader.read(1), 0.05) == b""
    return reader.exception() is not None


@pytest.mark.real
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl_client_verifies_the_certificate_and_reads_a_page(
    tmp_path: Path, real_tool: Callable[[str], Path], version: str
) -> None:
    """An implementation of TLS other than Python's bindings."""
    ca = write_ca(tmp_path, CA)
    async with served(tls_access(tmp_path)) as address:
        process = await asyncio.create_subprocess_exec(
            real_tool("openssl"),
            *("s_client", "-connect", f"{address.host}:{address.port}", version, "-ign_eof"),
            *(
                "-CAfile",
                ca,
                "-verify_return_error",
                "-verify_ip",
                "127.0.0.1",
                "-alpn",
                "h2,http/1.1",
            ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        said, _ = await asyncio.wait_for(process.communicate(request), 30)
    assert process.returncode == 0
    assert b"Verify return code: 0 (ok)" in said
    assert b"ALPN protocol: http/1.1" in said
    assert said.count(b"hello\n") == 1


@pytest.mark.real
async def test_openssl_client_cannot_use_tls_1_1(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """The default minimum is TLS 1.2."""
    async with served(tls_access(tmp_path)) as address:
        process = await asyncio.create_subprocess_exec(
            real_tool("openssl"),
            *("s_client", "-connect", f"{address.host}:{address.port}", "-tls1_1"),
            *("-cipher", "ALL:@SECLEVEL=0"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode != 0
    assert b"Cipher is (NONE)" in said
