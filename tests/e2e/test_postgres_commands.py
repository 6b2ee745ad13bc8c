"""The commands beside the daemon where the ledger is in PostgreSQL, as processes."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
import pytest

from exporter.clock import SystemClock
from exporter.demo import World, serve
from exporter.ledger import Ledger, Postgres
from tests.support import postgres
from tests.support.exporters import ANY_PORT, cloud_of, fetch, serve_command
from tests.support.forked import run, start
from tests.support.pages import Page
from tests.support.postgres import HOST, SUPERUSER, Database
from tests.support.processes import CREDENTIAL, EXPORTER, STOP_SECONDS, Process, eventually, until
from tests.support.tcp_proxy import tcp_proxy
from tests.support.worlds import GATEWAY, busy_world, key, used

pytestmark = [pytest.mark.anyio, pytest.mark.process, pytest.mark.real]

PASSWORD: Final = "sentinel-of-a-password"


def flags(database: Database, **parameters: str) -> list[str]:
    """Return the flags that keep the ledger there."""
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return [
        f"--ledger.url={database.url}?{query}",
        f"--ledger.schema={database.schema}",
        "--lease.duration=10s",
    ]


def totals(page: Page) -> Mapping[tuple[str, ...], float]:
    """Return the CU-hours of all queues."""
    return page.values("livy_cu_hours_total")


async def counted(world: World, endpoint: str, folder: Path, *given: str) -> Page:
    """Count a world once; return the page."""
    code, process = await run(serve_command(world, endpoint, "once", *given), folder, CREDENTIAL)
    assert code == 0, process.output.decode()
    return Page.from_text(process.stdout.read_text())


async def refusal(command: Sequence[str], folder: Path, *, exit_code: int = 1) -> str:
    """Run a command that fails; return the line that it says."""
    code, process = await run(command, folder, CREDENTIAL)
    said = process.stderr.read_text()
    assert code == exit_code, process.output.decode()
    assert "Traceback" not in said
    return said


@asynccontextmanager
async def daemon(
    world: World, endpoint: str, folder: Path, *given: str
) -> AsyncIterator[tuple[Process, str]]:
    """Run a daemon that has counted a world."""
    command = serve_command(world, endpoint, "serve", ANY_PORT, *given)
    async with start(command, folder, CREDENTIAL) as process:
        url = await process.url()

        async def has_counted() -> bool:
            return len((await fetch(url)).values("exporter_target_up", source="livy_sessions")) == 2

        await eventually(has_counted)
        yield process, url


@pytest.fixture
def database() -> Database:
    """Return a role and its database on the shared server."""
    return postgres.shared().database()


async def test_an_imported_ledger_goes_on(tmp_path: Path, database: Database) -> None:
    """With the same totals; the sums fit; it is imported once, and from a file that is not used."""
    world = busy_world()
    file = f"--ledger.path={tmp_path / 'ledger.db'}"
    command = ["ledger", "import", f"--from={tmp_path / 'ledger.db'}", *flags(database)]
    async with serve(cloud_of(world).app) as endpoint:
        async with daemon(world, endpoint, tmp_path / "d", file) as (process, _):
            assert "in use" in await refusal([*EXPORTER, *command], tmp_path / "i")
            await process.end()
        before = await counted(world, endpoint, tmp_path / "o", file)
        code, process = await run([*EXPORTER, *command], tmp_path / "i")
        assert code == 0, process.output.decode()
        assert process.stdout.read_text().startswith("copied ")
        after = await counted(world, endpoint, tmp_path / "o", *flags(database))
        assert totals(after) == totals(before)
        assert len(totals(before)) > 2
        created = "exporter_ledger_created_timestamp_seconds"
        assert after.value(created) == before.value(created)
        reconcile = serve_command(world, endpoint, "reconcile", *flags(database))
        code, process = await run(reconcile, tmp_path / "r", CREDENTIAL)
        assert code == 0, process.output.decode()
        assert "not counted yet" not in process.stdout.read_text()
        said = await refusal([*EXPORTER, *command], tmp_path / "i")
        assert "already has a ledger" in said
        assert "choose another ledger.schema" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_an_interrupted_import_leaves_nothing(
    tmp_path: Path, database: Database, number: signal.Signals
) -> None:
    """Neither a row nor, where the process could say so, the lease; it is begun again."""
    file = f"--ledger.path={tmp_path / 'ledger.db'}"
    command = ["ledger", "import", f"--from={tmp_path / 'ledger.db'}", *flags(database)]
    Ledger(Postgres(database.url, database.schema), clock=SystemClock()).close()
    async with serve(cloud_of(busy_world()).app) as endpoint:
        await counted(busy_world(), endpoint, tmp_path / "o", file)
    server = postgres.shared()
    with psycopg.connect(superuser_url(database)) as other:
        other.execute(f"LOCK TABLE {database.schema}.counter".encode())
        async with start([*EXPORTER, *command], tmp_path / "i") as process:
            await eventually(partial(is_waiting, database), pause=0.01)
            process.running.send_signal(number)
            await process.running.wait()
    schema = database.schema
    assert server.execute(f"SELECT count(*) FROM {schema}.session", database.name) == [(0,)]
    [(holder,)] = server.execute(f"SELECT holder FROM {schema}.lease", database.name)
    assert (holder is None) == (number is signal.SIGTERM)
    code, process = await run([*EXPORTER, *command], tmp_path / "i")
    assert code == 0, process.output.decode()


async def is_waiting(database: Database) -> bool:
    """Whether the exporter waits for a lock."""
    found = await asyncio.to_thread(
        postgres.shared().execute,
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        f" AND usename = '{database.role}'",
    )
    return bool(found)


def superuser_url(database: Database) -> str:
    """Return the URL for an administrator of a database."""
    return f"postgresql://{SUPERUSER}@{HOST}:{database.port}/{database.name}"


async def test_forget_waits_for_the_lease_of_a_killed_daemon_only(
    tmp_path: Path, database: Database
) -> None:
    """A running one is named and left alone; one that was stopped has given the lease back."""
    world = busy_world()
    command = [*EXPORTER, "ledger", "forget", f"--livy-compute-id={GATEWAY}", *flags(database)]
    async with serve(cloud_of(world).app) as endpoint:
        async with daemon(world, endpoint, tmp_path / "d", *flags(database)) as (process, url):
            said = await refusal(command, tmp_path / "f")
            assert "is in use by" in said
            reconcile = serve_command(world, endpoint, "reconcile", *flags(database))
            code, balance = await run(reconcile, tmp_path / "r", CREDENTIAL)
            assert code == 0, balance.output.decode()
            once = serve_command(world, endpoint, "once", *flags(database))
            assert "is in use by" in await refusal(once, tmp_path / "o")
            assert totals(await fetch(url))
            process.running.kill()
            await process.running.wait()
        begun = time.monotonic()
        code, forgot = await run(command, tmp_path / "f")
        assert (code, forgot.stdout.read_text()) == (
            0,
            f"forgot gateway {GATEWAY} of workspace w-1\n",
        )
        assert time.monotonic() - begun > 5
        async with daemon(world, endpoint, tmp_path / "d", *flags(database)) as (process, _):
            await process.end()
        begun = time.monotonic()
        code, forgot = await run(command, tmp_path / "f")
        assert (code, time.monotonic() - begun < 10) == (0, True), forgot.output.decode()


async def test_a_backup_is_made_by_pg_dump(tmp_path: Path, database: Database) -> None:
    """The command says how."""
    command = [*EXPORTER, "ledger", "backup", str(tmp_path / "copy"), *flags(database)]
    said = await refusal(command, tmp_path / "b")
    assert f"use pg_dump --schema={database.schema}" in said
    assert not (tmp_path / "copy").exists()


async def test_check_reports_what_a_daemon_would_find(tmp_path: Path, database: Database) -> None:
    """The version and clock of the server, what is there, and who uses it."""
    world = busy_world()
    async with serve(cloud_of(world).app) as endpoint:
        check = serve_command(world, endpoint, "check", ANY_PORT, *flags(database))
        code, process = await run(check, tmp_path / "c", CREDENTIAL)
        said = process.stdout.read_text()
        assert code == 0, said
        assert "PostgreSQL " in said
        assert ", whose clock is 0." in said
        assert "no ledger yet" in said
        async with daemon(world, endpoint, tmp_path / "d", *flags(database)):
            code, process = await run(check, tmp_path / "c", CREDENTIAL)
        assert code == 0, process.output.decode()
        assert "sessions remembered; used by " in process.stdout.read_text()
        with tcp_proxy(database.port) as proxy:
            proxy.hang()
            hanging = serve_command(
                world, endpoint, "check", ANY_PORT, *flags(database.at(proxy.port))
            )
            code, process = await run(hanging, tmp_path / "c", CREDENTIAL)
        assert code == 1
        assert "the database does not answer" in process.stdout.read_text()


def execute(database: Database, sql: str) -> None:
    """Run a statement of an administrator of a database."""
    postgres.shared().execute(sql, database.name)


def of_newer_version(database: Database) -> None:
    """Let a newer version have written a ledger."""
    location = Postgres(database.url, database.schema)
    Ledger(location, clock=SystemClock()).close()
    execute(database, f"UPDATE {database.schema}.meta SET version = 99")


def without_rights(database: Database) -> None:
    """Take the schema away from its role."""
    execute(database, f"ALTER SCHEMA {database.schema} OWNER TO {SUPERUSER}")


def with_password(database: Database) -> None:
    """Ask for a password."""
    execute(database, f"ALTER ROLE {database.role} PASSWORD '{PASSWORD}'")
    execute(database, f"GRANT with_password TO {database.role}")


def gone(database: Database) -> None:
    """Drop the database."""
    postgres.shared().execute(f"DROP DATABASE {database.name}")


HOPELESS: Final[Mapping[str, tuple[Callable[[Database], None], str]]] = {
    "password": (
        with_password,
        "check the user of ledger.url and its password (PGPASSFILE, PGPASSWORD), and pg_hba.conf",
    ),
    "database": (gone, "check the database of ledger.url, or create it"),
    "rights": (without_rights, "give the role the rights of deploy/postgres/role.sql"),
    "version": (of_newer_version, "run that version, or restore a dump made before the upgrade"),
}


@pytest.mark.parametrize(("trouble", "words"), HOPELESS.values(), ids=HOPELESS)
async def test_what_no_waiting_mends_is_refused_at_the_start(
    tmp_path: Path, database: Database, trouble: Callable[[Database], None], words: str
) -> None:
    """Each command says what it is and what to do, and no secret."""
    trouble(database)
    environment = {**CREDENTIAL, "PGPASSWORD": f"{PASSWORD}-wrong"}
    async with serve(cloud_of(busy_world()).app) as endpoint:
        for name in ("serve", "once", "check"):
            given = [*flags(database), "--log.level=debug"]
            command = serve_command(busy_world(), endpoint, name, *given)
            command += [ANY_PORT] if name != "once" else []
            code, process = await run(command, tmp_path, environment)
            said = process.output.decode()
            assert (code, words in said) == (1, True), (name, said)
            assert "Traceback" not in said
            assert PASSWORD not in said


async def test_a_process_that_cannot_start_gives_the_lease_back(
    tmp_path: Path, database: Database
) -> None:
    """The next one need not wait for its end."""
    world = busy_world()
    async with serve(cloud_of(world).app) as endpoint:
        async with daemon(world, endpoint, tmp_path / "x", "--ledger.path=x.db") as (_, url):
            address = f"--web.listen-address={url.removeprefix('http://')}"
            command = serve_command(world, endpoint, "serve", address, *flags(database))
            assert "cannot listen" in await refusal(command, tmp_path / "d", exit_code=2)
        await counted(world, endpoint, tmp_path / "o", *flags(database))


async def test_a_daemon_resigns_also_while_a_commit_hangs(
    tmp_path: Path, database: Database
) -> None:
    """Within the time in which it promises to end; what was not counted is counted by the next."""
    world = busy_world()
    async with serve(cloud_of(world).app) as endpoint:
        async with daemon(world, endpoint, tmp_path / "d", *flags(database)) as (process, _):
            with psycopg.connect(superuser_url(database)) as other:
                other.execute(f"LOCK TABLE {database.schema}.counter".encode())
                world.revise(key("livy-a"), used(9.0))
                await eventually(partial(is_waiting, database), pause=0.01)
                code, seconds = await process.end()
                assert (code, seconds < STOP_SECONDS) == (0, True)
                lease = f"SELECT holder FROM {database.schema}.lease"
                assert postgres.shared().execute(lease, database.name) == [(None,)]
        page = await counted(world, endpoint, tmp_path / "o", *flags(database))
        assert max(totals(page).values()) > 9


async def test_a_daemon_ends_in_time_while_nothing_answers(
    tmp_path: Path, database: Database
) -> None:
    """Its lease ends by itself; what it had not counted is counted by the next one."""
    world = busy_world()
    async with serve(cloud_of(world).app) as endpoint:
        with tcp_proxy(database.port) as proxy:
            given = flags(database.at(proxy.port))
            async with daemon(world, endpoint, tmp_path / "d", *given) as (process, url):
                proxy.hang()
                world.revise(key("livy-a"), used(9.0))

                async def is_shown() -> bool:
                    page = await fetch(url)
                    of = {"workspace_id": "w-1"}
                    gauge = page.values("livy_session_cu_hours", session_id="livy-a", **of)
                    error = {"source": "livy_sessions", "reason": "ledger", **of}
                    is_told = page.has("exporter_target_error_info", **error)
                    return [*gauge.values()] == [9.0] and is_told

                await eventually(is_shown)
                code, seconds = await process.end(signal.SIGTERM)
                assert (code, seconds < STOP_SECONDS) == (0, True)


async def test_no_password_is_revealed(tmp_path: Path) -> None:
    """Of a variable, a password file or a service file, whatever goes wrong meanwhile."""
    (tmp_path / "pgpass").write_text(f"*:*:*:*:{PASSWORD}\n")
    (tmp_path / "pgpass").chmod(0o600)
    (tmp_path / "service.conf").write_text(f"[ledger]\npassword={PASSWORD}\n")
    ways: dict[str, tuple[str, Mapping[str, str]]] = {
        "PGPASSWORD": (PASSWORD, {}),
        "PGPASSFILE": (str(tmp_path / "pgpass"), {}),
        "PGSERVICEFILE": (str(tmp_path / "service.conf"), {"service": "ledger"}),
    }
    async with asyncio.TaskGroup() as group:
        for name, (value, parameters) in ways.items():
            group.create_task(reveals_nothing({name: value}, parameters, tmp_path / name))


async def reveals_nothing(
    variable: Mapping[str, str], parameters: Mapping[str, str], folder: Path
) -> None:
    """Let a daemon lose its database; look for the password in all that it says and shows."""
    world = busy_world()
    database = postgres.shared().database(password=PASSWORD)
    async with serve(cloud_of(world).app) as endpoint:
        with tcp_proxy(database.port) as proxy:
            given = [*flags(database.at(proxy.port), **parameters), "--log.level=debug"]
            command = serve_command(world, endpoint, "serve", ANY_PORT, *given)
            async with start(command, folder, {**CREDENTIAL, **variable}) as process:
                url = await process.url()

                async def has_counted() -> bool:
                    return bool(totals(await fetch(url)))

                await eventually(has_counted)
                proxy.refuse()
                await until(lambda: b"poll_failed" in process.output, "a failure", process)
                page = (await fetch(url)).text
                await process.end()
    assert PASSWORD not in process.output.decode()
    assert PASSWORD not in page
    rows = postgres.shared().execute(f"SELECT * FROM {database.schema}.lease", database.name)
    assert PASSWORD not in str(rows)
