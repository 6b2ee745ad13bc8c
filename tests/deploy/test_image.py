"""The image: built by podman from the Dockerfile, and run as locked down as it promises to be."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.demo import DEMO_KEY_ID, DEMO_KEY_SECRET, Cloud, Refusal, World, serve
from exporter.demo.faults import Refuse
from tests.support import containers
from tests.support.containers import (
    HARDENED,
    Container,
    wait_for_sessions,
)
from tests.support.harness import NO_TLS, PROMETHEUS, targets_of
from tests.support.pages import Page
from tests.support.processes import CREDENTIAL, STOP_SECONDS, eventually, free_port
from tests.support.repository import ROOT
from tests.support.worlds import empty_world, session

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.real,
    pytest.mark.timeout(containers.BUILD_SECONDS + 60),  # the first test builds
]

LEDGER = "/var/lib/emr-exporter"
BACKUP = ("emr-serverless-spark-exporter", "ledger", "backup", f"{LEDGER}/backup.db")
SEALED = (*HARDENED, "--read-only-tmpfs=false", "--network=none")
"""Nothing can be written but the volume, and nobody outside can be reached."""


@pytest.fixture(scope="module")
def image() -> str:
    """Build the image."""
    return containers.build()


@pytest.fixture(scope="module")
def inside(image: str) -> dict[str, Any]:
    """Look around in a container of the image."""
    arguments = ("--rm", "--health-interval=disable", *SEALED, "--entrypoint=python")
    done = containers.podman("run", *arguments, image, "-c", LOOK_AROUND)
    return dict(json.loads(done.stdout))


def test_hadolint_finds_nothing() -> None:
    """The Dockerfile follows the rules of its linter."""
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [linter, ROOT / "Dockerfile"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_both_stages_stand_on_one_base() -> None:
    """What was built runs on what it was built for."""
    build, shipped = (line for line in containers.dockerfile() if line.startswith("FROM "))
    name = r"docker\.io/library/python:3\.13-slim-bookworm(@sha256:[0-9a-f]{64})?"
    assert re.fullmatch(f"FROM {name}", shipped)
    assert build == f"{shipped} AS build"
    operating = (ROOT / "deploy/README.md").read_text(encoding="utf-8")
    assert "Both `FROM` lines of the Dockerfile name that base image" in " ".join(operating.split())


def test_the_image_tells_how_it_is_run(image: str) -> None:
    """User, volume, port, signal, probe and labels are those that the README speaks of."""
    (found,) = json.loads(containers.podman("image", "inspect", image).stdout)
    config: Mapping[str, Any] = found["Config"]
    assert config["User"] == "65532:65532"
    assert list(config["Volumes"]) == [LEDGER]
    assert list(config["ExposedPorts"]) == ["9825/tcp"]
    assert config["Entrypoint"] == ["emr-serverless-spark-exporter"]
    assert config["Cmd"] == ["serve"]
    assert config["StopSignal"] == "SIGTERM"
    assert found["Healthcheck"]["Test"] == ["CMD", "python", "-I", "-m", "exporter.healthcheck"]
    environment = dict(each.split("=", 1) for each in config["Env"])
    assert environment["EMR_EXPORTER_WEB__LISTEN_ADDRESS"] == ":9825"
    assert config["WorkingDir"] == LEDGER
    assert "EMR_EXPORTER_LEDGER__PATH" not in environment  # it would exclude `ledger.url`
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in config["Labels"].items()
    }
    assert (labels["title"], labels["licenses"]) == ("emr-serverless-spark-exporter", "Apache-2.0")
    assert (labels["version"], labels["revision"]) == ("0.0.0-test", "0123abc")


BUILDERS = ("pip", "pip3", "gcc", "cc", "g++", "make", "ld", "git", "curl", "wget", "hatchling")
LOOK_AROUND = f"""
import importlib.util, json, os, shutil, sys, sysconfig, exporter.app, exporter.demo, psycopg
cached = [getattr(module, "__cached__", None) for module in sys.modules.values()]
import importlib.metadata
print(json.dumps({{
    "user": os.getuid(),
    "tools": [name for name in {BUILDERS} if shutil.which(name)],
    "modules": [m for m in ("pip", "ensurepip", "hatchling") if importlib.util.find_spec(m)],
    "environment": sys.prefix,
    "exporter": os.path.relpath(exporter.__file__, sysconfig.get_path("purelib")),
    "revision": exporter.__revision__,
    "postgres": psycopg.pq.__impl__,
    "sources": [
        os.path.join(folder, name)
        for top in ("/src", "/build", "/wheel", "/opt", "{LEDGER}")
        for folder, folders, files in os.walk(top)
        for name in files
        if name in ("pyproject.toml", "Dockerfile", "Makefile", "requirements.lock")
    ],
    "to be compiled at each start": [path for path in cached if path and not os.path.exists(path)],
    "packages": {{each.name: each.version for each in importlib.metadata.distributions()}},
}}))
"""


def test_nothing_that_builds_or_installs_is_inside(inside: Mapping[str, Any]) -> None:
    """The wheel is installed, not the source; no installer, no compiler, no root."""
    assert {name: found for name, found in inside.items() if name != "packages"} == {
        "user": 65532,
        "tools": [],
        "modules": [],
        "environment": "/opt/exporter",
        "exporter": "exporter/__init__.py",
        "revision": "0123abc",
        "postgres": "binary",
        "sources": [],
        "to be compiled at each start": [],
    }


def test_the_locked_packages_are_inside_and_no_others(inside: Mapping[str, Any]) -> None:
    """What runs in the image is what the tests run with."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    found: dict[str, str] = dict(inside["packages"])
    assert found.pop("emr-serverless-spark-exporter")
    assert [
        f"{name}=={version}"
        for name, version in found.items()
        if f"\n{name.lower().replace('_', '-').replace('.', '-')}=={version} " not in f"\n{lock}"
    ] == []
    assert len(found) > 10


def test_the_documentation_runs_it_so_and_says_how_large_it_is(image: str) -> None:
    """The options of the tests are those of the README; the size holds to some MB."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    operating = (ROOT / "deploy/README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^docker run -d (.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    typed = command.replace("\\\n", " ").split()
    assert [option for option in HARDENED if option not in typed] == []
    assert f"emr-ledger:{LEDGER}" in typed
    said = re.search(r"It\s+adds (\d+) MB to `(.*?)`", operating)
    assert said is not None
    assert containers.base_image().endswith(said[2])
    added = size_of(image) - size_of(containers.base_image())
    assert abs(added / 1e6 - int(said[1])) < 5


def size_of(image: str) -> int:
    """Return the bytes of an image, unpacked."""
    return int(containers.podman("image", "inspect", "--format={{.Size}}", image).stdout)


def test_the_demo_runs_in_a_sealed_container(image: str) -> None:
    """Read-only, without a capability, network or root: scraped, healthy, and ended with 0."""
    with containers.run(image, "demo", options=SEALED) as container:
        wait_for_sessions(container)
        checked = container.podman("healthcheck", "run", check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert container.execute("touch", "/opt/exporter/x").returncode != 0
        assert container.execute("touch", "/tmp/x").returncode != 0
        start = time.monotonic()
        assert container.stop() == 0
        assert time.monotonic() - start < STOP_SECONDS
        assert container.inspect("{{.HostConfig.Memory}}") == str(256 * 2**20)
        assert "Traceback" not in container.output


async def test_a_new_container_continues_the_ledger_of_the_volume(image: str) -> None:
    """The counters outlive their container, and what was burned between the two is counted."""
    world = empty_world()
    world.put_session(session("livy-a", 1.5, queue="etl"))
    cloud = Cloud(world, clock=time.time, access_keys={DEMO_KEY_ID: DEMO_KEY_SECRET})
    with containers.volume() as ledger:
        async with serve(cloud.app) as endpoint:
            async with exporter(image, ledger, world, endpoint) as (container, url):
                await eventually(lambda: shows(url, 1.5))
                world.put_session(session("livy-b", 2.0, queue="etl"))
                await eventually(lambda: shows(url, 3.5))
                assert (await asyncio.to_thread(container.execute, *BACKUP)).returncode == 0
            world.put_session(session("livy-c", 4.0, queue="etl"))
            cloud.faults.add(Refuse(Refusal(503, "ServiceUnavailable")))
            async with exporter(image, ledger, world, endpoint) as (_, url):
                await eventually(lambda: shows(url, 3.5))  # although the cloud is down
                cloud.faults.clear()
                await eventually(lambda: shows(url, 7.5))
            restore(image, ledger)
            cloud.faults.add(Refuse(Refusal(503, "ServiceUnavailable")))
            async with exporter(image, ledger, world, endpoint) as (_, url):
                await eventually(lambda: shows(url, 3.5))


def restore(image: str, ledger: str) -> None:
    """Put the backup in the ledger's place by the command of the documentation."""
    readme = (ROOT / "deploy/README.md").read_text(encoding="utf-8")
    (command,) = re.findall(
        r"^docker run --rm (-v .*?)^docker start", readme, re.MULTILINE | re.DOTALL
    )
    typed = shlex.split(command.replace("\\\n", " "))
    named = {"emr-serverless-spark-exporter": image, f"emr-ledger:{LEDGER}": f"{ledger}:{LEDGER}"}
    words = (named.get(word, word) for word in typed)
    containers.podman("run", "--rm", "--health-interval=disable", "--network=none", *words)


@asynccontextmanager
async def exporter(
    image: str, ledger: str, world: World, endpoint: str
) -> AsyncIterator[tuple[Container, str]]:
    """Run the exporter of a world with a volume for its ledger; give it and its address.

    It must end by itself, and well.
    """
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "EMR_EXPORTER_TARGETS": json.dumps(targets_of(world)),
        "EMR_EXPORTER_API__ENDPOINT": endpoint,
        "EMR_EXPORTER_POLL__INTERVAL": "1s",
        "EMR_EXPORTER_LEDGER__BIRTH_HOLD": "1s",
        "EMR_EXPORTER_WEB__LISTEN_ADDRESS": address,
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
        **CREDENTIAL,
    }
    options = (*HARDENED, "--network=host", f"--volume={ledger}:{LEDGER}")
    # In threads: the loop of the test is also that of the simulated cloud.
    running = containers.run(image, options=options, environment=settings)
    container = await asyncio.to_thread(running.__enter__)
    try:
        await eventually(lambda: answers(f"http://{address}"))
        yield container, f"http://{address}"
        assert await asyncio.to_thread(container.stop) == 0
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def answers(url: str) -> bool:
    """Whether anybody serves there."""
    try:
        async with httpx.AsyncClient(verify=NO_TLS) as http:
            return (await http.get(f"{url}/-/healthy")).is_success
    except httpx.TransportError:
        return False


async def shows(url: str, cu_hours: float) -> bool:
    """Scrape as Prometheus does; tell whether the counter of the queue is at `cu_hours`."""
    async with httpx.AsyncClient(headers=PROMETHEUS, verify=NO_TLS) as http:
        response = await http.get(f"{url}/metrics")
    page = Page.from_text(response.text)
    totals = page.values("livy_cu_hours_total", "queue")
    return totals.get(("etl",)) == cu_hours
