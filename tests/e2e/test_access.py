"""The real process with a web configuration: what it says, whom it serves, what it survives."""

import asyncio
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from tests.support import processes
from tests.support.exporters import ANY_PORT
from tests.support.forked import run, start
from tests.support.harness import Harness
from tests.support.processes import EXPORTER, Process, eventually, free_port, until
from tests.support.prometheus import prometheus
from tests.support.promtool import PREFIX
from tests.support.web_server import (
    ALICE,
    SECRET,
    trusting,
    write_ca,
    write_certificate,
    write_config,
)
from tests.support.worlds import busy_world

pytestmark = pytest.mark.anyio

CA = trustme.CA()
METRIC = f"{PREFIX}exporter_web_config_last_reload_successful"


def configured(folder: Path, **more: Any) -> Path:  # noqa: ANN401  as the file has it
    """Write a configuration with TLS and a password."""
    pair = write_certificate(folder, CA)
    users = {"basic_auth_users": {"alice": ALICE}}
    return write_config(folder, {"tls_server_config": {**pair, **more}, **users})


@pytest.mark.process
@pytest.mark.parametrize("command", ["demo", "serve"])
async def test_invalid_web_config_is_one_line_and_exit_code_2(tmp_path: Path, command: str) -> None:
    """The daemon does not start without the access control that was asked for."""
    path = write_config(tmp_path, {"basic_auth_user": {}})
    flags = ["--region-id=cn-hangzhou", ANY_PORT, f"--web.config.file={path}"]
    code, process = await run([*EXPORTER, command, *flags], tmp_path / "e")
    assert code == 2
    assert process.output.decode() == (
        f"error: {path}: basic_auth_user: unknown key; did you mean basic_auth_users?\n"
    )


@pytest.mark.parametrize(("asks", "status"), [(False, 200), (True, 401)])
async def test_health_auth_requires_the_password_for_health(
    tmp_path: Path, asks: object, status: int
) -> None:
    """`web.health-auth` protects the health endpoints like all other paths."""
    path = write_config(tmp_path, {"basic_auth_users": {"alice": ALICE}})
    web = {"config": {"file": path}, "health_auth": asks}
    async with Harness(busy_world(), web=web) as h:
        await h.poll()
        assert (await h.get("/-/healthy")).status_code == status
        assert (await h.get("/-/ready")).status_code == status
        for path_ in ("/", "/metrics", "/api/v1/status"):
            assert (await h.get(path_)).status_code == 401
            login = httpx.BasicAuth("alice", SECRET)
            assert (await h.reader.get(path_, auth=login)).status_code == 200


@pytest.mark.process
async def test_reload_of_the_web_config_shows_on_the_page(tmp_path: Path) -> None:
    """The process notices a change by itself and keeps the last valid config."""
    path = configured(tmp_path)
    command = [*EXPORTER, "demo", ANY_PORT, f"--web.config.file={path}"]
    async with start(command, tmp_path / "e") as process:
        url = await process.url()
        assert url.startswith("https://")
        login = httpx.BasicAuth("alice", SECRET)
        async with httpx.AsyncClient(base_url=url, verify=trusting(CA), auth=login) as http:
            await eventually(partial(shows, http, f"{METRIC} 1.0"))
            (tmp_path / "server.crt").write_text("half a certi")
            await eventually(partial(shows, http, f"{METRIC} 0.0"))
            await until(lambda: b"web_config_refused" in process.output, "it is logged", process)
            write_certificate(tmp_path, CA)
            await eventually(partial(shows, http, f"{METRIC} 1.0"))
        await stranger_gets_nothing(url, process)
        code, _ = await process.end()
    assert code == 0
    assert b"Traceback" not in process.output
    assert SECRET.encode() not in process.output
    assert ALICE.encode() not in process.output


@pytest.mark.process
async def test_connections_beyond_the_file_limit_are_one_log_line(tmp_path: Path) -> None:
    """Scrapes work after a burst that used up the file descriptors."""
    limited = ["sh", "-c", 'ulimit -n 48; exec "$@"', "sh", *EXPORTER, "demo", ANY_PORT]
    async with processes.start(limited, tmp_path / "e") as process:
        url = await process.url()
        port = int(url.rpartition(":")[2])
        for _ in range(5):
            clients = [
                await asyncio.open_connection("127.0.0.1", port, limit=1000) for _ in range(100)
            ]
            async with httpx.AsyncClient(base_url=url) as http:
                assert (await http.get("/metrics")).is_success
            for _, writer in clients:
                writer.transport.abort()
        code, _ = await process.end()
    assert code == 0
    lines = process.output.decode().splitlines()
    assert [line for line in lines if "level=error" in line] == []
    assert len([line for line in lines if "level=warning" in line]) <= 1


async def shows(http: httpx.AsyncClient, line: str) -> bool:
    """Whether a line stands on the page."""
    return line in (await http.get("/metrics")).text.splitlines()


def fifo(path: Path) -> None:
    """Put a FIFO in place of a file, into which nobody writes."""
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    """Put a folder in place of a file."""
    path.unlink()
    path.mkdir()


MANY_ALIASES = "a0: &a0 [x]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{','.join([f'*a{n}'] * 9)}]\n" for n in range(9)
)
BAD_FILES: dict[str, Callable[[Path], object]] = {
    "nested": lambda path: path.write_text("rate_limit: " + "[" * 3000),
    "number": lambda path: path.write_text("rate_limit: {burst: " + "9" * 5000 + "}"),
    "float": lambda path: path.write_text("rate_limit: {burst: 1e999}"),
    "duration": lambda path: path.write_text(
        "rate_limit: {burst: 1, interval: " + "9" * 5000 + "s}"
    ),
    "large": lambda path: path.write_text("#" * (2**20 + 1)),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "aliases": lambda path: path.write_text(MANY_ALIASES),
    "fifo": fifo,
    "folder": folder,
    "gone": lambda path: path.unlink(),
    "certificate is a fifo": lambda path: fifo(path.with_name("server.crt")),
}


REFUSED = b"event=web_config_refused"


def mend(place: Path) -> None:
    """Put back what was there."""
    for path in (place / "web.yml", place / "server.crt"):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    configured(place)


@pytest.mark.process
@pytest.mark.timeout(120)
async def test_last_valid_web_config_stays_in_force_whatever_the_file_becomes(
    tmp_path: Path,
) -> None:
    """The page shows it, the same users are admitted, and each bad file is logged once."""
    path = configured(tmp_path)
    command = [*EXPORTER, "demo", ANY_PORT, f"--web.config.file={path}"]
    async with start(command, tmp_path / "e") as process:
        url = await process.url()
        login = httpx.BasicAuth("alice", SECRET)
        async with httpx.AsyncClient(base_url=url, verify=trusting(CA), auth=login) as http:
            await eventually(partial(shows, http, f"{METRIC} 1.0"))
            for kind, spoil in BAD_FILES.items():
                before = process.output.count(REFUSED)
                try:
                    await asyncio.to_thread(spoil, path)
                    await eventually(partial(shows, http, f"{METRIC} 0.0"), seconds=5)
                    await stranger_gets_nothing(url, process)
                    await asyncio.to_thread(mend, tmp_path)
                    await eventually(partial(shows, http, f"{METRIC} 1.0"))
                    # Where it is put back in two steps, the half of it may be seen and logged, too.
                    assert 1 <= process.output.count(REFUSED) - before <= 3
                except BaseException as error:
                    error.add_note(f"The file: {kind}")
                    raise
        code, _ = await process.end()
    assert code == 0
    assert b"Traceback" not in process.output


async def stranger_gets_nothing(url: str, process: Process) -> None:
    """Ask without the password, and without TLS."""
    async with httpx.AsyncClient(base_url=url, verify=trusting(CA)) as http:
        assert (await http.get("/metrics")).status_code == 401
        assert (await http.get("/-/healthy")).status_code == 200
    async with httpx.AsyncClient(base_url=url.replace("https", "http")) as http:
        with pytest.raises(httpx.TransportError):
            await http.get("/metrics")
    assert process.running.returncode is None


@pytest.mark.real
@pytest.mark.timeout(150)
async def test_prometheus_scrapes_with_certificates_and_a_password(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """`tls_config` and `basic_auth` of a real Prometheus work, also after a rotation."""
    ca = write_ca(tmp_path, CA)
    path = configured(
        tmp_path, client_auth_type="RequireAndVerifyClientCert", client_ca_file="ca.crt"
    )
    client = write_certificate(tmp_path, CA, "prometheus.test", stem="client")
    scraping: dict[str, object] = {
        "scheme": "https",
        "basic_auth": {"username": "alice", "password": SECRET},
        "tls_config": {
            "ca_file": str(ca),
            **{key: str(tmp_path / name) for key, name in client.items()},
        },
    }
    port = free_port()
    command = [
        *(*EXPORTER, "demo", f"--web.listen-address=127.0.0.1:{port}"),
        f"--web.config.file={path}",
    ]
    async with (
        start(command, tmp_path / "e") as process,
        prometheus(
            real_tool("prometheus"), tmp_path / "p", f"127.0.0.1:{port}", scraping=scraping
        ) as scraper,
    ):
        await process.url()
        await scraper.until(f"{METRIC} == 1")
        write_certificate(tmp_path, CA)
        await until(lambda: b"web_config_reloaded" in process.output, "it is reloaded", process)
        await scraper.until(f"timestamp(up) > {time.time() + 3}")
        assert await scraper.query("min_over_time(up[3s]) == 1")
        await process.end()
