"""The unit of systemd: verified, rated, and its own command line run."""

import json
import os
import re
import shlex
import stat
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from exporter.demo import DEMO_KEY_ID, DEMO_KEY_SECRET, serve
from exporter.ledger import Ledger
from exporter.settings.registry import PREFIX, all_settings
from tests.deploy.units import (
    FOLDER,
    PROGRAM,
    UNIT,
    command,
    directives,
    environment,
    environment_file,
    seccomp_profile,
    working_directory,
)
from tests.support import containers, postgres
from tests.support.command_line import load
from tests.support.exporters import cloud_of
from tests.support.harness import ManualClock, targets_of
from tests.support.processes import (
    CREDENTIAL,
    EXPORTER,
    STOP_SECONDS,
    run,
    start,
)
from tests.support.systemd import systemd
from tests.support.worlds import busy_world


def text(name: str) -> str:
    """Read a file of the folder."""
    return (FOLDER / name).read_text(encoding="utf-8")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Provide the unit with a program that exists on this machine; systemd wants to see it."""
    program = tmp_path / "program"
    program.touch(mode=stat.S_IRWXU)
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text(encoding="utf-8").replace(PROGRAM, str(program)), "utf-8")
    return copy


def analyze(real_tool: Callable[[str], Path], *arguments: str | Path) -> str:
    """Run systemd-analyze, which does not need a running systemd; give what it says."""
    done = subprocess.run(
        [real_tool("systemd-analyze"), *arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.real
def test_the_unit_is_valid(real_tool: Callable[[str], Path], unit: Path) -> None:
    """Systemd has nothing to complain about, not even a directive that it does not know."""
    assert analyze(real_tool, "verify", unit) == ""


@pytest.mark.real
def test_the_changes_of_the_readme_are_valid(real_tool: Callable[[str], Path], unit: Path) -> None:
    """What it gives for `systemctl edit`, systemd understands; nonsense it would not."""
    folder = unit.with_name(f"{unit.name}.d")
    folder.mkdir()
    changes = re.findall(r"```ini\n(.*?)```", text("README.md"), re.DOTALL)
    assert len(changes) == 3
    for change in changes:
        (folder / "override.conf").write_text(change, encoding="utf-8")
        assert analyze(real_tool, "verify", unit) == ""
    (folder / "override.conf").write_text("[Service]\nLoadCredentials=x:/y\n", encoding="utf-8")
    assert "'LoadCredentials'" in analyze(real_tool, "verify", unit)


@pytest.mark.real
def test_the_unit_is_hardened(real_tool: Callable[[str], Path], unit: Path) -> None:
    """An exposure under 2.0 of 10, and the one that its README names."""
    told = analyze(real_tool, "security", "--offline=true", "--threshold=20", "--no-pager", unit)
    rated = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
    assert rated is not None
    assert f"gives it {rated[1]} of 10" in " ".join(text("README.md").split())


def test_what_the_unit_waits_for_is_what_the_exporter_does() -> None:
    """It notifies, gives signs of life, ends before it is killed, and is started again."""
    given = directives(UNIT.read_text(encoding="utf-8"))
    assert (given["Type"], given["NotifyAccess"]) == (["notify"], ["main"])
    (end,) = given["TimeoutStopSec"]
    assert float(end.removesuffix("s")) > STOP_SECONDS
    assert float(given["WatchdogSec"][0].removesuffix("s")) >= 30
    # At boot an address may be missing for a moment, which is exit code 2.
    assert (given["Restart"], "RestartPreventExitStatus" in given) == (["on-failure"], False)


def test_the_environment_names_settings_that_exist() -> None:
    """Also those that are commented out; and with a region the file is enough to start."""
    variables = {setting.variable for setting in all_settings().values()}
    named = re.findall(rf"^#?({PREFIX}\w+)=", text("environment"), re.MULTILINE)
    assert set(named) - variables == set()
    everything = environment_file(
        re.sub(rf"^#(?={PREFIX})", "", text("environment"), flags=re.MULTILINE)
    )
    del everything[f"{PREFIX}CONFIG__FILE"]  # names a file of the operator
    assert load("serve", [], everything).settings.api.network == "vpc"
    assert load("serve", [], environment_file(text("environment"))).settings.region_id
    assert set(re.findall(rf"{PREFIX}\w+", text("README.md"))) - variables == set()


def test_the_readme_installs_what_the_unit_wants() -> None:
    """Each path that the unit names is made by a step."""
    steps, given = text("README.md"), directives(UNIT.read_text(encoding="utf-8"))
    assert f"python3 -m venv {Path(PROGRAM).parent.parent}" in steps
    sources = [*given["EnvironmentFile"]]
    sources += [each.partition(":")[2] for each in given["LoadCredential"]]
    for source in map(Path, sources):
        assert re.search(rf"install .*-t {source.parent} deploy/systemd/{source.name}\n", steps)
    assert f"-t /etc/systemd/system deploy/systemd/{UNIT.name}\n" in steps


@pytest.mark.process
@pytest.mark.anyio
async def test_the_units_own_command_line_runs(tmp_path: Path) -> None:
    """With its variables, its credential and its folder: ready, all targets up, an orderly end."""
    given = directives(UNIT.read_text(encoding="utf-8"))
    variables = environment(given, tmp_path)
    folder = working_directory(given, tmp_path)
    keys = text("credentials.ini").replace("replace-me", DEMO_KEY_ID, 1)
    keys = keys.replace("replace-me", DEMO_KEY_SECRET)
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "credentials.ini").write_text(keys, encoding="utf-8")
    program, *arguments = command(given)
    assert program == PROGRAM
    world, address = busy_world(), str(tmp_path / "notify")
    with systemd(address) as listener:
        async with serve(cloud_of(world).app) as endpoint:
            variables |= environment_file(text("environment")) | {
                f"{PREFIX}TARGETS": json.dumps(targets_of(world)),
                f"{PREFIX}API__ENDPOINT": endpoint,
                f"{PREFIX}WEB__LISTEN_ADDRESS": "127.0.0.1:0",
                "NOTIFY_SOCKET": address,
                "WATCHDOG_USEC": "1000000",
            }
            async with start([*EXPORTER, *arguments], folder, variables) as process:
                await listener.hears("READY=1")
                targets = sum(1 + len(each["livy_compute_ids"]) for each in targets_of(world))
                await listener.hears(f"STATUS={targets} of {targets} targets up")
                await listener.hears("WATCHDOG=1")
                async with httpx.AsyncClient() as http:
                    ready = await http.get(f"{await process.url()}/-/ready")
                code, seconds = await process.end()
    assert (ready.status_code, code, seconds < STOP_SECONDS) == (200, 0, True)
    assert (folder / "emr-exporter.db").is_file()
    assert DEMO_KEY_SECRET.encode() not in process.output


STATE = "/var/lib/emr-serverless-spark-exporter"


@pytest.mark.process
@pytest.mark.anyio
async def test_the_check_of_the_readme_has_settings_key_and_ledger(tmp_path: Path) -> None:
    """What it runs as root, run here with files of this test's own."""
    Ledger(tmp_path / "emr-exporter.db", clock=ManualClock()).close()
    code, output = await run_check(tmp_path)
    assert code == 0, output
    assert re.search(r"^ok +emr-exporter\.db +ledger\.path +0 sessions", output, re.MULTILINE)
    assert "ledger.url" not in output


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_restored_ledger_belongs_to_the_service(tmp_path: Path) -> None:
    """The steps of the page are root's; systemd changes no owner where the folder has the right."""
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 65532, 65532)
    (state / "emr-exporter.db-wal").touch()
    (tmp_path / "emr-exporter.db").write_text("restored")
    (steps,) = re.findall(r"^sudo sh -c '(cd .*?)'$", text("README.md"), re.MULTILINE | re.DOTALL)
    steps = steps.replace("/var/backups", str(tmp_path)).replace(STATE, str(state))
    subprocess.run(["/bin/sh", "-c", steps], check=True)
    (ledger,) = state.iterdir()
    assert (ledger.name, ledger.read_text()) == ("emr-exporter.db", "restored")
    assert (ledger.stat().st_uid, ledger.stat().st_gid) == (65532, 65532)


@pytest.mark.real
@pytest.mark.process
@pytest.mark.anyio
async def test_the_check_of_the_readme_reads_the_ledger_in_postgresql(tmp_path: Path) -> None:
    """By the steps of the page, whose URL both a shell and systemd read as a whole."""
    database = postgres.shared().database(password="replace-me")
    url = f"{database.url}?sslmode=prefer&service=emr"
    (steps,) = re.findall(r"```sh\n(echo .*?)```", text("README.md"), re.DOTALL)
    steps = re.sub(r"postgresql://[^'\" ]*&service=emr", lambda _: url, steps.replace("sudo ", ""))
    code, output = await run_check(tmp_path, steps)
    assert code == 0, output
    assert re.search(rf"^ok +{database.url} .* ledger\.url +PostgreSQL ", output, re.MULTILINE)
    lines = (tmp_path / "environment").read_text(encoding="utf-8")
    assert environment_file(lines)[f"{PREFIX}LEDGER__URL"] == url


async def run_check(folder: Path, steps: str = "") -> tuple[int, str]:
    """Run the `check` of the page after `steps`, with the files of the service in `folder`."""
    (check,) = re.findall(r"^sudo sh -c '(.*?check)'$", text("README.md"), re.MULTILINE | re.DOTALL)
    script = f"{steps}\n{check}".replace("/etc/emr-serverless-spark-exporter", str(folder))
    script = script.replace(STATE, str(folder))
    script = script.replace(PROGRAM, " ".join(map(shlex.quote, EXPORTER)))
    keys = text("credentials.ini").replace("replace-me", DEMO_KEY_ID, 1)
    keys = keys.replace("replace-me", DEMO_KEY_SECRET)
    (folder / "credentials.ini").write_text(keys, encoding="utf-8")
    async with serve(cloud_of(busy_world()).app) as endpoint:
        lines = f"{text('environment')}\n{PREFIX}API__ENDPOINT={endpoint}\n"
        lines += f"{PREFIX}WEB__LISTEN_ADDRESS=127.0.0.1:0\n"
        (folder / "environment").write_text(lines, encoding="utf-8")
        code, process = await run(["/bin/sh", "-c", script], folder / "run")
    return code, process.output.decode()


def members(told: str, group: str) -> set[str]:
    """Return the system calls of a group of systemd's, those of the groups in it too."""
    (part,) = re.findall(rf"^{group}\n((?: .*\n)*)", told, re.MULTILINE)
    names = set(re.findall(r"^ +([@\w-]+)$", part, re.MULTILINE))
    groups = {name for name in names if name.startswith("@")}
    return names.difference(groups).union(*(members(told, each) for each in groups))


@pytest.mark.real
@pytest.mark.timeout(containers.BUILD_SECONDS + 60)  # the first test builds
def test_the_exporter_runs_under_what_the_unit_forbids(
    real_tool: Callable[[str], Path], tmp_path: Path
) -> None:
    """System calls, memory, address families: the kernel enforces them, and nothing is missed."""
    given = directives(UNIT.read_text(encoding="utf-8"))
    groups = analyze(real_tool, "syscall-filter", "--no-pager")
    profile = seccomp_profile(given, partial(members, groups))
    path = tmp_path / "seccomp.json"
    path.write_text(json.dumps(profile), encoding="utf-8")
    options = (*containers.HARDENED, "--network=none", f"--security-opt=seccomp={path}")
    environ = {**CREDENTIAL, "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}
    with containers.run(
        containers.build(), "demo", options=options, environment=environ
    ) as container:
        containers.wait_for_sessions(container)
        refused = container.execute("python", "-c", FORBIDDEN)
        checked = container.execute(Path(PROGRAM).name, "check", "--region-id=cn-hangzhou")
        code = container.stop()
        told = container.output
    assert refused.stdout.split() == ["socket", "mmap", "unshare"]
    assert (checked.returncode, "network: " in checked.stdout) == (1, True), checked
    assert code == 0
    assert "Traceback" not in told + checked.stderr


FORBIDDEN = """
import mmap, os, socket, ctypes
for name, attempt in {
    "socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "mmap": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
    "unshare": lambda: ctypes.CDLL(None).unshare(0x10000000) == 0 or os.stat("/proc/nothing"),
}.items():
    try:
        attempt()
    except OSError:
        print(name)
"""
