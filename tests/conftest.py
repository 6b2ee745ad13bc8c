"""What holds for every test: loopback only, an empty HOME, no settings of the machine."""

import gc
import os
import random
import re
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer

from tests.guard import sitecustomize as guard
from tests.support.budgets import SOAK
from tests.support.fork_entry import FORKS
from tests.support.scheduling import Scheduling, is_outside, longest_first
from tests.support.tools import find_tool

METADATA_VARIABLE = "ALIBABA_CLOUD_ECS_METADATA_DISABLED"

SCRATCH = pytest.StashKey[Path]()
STARTED = pytest.StashKey[list[str]]()
"""The command lines with which a test has started the exporter."""

# The default is the same run everywhere: a red test is the change's doing, never chance's. A shared
# machine may stall, so neither an example's time nor the time to generate it is a failure.
hypothesis.settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    SOAK, parent=hypothesis.settings.get_profile("ci"), derandomize=False, max_examples=5000
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer another order of the tests: `--shuffle=7`, or `make test SHUFFLE=7`."""
    told = "run modules, and the tests in them, in a random order"
    parser.addoption("--shuffle", metavar="SEED", help=told)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse an unsafe environment, make a neutral one, and shut the door to the network."""
    if os.environ.get(METADATA_VARIABLE) != "true":
        pytest.exit(
            f"Set {METADATA_VARIABLE}=true, or run `make test`, which does: no test may ask a "
            "cloud's metadata service for a credential.",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )
    scratch = Path(tempfile.mkdtemp(prefix="exporter-tests-"))
    config.stash[SCRATCH] = scratch
    home, log = scratch / "home", scratch / "refused"
    home.mkdir()
    log.touch()
    neutralize_environment()
    os.environ["HOME"] = str(home)
    os.environ[guard.LOG_VARIABLE] = str(log)
    guarded = str(Path(guard.__file__).parent)
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{guarded}{os.pathsep}{inherited}" if inherited else guarded
    guard.install()
    started = config.stash[STARTED] = []
    sys.addaudithook(partial(note_exporter, started))


def note_exporter(started: list[str], event: str, arguments: tuple[object, ...]) -> None:
    """Note each start of the exporter as a process (an audit hook)."""
    if event == FORKS and isinstance(arguments[0], list):
        started.append(" ".join(arguments[0]))
    if event == "subprocess.Popen" and isinstance(arguments[1], list | tuple):
        command = " ".join(map(str, arguments[1]))
        if re.search(r"-m exporter(?![.\w])|bin/emr-serverless-spark-exporter(?![.\w])", command):
            started.append(command)


def neutralize_environment() -> None:
    """Take out the variables that would make a test depend on who runs it."""
    for name in list(os.environ):
        ours = ("ALIBABA_CLOUD_", "EMR_EXPORTER_", "PG")  # the last: of PostgreSQL's clients
        if name.startswith(ours) and name != METADATA_VARIABLE:
            del os.environ[name]
    # The hundred processes that are started here would each compile the exporter.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in ("NO_PROXY", "no_proxy"):  # a proxy of the machine is not asked for loopback
        os.environ[name] = "127.0.0.1,::1,localhost"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run more workers than there are cores: tests wait for processes, timeouts and each other.

    Each takes 3 s of CPU to import everything. One more than cores is enough where no test waits
    for a process.
    """
    cores = len(os.sched_getaffinity(0))
    has_processes = "not process" not in config.option.markexpr
    return 3 * cores if has_processes else cores + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Let no worker wait while another has tests left."""
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the garbage collector skip what is imported and collected, none of which is ever freed.

    Each full collection would take 0.2 s to go through it.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put them in order, or in a random one where that was asked for."""
    seed = config.getoption("shuffle")
    if seed is not None:
        chance = random.Random(seed)
        places: dict[Path, float] = defaultdict(chance.random)
        # Tests of a module stay together, as they share what it builds.
        items.sort(key=lambda item: (places[item.path], chance.random()))
    items.sort(key=longest_first)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    scratch = config.stash.get(SCRATCH, None)
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)


def fail_on_refused(config: pytest.Config) -> None:
    """Fail the current test if it, or a process it started, tried to leave this machine."""
    log = config.stash[SCRATCH] / "refused"
    refused = log.read_text(encoding="utf-8").splitlines()
    if refused:
        log.write_text("", encoding="utf-8")
        pytest.fail("The loopback guard refused:\n  " + "\n  ".join(refused), pytrace=False)


def fail_on_unmarked(item: pytest.Item) -> None:
    """Fail a test that has started the exporter, and would make `make unit` slow."""
    started = item.config.stash[STARTED]
    commands, started[:] = "\n  ".join(started), []
    if commands and not is_outside(item):
        pytest.fail(
            f"Mark this test `process`, because it has started:\n  {commands}", pytrace=False
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Judge the fixtures of a test."""
    yield
    fail_on_refused(item.config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Judge a test, whatever it did with the exception."""
    try:
        yield
    finally:
        fail_on_refused(item.config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Judge what ended with a test, or still ran after it."""
    yield
    fail_on_refused(item.config)
    fail_on_unmarked(item)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run `@pytest.mark.anyio` tests on asyncio, the loop of the exporter."""
    return "asyncio"


@pytest.fixture(scope="session")
def real_tool() -> Callable[[str], Path]:
    """Provide the path of a system tool: `real_tool("promtool")`; mark such a test `real`."""
    return find_tool
