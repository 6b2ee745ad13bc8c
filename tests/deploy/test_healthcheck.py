"""The probe of containers: a process that asks the real web server, and ends with 0 or 1."""

import socket
import sys
import time
from pathlib import Path

import pytest
import trustme

from exporter.web import ReloadingWebConfig
from tests.support.harness import Harness
from tests.support.processes import free_port, run
from tests.support.web_server import ALICE, served, write_ca, write_certificate, write_config
from tests.support.worlds import busy_world

pytestmark = [pytest.mark.anyio, pytest.mark.process]

CA = trustme.CA()
PROBE = (sys.executable, "-m", "exporter.healthcheck")
LISTEN = "EMR_EXPORTER_WEB__LISTEN_ADDRESS"


async def probe(folder: Path, address: str, *arguments: str) -> tuple[int, str]:
    """Run the probe with the variable of the image; give its exit code and what it says."""
    code, process = await run([*PROBE, *arguments], folder / "probe", {LISTEN: address})
    return code, process.output.decode().strip()


async def test_it_prints_the_response_of_the_exporter(tmp_path: Path) -> None:
    """Healthy is 0; unhealthy, as after polling has stopped, is 1, with the reason."""
    async with Harness(busy_world()) as h, served(site=h.site) as at:
        await h.poll()
        assert await probe(tmp_path, f"127.0.0.1:{at.port}") == (0, "Healthy.")
        await h.tick(3600)
        assert await probe(tmp_path, f"127.0.0.1:{at.port}") == (
            1,
            "no poll has made progress for 3600 s",
        )


@pytest.mark.parametrize("host", ["", "0.0.0.0", "127.0.0.1", "localhost"])  # noqa: S104 - no bind
async def test_it_finds_the_exporter_on_this_machine(tmp_path: Path, host: str) -> None:
    """An address for all interfaces means the loopback to whoever is inside."""
    async with served() as at:
        assert await probe(tmp_path, f"{host}:{at.port}") == (0, "hello")


async def test_an_address_can_be_given(tmp_path: Path) -> None:
    """Where the exporter was told its address by a flag, the probe can be told too."""
    async with served() as at:
        assert await probe(tmp_path, "127.0.0.1:1", f"127.0.0.1:{at.port}") == (0, "hello")


async def test_it_fails_without_an_answer(tmp_path: Path) -> None:
    """A port that is closed, and an address that is none, are said in one line."""
    address = f"127.0.0.1:{free_port()}"
    code, said = await probe(tmp_path, address)
    assert (code, said.count("\n")) == (1, 0)
    assert said.startswith(f"{address} does not answer: ConnectionRefusedError")
    code, said = await probe(tmp_path, "nonsense")
    assert (code, said.count("\n")) == (1, 0)
    assert said.startswith("nonsense does not answer: ValueError")


async def test_it_does_not_wait_for_long(tmp_path: Path) -> None:
    """A process that hangs is found out before the timeout of the HEALTHCHECK."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        code, said = await probe(tmp_path, f"127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - start < 5
    assert (code, "TimeoutError" in said) == (1, True)


async def test_it_uses_tls_where_the_exporter_does(tmp_path: Path) -> None:
    """No authority has to be known to ask oneself."""
    pair = write_certificate(tmp_path, CA)
    access = ReloadingWebConfig(write_config(tmp_path, {"tls_server_config": pair}))
    async with served(access) as at:
        assert await probe(tmp_path, f":{at.port}") == (0, "hello")


@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
async def test_a_port_that_asks_for_a_certificate_is_alive(tmp_path: Path, version: str) -> None:
    """The probe has none; that it is asked for one is an answer."""
    write_ca(tmp_path, CA)
    mutual = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.crt"}
    pair = write_certificate(tmp_path, CA)
    config = {"tls_server_config": {**pair, **mutual, "max_version": version}}
    access = ReloadingWebConfig(write_config(tmp_path, config))
    async with served(access) as at:
        assert await probe(tmp_path, f":{at.port}") == (0, "It asks for a certificate.")


async def test_a_port_that_asks_for_a_password_is_alive(tmp_path: Path) -> None:
    """With `web.health-auth` the probe hears no more than that."""
    path = write_config(tmp_path, {"basic_auth_users": {"alice": ALICE}})
    web = {"config": {"file": path}, "health_auth": True}
    async with Harness(busy_world(), web=web) as h, served(site=h.site) as at:
        await h.poll()
        assert await probe(tmp_path, f":{at.port}") == (0, "It asks for a password.")


async def test_it_imports_the_standard_library_only(tmp_path: Path) -> None:
    """A probe costs a start of Python and little more."""
    code = (
        "import sys; before = set(sys.modules); import exporter.healthcheck\n"
        "top = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(top - sys.stdlib_module_names), 'asyncio' in top)"
    )
    _, process = await run([sys.executable, "-c", code], tmp_path)
    assert process.output.decode() == "['exporter'] False\n"
