"""The command `check`, as a process: what it finds wrong, how it says so, and how fast it is."""

import asyncio
import json
import re
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
import trustme

from exporter.demo import (
    DEMO_KEY_SECRET,
    Cloud,
    SimulatedGateway,
    SimulatedSession,
    SimulatedWorkspace,
    faults,
    serve,
)
from exporter.demo.faults import Canned, Hang, Hold
from exporter.settings.registry import all_settings
from tests.support.exporters import ANY_PORT, cloud_of, files_in
from tests.support.forked import run, start
from tests.support.harness import targets_of
from tests.support.processes import CREDENTIAL, EXPORTER, Process, free_port, until
from tests.support.web_server import ALICE, write_certificate, write_config
from tests.support.worlds import WORKSPACE, busy_world, empty_world, used

LISTENS = "ok 127.0.0.1:0 web.listen-address free"

pytestmark = [pytest.mark.anyio, pytest.mark.process]


async def check(
    cloud: Cloud, folder: Path, *flags: str, environment: Mapping[str, str] = CREDENTIAL
) -> tuple[int, list[str], str]:
    """Run the command; give its exit code, the findings, single-spaced, and all it wrote."""
    async with serve(cloud.app) as endpoint:
        command = [*EXPORTER, "check", f"--api.endpoint={endpoint}", ANY_PORT, *flags]
        code, process = await run(command, folder, environment)
    return code, *answer_of(process)


def answer_of(process: Process) -> tuple[list[str], str]:
    """Return the findings that a check wrote, single-spaced, and all it wrote."""
    output = process.output.decode()
    assert DEMO_KEY_SECRET not in output
    assert "Traceback" not in output
    header, *rows = process.stdout.read_text().partition("\n\n")[0].splitlines()
    assert header.startswith("RESULT")  # the answer comes first
    findings = [" ".join(line.split()) for line in rows]
    return [line for line in findings if line != LISTENS], output


async def test_all_is_well(tmp_path: Path) -> None:
    """Everything that a first poll calls is tried once, discovery included; the exit code is 0."""
    cloud = cloud_of(empty_world())
    code, findings, output = await check(cloud, tmp_path, "--region-id=cn-hangzhou")
    assert findings[0].startswith("ok cn-hangzhou credential ")
    assert findings[0].endswith(", long-lived, from default/env")
    assert findings[1:] == [
        "ok cn-hangzhou ListWorkspaces 1 workspace",
        "ok cn-hangzhou/w-1 ListLivyCompute 1 Livy gateway",
        "ok cn-hangzhou/w-1 ListSessionClusters 0 session clusters",
        "ok cn-hangzhou/w-1/lc-1 ListLivyComputeSessions 0 Livy sessions",
    ]
    assert code == 0
    assert "region-id = cn-hangzhou  (flag)" in output
    assert max(cloud.counters.values()) == 1


async def test_what_each_call_lists_is_counted(tmp_path: Path) -> None:
    """Though the gateways of all workspaces are asked for at the same time."""
    world = empty_world()
    world.put_workspace(SimulatedWorkspace("w-2"))
    for number in (2, 3):
        world.put_gateway(SimulatedGateway("w-2", f"lc-{number}"))
    cloud = cloud_of(world)
    released = asyncio.Event()
    cloud.faults.add(Hold(released), action="ListLivyCompute", workspace_id="w-2")
    cloud.before_page = lambda call: released.set() if call.compute_id else None
    code, findings, _ = await check(cloud, tmp_path, "--region-id=cn-hangzhou")
    assert code == 0
    assert [line for line in findings if "ListLivyCompute " in line or "ListW" in line] == [
        "ok cn-hangzhou ListWorkspaces 2 workspaces",
        "ok cn-hangzhou/w-1 ListLivyCompute 1 Livy gateway",
        "ok cn-hangzhou/w-2 ListLivyCompute 2 Livy gateways",
    ]


async def test_named_targets_need_no_discovery(tmp_path: Path) -> None:
    """Of several regions, each is tried with what is named there."""
    cloud = cloud_of(busy_world())
    targets = f"--targets={json.dumps(targets_of(cloud.world))}"
    code, findings, _ = await check(cloud, tmp_path, targets)
    assert code == 0
    assert [line.split(" ", 3)[1:3] for line in findings] == [
        ["cn-hangzhou", "credential"],
        ["cn-shanghai", "credential"],
        ["cn-hangzhou/w-1", "ListSessionClusters"],
        ["cn-hangzhou/w-1/lc-1", "ListLivyComputeSessions"],
        ["cn-shanghai/w-2", "ListSessionClusters"],
        ["cn-shanghai/w-2/lc-2", "ListLivyComputeSessions"],
    ]


async def test_a_missing_permission_is_named(tmp_path: Path) -> None:
    """The RAM action to grant stands in the answer; what is allowed is tried all the same."""
    cloud = cloud_of(empty_world())
    cloud.denied_actions.add("ListLivyComputeSessions")
    code, findings, _ = await check(cloud, tmp_path, "--region-id=cn-hangzhou")
    assert code == 1
    assert [line.split()[0] for line in findings] == ["ok", "ok", "ok", "ok", "FAILED"]
    assert "FAILED cn-hangzhou/w-1/lc-1 ListLivyComputeSessions permission:" in findings[-1]
    assert "Grant the RAM action emr-serverless-spark:ListLivyComputeSessions" in findings[-1]


async def test_a_valid_web_configuration_is_reported(tmp_path: Path) -> None:
    """What is in it is said in a row of its own, without a name or a hash of anybody."""
    users = {"basic_auth_users": {"sentinel-alice": ALICE}}
    tls = {"tls_server_config": dict(write_certificate(tmp_path, trustme.CA()))}
    path = write_config(tmp_path, users | tls)
    flags = ("--region-id=cn-hangzhou", f"--web.config.file={path}")
    code, findings, output = await check(cloud_of(empty_world()), tmp_path, *flags)
    assert code == 0
    assert findings[0] == f"ok {path} web.config.file TLS, 1 user with a password"
    assert len(findings) == 6
    assert "sentinel-alice" not in output
    assert ALICE not in output


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            "tls_server_confg: {}",
            r"tls_server_confg: unknown key; did you mean tls_server_config\?",
        ),
        (
            "tls_server_config: {cert_file: none.crt, key_file: none.key}",
            r"tls_server_config: cert_file \S+/none.crt: No such file or directory",
        ),
    ],
    ids=["key", "certificate"],
)
async def test_a_bad_web_configuration_fails(tmp_path: Path, content: str, reason: str) -> None:
    """It is refused in the words in which the daemon would refuse to start; the rest is tried."""
    path = tmp_path / "web.yml"
    await asyncio.to_thread(path.write_text, content)
    flags = ("--region-id=cn-hangzhou", f"--web.config.file={path}")
    code, findings, _ = await check(cloud_of(empty_world()), tmp_path, *flags)
    assert code == 1
    found = re.fullmatch(rf"FAILED {re.escape(str(path))} web\.config\.file (.*)", findings[0])
    assert found
    assert re.search(reason, found[1])
    assert [line.split()[0] for line in findings[1:]] == ["ok"] * 5
    served, process = await run([*EXPORTER, "serve", *flags], tmp_path, CREDENTIAL)
    assert served == 2
    assert found[1] in process.output.decode()


async def test_nothing_to_poll_is_not_well(tmp_path: Path) -> None:
    """Each call succeeds, but the daemon would poll nothing: a wrong region or pattern."""
    cloud = cloud_of(empty_world())
    code, findings, _ = await check(cloud, tmp_path, "--region-id=cn-hangzou")
    assert code == 1
    assert findings[-1].startswith("FAILED cn-hangzou discovery nothing to poll was found: check ")
    assert findings[-1].endswith("did you mean cn-hangzhou?")
    code, findings, _ = await check(
        cloud, tmp_path, "--region-id=cn-hangzhou", "--discovery.include=prod-*"
    )
    assert code == 1
    assert "discovery.include" in findings[-1]


async def test_a_missing_credential_is_reported_without_calls(tmp_path: Path) -> None:
    """Without a credential there is one finding, which says where one is looked for."""
    cloud = cloud_of(empty_world())
    code, findings, _ = await check(cloud, tmp_path, "--region-id=cn-hangzhou", environment={})
    assert code == 1
    assert len(findings) == 1
    assert findings[0].startswith("FAILED cn-hangzhou credential credential: No credential")
    assert "ALIBABA_CLOUD_ACCESS_KEY_ID" in findings[0]
    assert not cloud.calls


async def test_a_wrong_secret_is_reported(tmp_path: Path) -> None:
    """A credential that the service refuses fails at the first call, without its text."""
    cloud = cloud_of(empty_world())
    environment = {**CREDENTIAL, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "sentinel-wrong"}
    code, findings, output = await check(
        cloud, tmp_path, "--region-id=cn-hangzhou", environment=environment
    )
    assert code == 1
    assert findings[-1].startswith("FAILED cn-hangzhou ListWorkspaces credential:")
    assert "sentinel-wrong" not in output


async def test_a_service_that_hangs_takes_no_longer(tmp_path: Path) -> None:
    """Whatever hangs: the answer is there in less than 10 s, and tells what did not come.

    The seconds count from the first call, because a busy machine may take long to start Python.
    """
    cloud = cloud_of(empty_world())
    cloud.faults.add(Hang(), action="ListLivyCompute")
    async with serve(cloud.app) as endpoint:
        flags = (f"--api.endpoint={endpoint}", ANY_PORT, "--region-id=cn-hangzhou")
        async with start([*EXPORTER, "check", *flags], tmp_path, CREDENTIAL) as process:
            await until(lambda: cloud.calls, "it calls", process)
            code = await asyncio.wait_for(process.running.wait(), 10)
    findings, _ = answer_of(process)
    assert code == 1
    assert {line.split()[2]: line.split()[0] for line in findings} == {
        "credential": "ok",
        "ListWorkspaces": "ok",
        "ListSessionClusters": "ok",
        "ListLivyCompute": "FAILED",
    }
    assert "timeout" in next(line for line in findings if line.startswith("FAILED"))


async def test_a_slow_rate_takes_longer(tmp_path: Path) -> None:
    """What the daemon would poll in time is no failure: the calls may wait for their turns."""
    world = empty_world()
    for number in range(2, 5):
        world.put_gateway(SimulatedGateway(WORKSPACE, f"lc-{number}"))
    flags = ("--region-id=cn-hangzhou", "--api.max-requests-per-second=0.7")
    code, findings, _ = await check(cloud_of(world), tmp_path, *flags)
    assert [line.split()[0] for line in findings] == ["ok"] * 8
    assert code == 0


@pytest.mark.parametrize("name", ["missing/ledger.db", "/proc/ledger.db", "x" * 300])
async def test_a_place_where_no_ledger_can_be_is_reported(tmp_path: Path, name: str) -> None:
    """It is refused in the words in which the daemon would refuse to start."""
    flags = ("--region-id=cn-hangzhou", f"--ledger.path={name}")
    code, findings, _ = await check(cloud_of(empty_world()), tmp_path, *flags)
    served, process = await run([*EXPORTER, "serve", ANY_PORT, *flags], tmp_path, CREDENTIAL)
    said = findings[0].removeprefix(f"FAILED {name} ledger.path ")
    assert (code, served) == (1, 1)
    assert said.startswith(f"the ledger {name} cannot be used: ")
    assert process.stderr.read_text() == f"error: {said}\n"


async def test_a_ledger_that_is_yet_to_be_is_no_failure(tmp_path: Path) -> None:
    """The daemon creates it, also in a file that is empty; the check leaves nothing behind."""
    (tmp_path / "empty.db").touch()
    for name in ("new.db", "empty.db"):
        flags = ("--region-id=cn-hangzhou", f"--ledger.path={name}")
        code, findings, _ = await check(cloud_of(empty_world()), tmp_path, *flags)
        assert (code, len(findings)) == (0, 5)
    assert files_in(tmp_path) == ["empty.db", "stderr", "stdout"]


async def test_an_unreachable_service_is_reported(tmp_path: Path) -> None:
    """A refused connection is a matter of the network."""
    command = [*EXPORTER, "check", ANY_PORT, "--region-id=cn-hangzhou"]
    endpoint = f"--api.endpoint=http://127.0.0.1:{free_port()}"
    code, process = await run([*command, endpoint], tmp_path, CREDENTIAL)
    assert code == 1
    assert b"network: ListWorkspaces: the service cannot be reached" in process.output


async def test_one_failure_is_not_repeated(tmp_path: Path) -> None:
    """A check asks once: it shows what is, also if it would pass by itself."""
    cloud = cloud_of(empty_world())
    cloud.faults.add(faults.UNAVAILABLE, action="ListSessionClusters", times=1)
    code, findings, _ = await check(cloud, tmp_path, "--region-id=cn-hangzhou")
    assert code == 1
    assert any(line.startswith("FAILED cn-hangzhou/w-1 ListSessionCl") for line in findings)


@pytest.mark.parametrize("access", ["open", "password", "TLS"])
async def test_a_running_exporter_may_use_the_address(tmp_path: Path, access: str) -> None:
    """To check beside the daemon is usual, and tells nothing wrong; by its health it is known."""
    content: dict[str, object] = {}
    if access == "password":
        content = {"basic_auth_users": {"alice": ALICE}}
    elif access == "TLS":
        content = {"tls_server_config": dict(write_certificate(tmp_path, trustme.CA()))}
    web = f"--web.config.file={write_config(tmp_path, content)}"
    demo = [*EXPORTER, "demo", ANY_PORT, web, "--web.health-auth=true"]
    async with start(demo, tmp_path / "demo") as process:
        address = (await process.url()).partition("://")[2]
        flags = ("--region-id=cn-hangzhou", f"--web.listen-address={address}")
        code, findings, _ = await check(cloud_of(empty_world()), tmp_path, *flags)
    row = f"ok {address} web.listen-address in use by a running exporter"
    assert (code, findings[0]) == (0, row)


async def test_an_address_in_use_by_another_program_fails(tmp_path: Path) -> None:
    """It is refused in the words in which the daemon would refuse to start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        flags = ("--region-id=cn-hangzhou", f"--web.listen-address={address}")
        code, findings, _ = await check(cloud_of(empty_world()), tmp_path, *flags)
        served, process = await run([*EXPORTER, "serve", *flags], tmp_path, CREDENTIAL)
    said = findings[0].removeprefix(f"FAILED {address} web.listen-address ")
    assert (code, served) == (1, 2)
    assert said.startswith(f"cannot listen on {address}: Address already in use")
    assert said in process.output.decode()


async def test_settings_that_were_given_come_after_the_answer(tmp_path: Path) -> None:
    """The others are shown to who asks for them."""
    flags = ("--region-id=cn-hangzhou", "--poll.interval=1m")
    for more, shown in (((), 4), (("--verbose",), len(all_settings()))):
        _, _, output = await check(cloud_of(empty_world()), tmp_path, *flags, *more)
        title, *settings = output.partition("\n\n")[2].splitlines()
        assert title.startswith("Settings")
        assert "region-id = cn-hangzhou  (flag)" in settings
        assert "poll.interval = 1m  (flag)" in settings
        assert len(settings) == shown


async def test_a_misspelt_region_is_doubted(tmp_path: Path) -> None:
    """Where nothing answers for a region that is not known, the nearest one is named."""
    environment = {**CREDENTIAL, "HTTPS_PROXY": f"http://127.0.0.1:{free_port()}"}
    failures = {}
    for region in ("cn-hangzou", "cn-hangzhou"):
        command = [*EXPORTER, "check", ANY_PORT, f"--region-id={region}"]
        code, process = await run(command, tmp_path, environment)
        assert code == 1
        failures[region] = process.output.decode()
    assert "If cn-hangzou is misspelt: did you mean cn-hangzhou?" in failures["cn-hangzou"]
    assert "no region" not in failures["cn-hangzhou"]


ODD = "a\x1b[2J\rb\nerror: forged\x85d\u2028e\u202ef"


@pytest.mark.parametrize("command", ["check", "reconcile"])
async def test_names_move_no_cursor(tmp_path: Path, command: str) -> None:
    """Ids, queues and messages from outside are printed as escapes."""
    world = empty_world()
    world.put_gateway(SimulatedGateway(WORKSPACE, f"lc{ODD}"))
    world.put_session(
        SimulatedSession(WORKSPACE, f"lc{ODD}", "s", 1, queue=f"q{ODD}", usage=used(1))
    )
    cloud = cloud_of(world)
    refusal = {"code": "Odd", "message": f"No {ODD}.", "success": False}
    cloud.faults.add(Canned(json.dumps(refusal).encode()), action="ListSessionClusters")
    async with serve(cloud.app) as endpoint:
        flags = [f"--api.endpoint={endpoint}", "--region-id=cn-hangzhou", "--api.max-attempts=1"]
        if command == "reconcile":
            await run([*EXPORTER, "once", *flags, "--ledger.path=l.db"], tmp_path, CREDENTIAL)
            flags.append("--ledger.path=l.db")
        _, process = await run([*EXPORTER, command, *flags], tmp_path, CREDENTIAL)
    output = process.output.decode()
    assert all(line.isprintable() for line in output.split("\n"))
    assert not any(line.startswith("error:") for line in output.splitlines())
    assert "202e" in output
