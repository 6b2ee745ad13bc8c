"""The vendor's own library, in processes: what it finds, by which way, and why it fails."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from tests.api import vendor_library
from tests.support.forked import fork
from tests.support.processes import end_of

pytestmark = [pytest.mark.anyio, pytest.mark.process]

Ask = Callable[..., Awaitable[str]]
"""Runs the library with a home and variables; returns what came of it."""


@pytest.fixture
def ask() -> Ask:
    """Run the library, each time in a process that has not imported it yet."""

    async def run(home: Path, variables: Mapping[str, str], *arguments: str) -> str:
        general = ("proxy", "ssl_cert_file")
        named = {
            name if name.lower().endswith(general) else f"ALIBABA_CLOUD_{name}": value
            for name, value in variables.items()
        }
        environment = {"HOME": str(home), **named}
        async with fork(
            vendor_library.main, arguments or ("",), home / "output", environment
        ) as process:
            code, _ = await end_of(process)
        errors = process.stderr.read_text()
        assert code == 0, errors
        assert "Traceback" not in errors
        assert "sentinel" not in errors
        return process.stdout.read_text()

    return run


def put(path: Path, content: str | bytes) -> None:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def profile(**fields: object) -> str:
    """Return a configuration of the CLI with one profile."""
    return json.dumps({"current": "p", "profiles": [{"name": "p", **fields}]})


AK = {"mode": "AK", "access_key_id": "LTAIfile", "access_key_secret": "sentinel"}
INI = (
    "[default]\ntype = access_key\naccess_key_id = LTAIfile\naccess_key_secret = sentinel # mine\n"
)
CLI, INI_FILE = ".aliyun/config.json", ".alibabacloud/credentials.ini"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (CLI, profile(**AK)),
        (CLI, b"\xef\xbb\xbf" + profile(**AK).encode()),
        (INI_FILE, INI),
        (INI_FILE, b"\xef\xbb\xbf" + INI.encode()),
        (INI_FILE, INI.replace("sentinel", "sentinel%x")),
    ],
)
async def test_files_are_read(tmp_path: Path, ask: Ask, name: str, content: str | bytes) -> None:
    """A profile is found with a byte order mark or without."""
    put(tmp_path / name, content)
    assert "found: Credential(access_key_id='LTAIfile'" in await ask(tmp_path, {})


EXPIRED = {
    "mode": "CloudSSO",
    "cloud_sso_sign_in_url": "https://sso.example.com/sentinel",
    "access_token": "sentinel",
    "cloud_sso_access_token_expire": 1,
}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (CLI, profile(**AK)[:-9], "it is not JSON, or is cut off (line 1)"),
        (CLI, "[]", "it is not a configuration of the Alibaba Cloud CLI"),
        (CLI, b"\xff\xfe{\x00}\x00", "it is not UTF-8"),
        (CLI, json.dumps({"current": "q", "profiles": [{"name": "p"}]}), "it has no such profile"),
        (CLI, profile(mode="Sentinel"), "its type is not supported"),
        (CLI, profile(mode="AK", access_key_id="LTAIsentinel"), "a value that it needs is missing"),
        (CLI, profile(**EXPIRED), "the sign-in has expired; sign in again"),
        (CLI, profile(mode="External", process_command="/bin/sh -c 'exit 3'"), "exit status 3"),
        (
            CLI,
            profile(mode="External", process_command="/proc/none"),
            "its command gives no credential",
        ),
        (CLI, profile(mode="External", process_command="echo sentinel"), "gives no credential"),
        (INI_FILE, "access_key_id = LTAIsentinel", "it is not an INI file"),
        (INI_FILE, "[other]\n", "it has no profile default"),
        (INI_FILE, "[default]\ntype = sentinel\n", "its type is not supported"),
        (INI_FILE, "[default]\ntype = access_key\n", "a value that it needs is missing"),
    ],
)
async def test_an_unusable_file_is_named(
    tmp_path: Path, ask: Ask, name: str, content: str | bytes, reason: str
) -> None:
    """The file, and what is wrong with it; nothing of what it holds."""
    put(tmp_path / name, content)
    said = await ask(tmp_path, {})
    assert said.startswith(f"error: No credential could be found or renewed ({tmp_path / name}: ")
    assert reason in said
    assert "sentinel" not in said.lower()


OIDC = {"ROLE_ARN": "acs:ram::1:role/x", "OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/x"}


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({}, "(none is configured)"),
        (
            {"ACCESS_KEY_ID": "LTAIx"},
            "ALIBABA_CLOUD_ACCESS_KEY_ID: a value that it needs is missing",
        ),
        ({"PROFILE": "p"}, "/.aliyun/config.json: No such file or directory"),
        ({"CREDENTIALS_FILE": "/proc/none.ini"}, "(/proc/none.ini: No such file or directory)"),
        ({"CREDENTIALS_FILE": "/proc"}, "(/proc: Is a directory)"),
        (OIDC, "OIDC_TOKEN_FILE: ALIBABA_CLOUD_OIDC_TOKEN_FILE is not set"),
        (
            {**OIDC, "OIDC_TOKEN_FILE": "/proc/none"},
            "OIDC_TOKEN_FILE: /proc/none: No such file or directory",
        ),
        ({**OIDC, "OIDC_TOKEN_FILE": "/dev/null"}, "OIDC_TOKEN_FILE: the token file is empty"),
        ({"OIDC_TOKEN_FILE": "/proc/none"}, "ALIBABA_CLOUD_ROLE_ARN is not set"),
        ({"CREDENTIALS_URI": "http://127.0.0.1:9/"}, "CREDENTIALS_URI: STS: the service cannot be"),
    ],
)
async def test_what_is_configured_is_named(
    tmp_path: Path, ask: Ask, variables: Mapping[str, str], reason: str
) -> None:
    """Each provider that is configured says why it gave nothing; the others are not mentioned."""
    said = await ask(tmp_path, variables)
    assert reason in said
    assert said.count(";") <= said.partition("|")[2].count(";")


async def test_all_that_failed_are_named(tmp_path: Path, ask: Ask) -> None:
    """Where two providers are configured, both say why; a third that works is taken."""
    variables = {"ACCESS_KEY_SECRET": "sentinel", "CREDENTIALS_FILE": "/proc/none.ini"}
    said = await ask(tmp_path, variables)
    assert "ACCESS_KEY_ID: a value that it needs is missing; /proc/none.ini: No such file" in said
    assert "sentinel" not in said
    put(tmp_path / CLI, profile(**AK))
    assert "found: Credential(access_key_id='LTAIfile'" in await ask(tmp_path, variables)


CREDENTIAL = {
    "AccessKeyId": "STS.x",
    "AccessKeySecret": "secret",
    "SecurityToken": "token",
    "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)),
}


class Sts:
    """STS over TLS, with a certificate of a company's own, and a proxy on the way to it."""

    def __init__(self, folder: Path, status: int = 200, body: object = None) -> None:
        self.folder = folder
        self.answer = json.dumps({"Credentials": CREDENTIAL} if body is None else body).encode()
        self.status = status
        self.extra = b""
        self.port = self.proxy_port = 0
        self.tunnels: list[str] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[dict[str, str]]:
        """Serve both; give the variables of RRSA."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        put(self.folder / "token", "sentinel-token")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("sts.aliyuncs.com").configure_cert(context)
        sts = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=context)
        proxy = await asyncio.start_server(self._tunnel, "127.0.0.1", 0)
        async with sts, proxy:
            self.port, self.proxy_port = (
                server.sockets[0].getsockname()[1] for server in (sts, proxy)
            )
            yield {**OIDC, "OIDC_TOKEN_FILE": str(self.folder / "token")}

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(self.answer)}\r\n"
        writer.write(head.encode() + self.extra + b"Connection: close\r\n\r\n" + self.answer)
        writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tunnels.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(pipe(reader, back), pipe(there, writer))


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, to its end."""
    try:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("role", ["", "acs:ram::1:role/second"])
async def test_sts_is_asked_the_way_of_the_api(
    tmp_path: Path, ask: Ask, variable: str, role: str
) -> None:
    """Through the proxy, and trusting the certificates of `SSL_CERT_FILE`."""
    sts = Sts(tmp_path)
    async with sts.serve() as rrsa:
        way = {
            variable: f"http://127.0.0.1:{sts.proxy_port}",
            "SSL_CERT_FILE": f"{tmp_path}/ca.pem",
        }
        said = await ask(tmp_path, {**rrsa, **way}, role)
    assert "found: Credential(access_key_id='STS.x'" in said
    assert set(sts.tunnels) == {"sts.aliyuncs.com:443"}
    assert len(sts.tunnels) == (2 if role else 1)


@pytest.mark.parametrize("no_proxy", [".aliyuncs.com", "*.aliyuncs.com", "sts.aliyuncs.com:443"])
async def test_no_proxy_applies_to_sts(tmp_path: Path, ask: Ask, no_proxy: str) -> None:
    """A host that is exempt is asked directly."""
    sts = Sts(tmp_path)
    async with sts.serve() as rrsa:
        way = {
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "no_proxy": no_proxy,
            "SSL_CERT_FILE": f"{tmp_path}/ca.pem",
        }
        said = await ask(tmp_path, {**rrsa, **way}, "", str(sts.port))
    assert "found: Credential(access_key_id='STS.x'" in said
    assert sts.tunnels == []


async def test_a_certificate_that_is_not_trusted_is_named(tmp_path: Path, ask: Ask) -> None:
    """Behind an inspecting proxy, what is missing is its certificate."""
    sts = Sts(tmp_path)
    async with sts.serve() as rrsa:
        way = {"HTTPS_PROXY": f"http://127.0.0.1:{sts.proxy_port}"}
        said = await ask(tmp_path, {**rrsa, **way})
    assert "OIDC_TOKEN_FILE: STS: the service cannot be reached: its certificate is not" in said
    assert "sentinel" not in said


@pytest.mark.parametrize(
    ("status", "body", "extra", "reason"),
    [
        (
            400,
            {"Code": "AuthenticationFail.NoPermission", "Message": "sentinel"},
            b"",
            "the service answered HTTP 400 and said AuthenticationFail.NoPermission",
        ),
        (200, {"sentinel": 1}, b"", "the service's answer holds no credential"),
        (200, {}, b"Content-Encoding: gzip\r\n", "STS: the answer has the content encoding 'gzip'"),
        (200, "x" * 70_000, b"", "the service's answer is too large"),
        (302, {}, b"Location: http://127.0.0.1:9/\r\n", "the service answered HTTP 302"),
    ],
)
async def test_what_sts_answers_is_named(
    tmp_path: Path, ask: Ask, status: int, body: object, extra: bytes, reason: str
) -> None:
    """Status and code are said; nothing else of the answer is."""
    sts = Sts(tmp_path, status, body)
    sts.extra = extra
    async with sts.serve() as rrsa:
        way = {
            "HTTPS_PROXY": f"http://127.0.0.1:{sts.proxy_port}",
            "SSL_CERT_FILE": f"{tmp_path}/ca.pem",
        }
        said = await ask(tmp_path, {**rrsa, **way})
    assert reason in said
    assert "sentinel" not in said
