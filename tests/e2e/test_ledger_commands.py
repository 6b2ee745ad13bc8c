"""The commands beside the daemon, as processes: `reconcile`, `ledger backup`, `ledger forget`."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exporter.demo import World, faults, serve
from tests.support.exporters import ANY_PORT, cloud_of, fetch, files_in, serve_command
from tests.support.forked import run, start
from tests.support.processes import CREDENTIAL, EXPORTER, eventually
from tests.support.worlds import (
    GATEWAY,
    WORKSPACE,
    busy_world,
    empty_world,
    key,
    session,
    used,
)

pytestmark = [pytest.mark.anyio, pytest.mark.process]

Row = tuple[str, ...]


def figures(output: bytes) -> dict[str, dict[str, str]]:
    """Read the table of the first gateway: the figures by column, by queue."""
    lines = output.decode().split("gateway ")[1].splitlines()[1:]
    columns = ["exported", "held", "advanced", "listed", "overcounted", "gone", "difference"]
    rows = [line.split() for line in lines[1:]]
    return {queue: dict(zip(columns, values, strict=True)) for queue, *values in rows}


async def ledger_of(world: World, endpoint: str, folder: Path) -> str:
    """Count a world once; give the flag that names the ledger."""
    flag = f"--ledger.path={folder / 'ledger.db'}"
    code, _ = await run(serve_command(world, endpoint, "once", flag), folder, CREDENTIAL)
    assert code == 0
    return flag


async def test_the_sums_fit(tmp_path: Path) -> None:
    """What advanced, fell or left since has its own column, nothing is written, the code is 0."""
    world = busy_world()
    async with serve(cloud_of(world).app) as endpoint:
        flag = await ledger_of(world, endpoint, tmp_path)
        world.revise(key("livy-a"), used(2.0))
        world.remove_session(key("livy-c", age=3600))
        command = serve_command(world, endpoint, "reconcile", flag)
        outputs = [await run(command, tmp_path, CREDENTIAL) for _ in range(2)]
    assert [code for code, _ in outputs] == [0, 0]
    found = figures(outputs[1][1].stdout.read_bytes())
    assert found["root_queue"] == {
        "exported": "1.750000000",
        "held": "0.000000000",
        "advanced": "0.500000000",
        "listed": "2.250000000",
        "overcounted": "0.000000000",
        "gone": "0.000000000",
        "difference": "0.000000000",
    }
    assert (found["dev"]["listed"], found["dev"]["gone"]) == ("0.125000000", "2.000000000")
    assert {each["difference"] for each in found.values()} == {"0.000000000"}


async def test_a_wrong_sum_is_reported(tmp_path: Path) -> None:
    """A total that somebody has changed is found to the last digit, with exit code 1."""
    world = busy_world()
    async with serve(cloud_of(world).app) as endpoint:
        flag = await ledger_of(world, endpoint, tmp_path)
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as db, db:
            changed = db.execute(
                "UPDATE counter SET value = value + 1, shown = shown + 1"
                " WHERE metric LIKE '%livy_cu_hours_total' AND labels LIKE '%\"w-1\"%root_queue%'"
            )
            assert changed.rowcount == 1
        command = serve_command(world, endpoint, "reconcile", flag)
        code, process = await run(command, tmp_path, CREDENTIAL)
    assert code == 1
    found = figures(process.stdout.read_bytes())
    assert found["root_queue"]["difference"] == "0.000000001"
    assert found["dev"]["difference"] == "0.000000000"


async def test_a_gateway_that_is_no_longer_found_is_reconciled(tmp_path: Path) -> None:
    """Its counters stay on the page, so they are in the answer too, and have to be right."""
    world = busy_world()
    world.put_session(session("livy-f", 1.0, queue="队列"))
    async with serve(cloud_of(world).app) as endpoint:
        flag = await ledger_of(world, endpoint, tmp_path)
        world.remove_gateway(WORKSPACE, GATEWAY)
        command = serve_command(world, endpoint, "reconcile", flag)
        code, process = await run(command, tmp_path, CREDENTIAL)
        output = process.stdout.read_text()
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as db, db:
            db.execute(
                "UPDATE counter SET value = value + 1"
                " WHERE metric LIKE '%livy_cu_hours_total' AND labels LIKE '%\"w-1\"%dev\"%'"
            )
        wrong, _ = await run(command, tmp_path, CREDENTIAL)
    listed, gone = output.split("gateway ")[1:]
    assert listed.startswith("lc-2 of workspace w-2\n")
    assert gone.startswith(
        f"{GATEWAY} of workspace {WORKSPACE}, no longer found: its counters stay\n"
    )
    rows = {queue: figures for queue, *figures in map(str.split, gone.splitlines()[2:])}
    assert rows["root_queue"] == [
        *("1.750000000", "0.000000000", "0.000000000", "0.000000000"),
        *("0.000000000", "1.750000000", "0.000000000"),
    ]
    assert (code, wrong) == (0, 1)
    # Each character of the name of that queue takes two columns.
    assert len({len(line) + line.count("队列") * 2 for line in gone.splitlines()[1:]}) == 1


async def test_without_any_gateway_nothing_was_reconciled(tmp_path: Path) -> None:
    """An answer without a row would be taken for a good one."""
    world = empty_world()
    world.remove_gateway(WORKSPACE, GATEWAY)
    async with serve(cloud_of(world).app) as endpoint:
        flags = ("--region-id=cn-hangzhou", f"--api.endpoint={endpoint}")
        ledger = f"--ledger.path={tmp_path / 'ledger.db'}"
        code, _ = await run([*EXPORTER, "once", *flags, ledger], tmp_path, CREDENTIAL)
        assert code == 0
        code, process = await run([*EXPORTER, "reconcile", *flags, ledger], tmp_path, CREDENTIAL)
    assert (code, process.stdout.read_text()) == (1, "")
    assert process.stderr.read_text().startswith("error: no Livy gateway was found, and the ledger")


async def test_an_unreadable_history_is_reported(tmp_path: Path) -> None:
    """The other gateways are reconciled all the same; the exit code is 1."""
    world = busy_world()
    cloud = cloud_of(world)
    async with serve(cloud.app) as endpoint:
        flag = await ledger_of(world, endpoint, tmp_path)
        cloud.faults.add(faults.FORBIDDEN, compute_id=GATEWAY)
        command = serve_command(world, endpoint, "reconcile", flag)
        code, process = await run(command, tmp_path, CREDENTIAL)
    output = process.stdout.read_text()
    assert code == 1
    assert "cannot be listed" in output
    assert "ListLivyComputeSessions" in output
    assert "gateway lc-2 of workspace w-2\n  queue" in output


async def test_without_a_ledger_there_is_nothing_to_do(tmp_path: Path) -> None:
    """Each of the commands says so in a line, with exit code 1, and makes no file."""
    flag = f"--ledger.path={tmp_path / 'none.db'}"
    world = busy_world()
    for command in (
        ["ledger", "backup", str(tmp_path / "copy.db"), flag],
        ["ledger", "forget", f"--livy-compute-id={GATEWAY}", flag],
    ):
        code, process = await run([*EXPORTER, *command], tmp_path / "run")
        assert (code, process.stdout.read_bytes()) == (1, b"")
        assert process.stderr.read_text().count("\n") == 1
        assert "none.db" in process.stderr.read_text()
    async with serve(cloud_of(world).app) as endpoint:
        command = serve_command(world, endpoint, "reconcile", flag)
        code, process = await run(command, tmp_path / "run", CREDENTIAL)
    assert code == 1
    assert "none.db" in process.stderr.read_text()
    assert files_in(tmp_path) == ["run"]


async def test_a_copy_is_taken_beside_the_daemon_and_is_whole(tmp_path: Path) -> None:
    """It holds the same totals, and the daemon goes on; nobody forgets a gateway meanwhile."""
    world = busy_world()
    copy = tmp_path / "copy.db"
    flag = f"--ledger.path={tmp_path / 'ledger.db'}"
    async with (
        serve(cloud_of(world).app) as endpoint,
        start(
            serve_command(world, endpoint, "serve", ANY_PORT, flag), tmp_path / "d", CREDENTIAL
        ) as daemon,
    ):
        url = await daemon.url()

        async def has_counted() -> bool:
            page = await fetch(url)
            return len(page.values("exporter_target_up", source="livy_sessions")) == 2

        await eventually(has_counted)
        code, process = await run([*EXPORTER, "ledger", "backup", str(copy), flag], tmp_path / "b")
        assert code == 0
        assert process.stdout.read_text() == f"copied {tmp_path / 'ledger.db'} to {copy}\n"
        forget = ["ledger", "forget", f"--livy-compute-id={GATEWAY}", flag]
        over_itself = ["ledger", "backup", str(tmp_path / "ledger.db"), flag]
        for command, words in ((forget, "in use"), (over_itself, "it is not overwritten")):
            code, process = await run([*EXPORTER, *command], tmp_path / "f")
            assert code == 1
            assert words in process.stderr.read_text()
        for path in (tmp_path / "ledger.db", copy):
            command = serve_command(world, endpoint, "reconcile", f"--ledger.path={path}")
            code, process = await run(command, tmp_path / "r", CREDENTIAL)
            assert code == 0
            assert figures(process.stdout.read_bytes())["root_queue"]["exported"] == "1.750000000"
        assert (await daemon.end())[0] == 0
    assert files_in(tmp_path) == ["b", "copy.db", "d", "f", "ledger.db", "ledger.db.lock", "r"]


async def test_a_gateway_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    """Its counters end, those of others stay; what the ledger does not know is exit code 1."""
    world = busy_world()
    async with serve(cloud_of(world).app) as endpoint:
        flag = await ledger_of(world, endpoint, tmp_path)
        forget = [*EXPORTER, "ledger", "forget", f"--livy-compute-id={GATEWAY}", flag]
        code, process = await run(forget, tmp_path)
        said = process.stdout.read_text()
        assert (code, said) == (0, f"forgot gateway {GATEWAY} of workspace w-1\n")
        code, process = await run(forget, tmp_path)
        said = process.stdout.read_text()
        assert (code, said) == (1, f"the ledger has no gateway {GATEWAY}\n")
        command = serve_command(world, endpoint, "reconcile", flag)
        code, process = await run(command, tmp_path, CREDENTIAL)
    output = process.stdout.read_text()
    assert code == 0
    assert f"gateway {GATEWAY} of workspace w-1\n  not counted yet" in output
    assert "4.000000000" in output


async def test_every_command_reports_damaged_values(tmp_path: Path) -> None:
    """Sound pages with values that no exporter writes: the file, and what to do, in a line."""
    world = busy_world()
    path = tmp_path / "ledger.db"
    async with serve(cloud_of(world).app) as endpoint:
        flag = await ledger_of(world, endpoint, tmp_path)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE session SET vcore_seconds = 'seven'")
        content = path.read_bytes()
        commands = [
            serve_command(world, endpoint, "serve", flag, ANY_PORT),
            serve_command(world, endpoint, "once", flag),
            serve_command(world, endpoint, "check", flag),
            serve_command(world, endpoint, "reconcile", flag),
            [*EXPORTER, "ledger", "backup", str(tmp_path / "copy.db"), flag],
            [*EXPORTER, "ledger", "forget", f"--livy-compute-id={GATEWAY}", flag],
        ]
        for command in commands:
            code, process = await run(command, tmp_path, CREDENTIAL)
            output = process.output.decode()
            assert code == 1, output
            assert f"the ledger {path} is damaged: " in output, output
            assert "restore a backup, or move the file away to start with new counters" in output
            assert "Traceback" not in output
    assert path.read_bytes() == content
    assert not (tmp_path / "copy.db").exists()
