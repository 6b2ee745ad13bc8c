"""The package: an sdist, the wheel made of it, and that wheel where nothing else is installed."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

import exporter
from tests.guard import sitecustomize as guard
from tests.support.pages import Page
from tests.support.processes import STOP_SECONDS, eventually, start
from tests.support.repository import ROOT, git_files

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.process,
    pytest.mark.timeout(240),
]

NAME = f"emr_serverless_spark_exporter-{exporter.__version__}"


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build a wheel or an sdist, without a network."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        kind,
        "-d",
        folder,
    ]
    done = subprocess.run(command, cwd=source, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist and unpack it."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", ROOT, folder / "built")) as archive:
        archive.extractall(folder, filter="data")
    return folder / NAME


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel out of the sdist, as those do who package it for their system."""
    return build("wheel", sdist, tmp_path_factory.mktemp("wheel") / "built")


def test_the_sdist_is_what_git_knows(sdist: Path) -> None:
    """Who has the sdist can build, test and deploy; nothing of this machine is in it."""
    packed = {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}
    ours = {path.as_posix() for path in git_files("--cached", "--others", "--exclude-standard")}
    assert packed - ours == {"PKG-INFO"}
    assert {name.split("/")[0] for name in ours - packed} == {".ci"}


def test_the_wheel_of_the_sdist_has_all_that_runs_and_no_tests(wheel: Path) -> None:
    """Modules, templates, style sheet and schema come along; tests and dashboards do not."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = git_files("--cached", "--others", "--exclude-standard", "exporter")
    assert packed == {path.as_posix() for path in ours}
    kinds = {Path(name).suffix for name in packed}
    assert kinds == {".py", ".typed", ".j2", ".css", ".json", ".md"} & kinds
    assert {".j2", ".css", ".json"} <= kinds


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the locked packages and the wheel; give the environment.

    The packages are copied from the environment of the tests, where pip has put them by the lock
    file of development; that of the exporter is installed when the image is built.
    """
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder)
    packages = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(folder)}))
    for requirement in locked():
        distribution = metadata.distribution(requirement.name)
        assert distribution.version in requirement.specifier
        copy(distribution, packages)
    pip(folder, "install", "--quiet", "--no-compile", "--no-deps", "--no-index", wheel)
    return folder


def locked() -> Iterator[Requirement]:
    """Return what the lock file asks for on this platform."""
    for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines():
        if line[:1].isalpha():
            requirement = Requirement(line.rstrip(" \\"))
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def copy(distribution: metadata.Distribution, folder: Path) -> None:
    """Copy a distribution's files, but for its programs, to where Python finds packages."""
    for file in distribution.files or ():
        if ".." not in file.parts:
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(file.locate()), target)


def pip(environment: Path, *arguments: str | Path) -> str:
    """Run pip on an environment, with a home of its own: it may leave something there.

    To say what it runs on, it asks for the version of Rust, and rustup makes a folder.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pip", f"--python={environment}", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(environment.parent)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_needs_what_it_declares_and_no_more(installed: Path) -> None:
    """All that it imports is there, in versions that fit, and nothing of development."""
    assert "No broken requirements found." in pip(installed, "check")
    folders = sysconfig.get_path("purelib", "venv", vars={"base": str(installed)})
    names = {found.name for found in metadata.distributions(path=[folders])}
    assert "emr-serverless-spark-exporter" in names
    assert names.isdisjoint({"pytest", "hatchling", "mypy", "hypothesis", "ruff"})


async def test_the_demo_runs_from_there(installed: Path, tmp_path: Path) -> None:
    """In an empty folder, with an empty HOME and PATH: page, status page, exit code 0."""
    program = installed / "bin" / "emr-serverless-spark-exporter"
    home = tmp_path / "home"
    home.mkdir()
    guarded = str(Path(guard.__file__).parent)
    environment = {"HOME": str(home), "PATH": "", "PYTHONPATH": guarded}
    command: list[str | Path] = [program, "demo", "--web.listen-address=127.0.0.1:0"]
    async with start(command, tmp_path / "run", environment) as process:
        async with httpx.AsyncClient(base_url=await process.url()) as http:
            await eventually(partial(has_sessions, http))
            status = await http.get("/")
            assert status.is_success
            assert "<style" in status.text
        code, seconds = await process.end(signal.SIGTERM)
    assert (code, seconds < STOP_SECONDS) == (0, True)
    assert list(home.iterdir()) == []


async def has_sessions(http: httpx.AsyncClient) -> bool:
    """Whether live sessions are on the page."""
    page = Page.from_text((await http.get("/metrics")).text)
    return sum(page.values("livy_sessions", state="running").values()) > 0
