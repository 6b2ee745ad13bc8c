"""Containers for tests: the image as the Dockerfile says, built once, and run as users run it.

    IMAGE = containers.build()            # a name for podman; fast where it was built before
    with containers.run(IMAGE, "demo") as container:
        container.podman("healthcheck", "run")

Where no container can be run, `build` skips the test (or fails it, see `find_tool`). Tests give
`--network=none`, or `--network=host` and an address on the loopback.
"""

import fcntl
import hashlib
import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.repository import ROOT
from tests.support.tools import find_tool, lacking

CONFIG = ROOT / ".containers" / "containers.conf"
"""What `.ci/containers` writes on machines that need it."""

REPOSITORY = "localhost/emr-serverless-spark-exporter"
LABEL = "emr-serverless-spark-exporter.test"
"""On images, containers and volumes of tests."""

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
BUILD_SECONDS = 400

HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=256m")
"""How the README and the Compose file run the image."""

# Podman wants systemd for the timers of health checks; tests ask for the check themselves.
_UNWATCHED = "--health-interval=disable"


def podman(
    *arguments: str | Path,
    check: bool = True,
    seconds: float = 60,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run podman to its end; where it fails, the error has what it said.

    `--env=NAME` takes the value of the variable from `environment`.
    """
    done = subprocess.run(
        ["podman", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, **_configuration(), **(environment or {})},
    )
    if check and done.returncode != 0:
        raise AssertionError(f"podman {' '.join(map(str, arguments))}:\n{done.stdout}{done.stderr}")
    return done


def _configuration() -> dict[str, str]:
    if "CONTAINERS_CONF" in os.environ or not CONFIG.exists():
        return {}
    return {"CONTAINERS_CONF": str(CONFIG)}


def _need_base() -> None:
    """Skip the test where podman cannot run containers; fail where REQUIRE_REAL_TOOLS=1."""
    base = base_image()
    if podman("image", "exists", base, check=False).returncode != 0:
        lacking(f"there is no {base} here; .ci/containers .containers gets it")
    tried = podman("run", "--rm", "--pull=never", "--network=none", base, "true", check=False)
    if tried.returncode != 0:
        said = tried.stderr.strip().rpartition("\n")[2]
        lacking(f"podman runs no containers here ({said}); .ci/containers .containers may help")


def base_image() -> str:
    """Return the image that the Dockerfile builds upon."""
    first = next(line for line in dockerfile() if line.startswith("FROM "))
    return first.split()[1]


def dockerfile() -> Sequence[str]:
    """Return the lines of the Dockerfile."""
    return (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()


@cache
def build() -> str:
    """Build the image, once for all workers and for the same inputs; give its name."""
    if os.geteuid() != 0:
        pytest.skip("containers run as root here: the tests have no HOME to keep images in")
    find_tool("podman")
    name = f"{REPOSITORY}:test-{_fingerprint()}"
    with _alone():
        if podman("image", "exists", name, check=False).returncode != 0:
            _need_base()
            _build(name)
            # Those of other days; the layers that they share with this one stay.
            old = ("--all", "--force", f"--filter=label={LABEL}", "--filter=until=24h")
            podman("image", "prune", *old, check=False)
    return name


def _build(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        podman(
            "build",
            "--pull=never",
            "--isolation=chroot",  # needs the fewest rights of the machine
            "--format=docker",  # OCI's knows no HEALTHCHECK
            f"--label={LABEL}=1",
            "--build-arg=VERSION=0.0.0-test",
            "--build-arg=REVISION=0123abc",
            *_trust(Path(folder)),
            f"--tag={name}",
            ROOT,
            seconds=BUILD_SECONDS,
        )


def _trust(folder: Path) -> Iterator[str]:
    """Let pip in the build trust whom this machine trusts, such as a proxy that looks inside."""
    if CERTIFICATES.exists():
        pip = folder / "pip.conf"
        pip.write_text(f"[global]\ncert = {CERTIFICATES}\n", encoding="utf-8")
        yield f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"
        yield f"--volume={pip}:/etc/pip.conf:ro"


def _fingerprint() -> str:
    """Return a hash of all that goes into the image."""
    digest = hashlib.sha256()
    for path in sorted(_inputs()):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _inputs() -> Iterator[Path]:
    yield ROOT / "Dockerfile"
    yield ROOT / ".dockerignore"
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in (line[1:] for line in lines if line.startswith("!")):
        for path in (ROOT / name, *(ROOT / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


@contextmanager
def _alone() -> Iterator[None]:
    """Let one process at a time build, of all that test on this machine."""
    with (Path(tempfile.gettempdir()) / "emr-serverless-spark-exporter-image.lock").open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Container:
    """A container that runs, or ran."""

    name: str

    def podman(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a podman command on it: `podman("inspect")`, `podman("stop", "--time=10")`."""
        return podman(*arguments, self.name, check=check)

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside it."""
        return podman("exec", self.name, *command, check=False)

    def inspect(self, template: str) -> str:
        """Return what podman knows of it."""
        return self.podman("inspect", f"--format={template}").stdout.strip()

    @property
    def output(self) -> str:
        """What it has written so far."""
        done = self.podman("logs")
        return done.stdout + done.stderr

    def stop(self) -> int:
        """Ask it to end, and kill it after 10 s, as Docker and podman do; give its exit code."""
        self.podman("stop", "--time=10")
        return int(self.inspect("{{.State.ExitCode}}"))


@contextmanager
def run(
    image: str,
    *command: str,
    options: Sequence[str] = HARDENED,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Container]:
    """Run a container inside the block; it is removed, with its anonymous volumes, at the end."""
    name = f"emr-exporter-test-{uuid.uuid4().hex[:8]}"
    # By name: what stands on a command line, everybody on the machine can read.
    variables = [f"--env={key}" for key in environment or {}]
    fixed = ("--detach", f"--name={name}", f"--label={LABEL}=1", _UNWATCHED, "--pull=never")
    try:
        podman("run", *fixed, *options, *variables, image, *command, environment=environment)
        yield Container(name)
    finally:
        podman("rm", "--force", "--time=0", "--volumes", name, check=False)


@contextmanager
def volume() -> Iterator[str]:
    """Make a named volume that is gone at the end of the block."""
    name = f"emr-exporter-test-{uuid.uuid4().hex[:8]}"
    podman("volume", "create", f"--label={LABEL}=1", name)
    try:
        yield name
    finally:
        podman("volume", "rm", "--force", name, check=False)


def wait_for_sessions(container: Container) -> None:
    """Scrape from inside until live sessions are on the page."""
    done = container.execute("python", "-c", _SCRAPE)
    assert done.returncode == 0, done.stdout + done.stderr


_SCRAPE = r"""
import re, sys, time, urllib.request

page, deadline = "", time.monotonic() + 20
while not re.search(r'livy_sessions\{.*state="running".*\} [1-9]', page):
    if time.monotonic() > deadline:
        sys.exit(page or "nobody answers")
    time.sleep(0.1)
    try:
        page = urllib.request.urlopen("http://127.0.0.1:9825/metrics").read().decode()
    except OSError:
        pass
"""
"""One process for all scrapes: to start one inside takes much longer than to scrape."""
