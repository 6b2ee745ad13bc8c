"""Failures of the PostgreSQL that keeps the ledger: what the page shows, and no loss."""

import asyncio
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest

from exporter.demo import World
from exporter.ledger import Postgres
from exporter.ledger.postgres.connection import BoundedConnection, connect
from tests.support import postgres
from tests.support.harness import Harness
from tests.support.ledger_trouble import (
    assert_same_after_restart,
    assert_trouble,
    assert_well,
    fill,
    total,
)
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import HOST, SUPERUSER, Cluster, Database
from tests.support.processes import eventually, free_port
from tests.support.server_folders import give_away, wait_until
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.worlds import WORKSPACE, empty_world, key, session, used

pytestmark = [pytest.mark.anyio, pytest.mark.real]

LONG: Final = 3_600.0
"""Seconds for which a lease lasts that no test should wait for."""

WAIT: Final = 1.0
"""Seconds that the exporter waits for an answer, here."""


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for an answer for a moment only."""
    monkeypatch.setattr(BoundedConnection, "seconds", WAIT)


@pytest.fixture
def world() -> World:
    """Make a world with one session."""
    world = empty_world()
    world.put_session(session("livy-a", 1.0))
    return world


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Run a server that the tests of this module may stop."""
    with postgres.private() as cluster:
        yield cluster


def located(database: Database, duration: float = LONG) -> Postgres:
    """Return where a daemon keeps its ledger."""
    return Postgres(f"{database.url}?connect_timeout=2", database.schema, duration, is_patient=True)


def exporter(world: World, location: Postgres) -> Harness:
    """Make an exporter of a world, with its ledger there."""
    return Harness(world, ledger=location, lease={"duration": location.lease_duration})


@dataclass(frozen=True)
class Scene:
    """A server, the database that an exporter uses there, and what stands between."""

    cluster: Cluster
    database: Database
    proxy: TcpProxy

    def execute(self, sql: str) -> list[object]:
        """Run a statement of an administrator of the database."""
        return self.cluster.execute(sql, self.database.name)

    def end_connections(self) -> None:
        """End all connections of the exporter, and wait until it can know that they have ended."""
        before = self.proxy.ended
        ended = self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE usename = '{self.database.role}'"
        )
        wait_until(lambda: self.proxy.ended - before >= len(ended), "they have ended")


@asynccontextmanager
async def counting(cluster: Cluster, world: World) -> AsyncIterator[tuple[Scene, Harness]]:
    """Run an exporter that has counted the world, 1.0 CU-hours."""
    with tcp_proxy(cluster.port) as proxy:
        scene = Scene(cluster, cluster.database(), proxy)
        async with exporter(world, located(scene.database.at(proxy.port))) as harness:
            await assert_well(harness, 1.0)
            yield scene, harness


Trouble = Callable[[Scene, ExitStack], object]
"""Begins; what ends it is put on the stack."""


def refused(scene: Scene, stack: ExitStack) -> None:
    """End all connections, and accept no new ones."""
    stack.callback(scene.proxy.resume)
    scene.proxy.refuse()


def hanging(**directions: bool) -> Trouble:
    """Return a trouble in which nothing passes in some directions."""

    def hang(scene: Scene, stack: ExitStack) -> None:
        stack.callback(scene.proxy.resume)
        scene.proxy.hang(**directions)

    return hang


def changed(begin: str, end: str) -> Trouble:
    """Return a trouble that an administrator makes, and what makes it good."""

    def change(scene: Scene, stack: ExitStack) -> None:
        names = {"role": scene.database.role, "schema": scene.database.schema}
        stack.callback(scene.execute, end.format(**names))
        scene.execute(begin.format(**names))
        scene.end_connections()

    return change


def all_connections_taken(scene: Scene, stack: ExitStack) -> None:
    """Let others have all connections but those that are reserved."""
    stack.callback(scene.cluster.restart, "fast")
    stack.callback(scene.cluster.execute, "ALTER SYSTEM RESET max_connections")
    scene.cluster.execute("ALTER SYSTEM SET max_connections = 6")
    scene.cluster.restart("fast")
    other = scene.cluster.schema()
    with suppress(psycopg.OperationalError):
        while True:
            stack.enter_context(psycopg.connect(other.url))


def stopped(scene: Scene, stack: ExitStack) -> None:
    """Let the server crash, and start it at the end."""
    stack.callback(scene.cluster.start)
    scene.cluster.stop()


def paused(scene: Scene, stack: ExitStack) -> None:
    """Stop all processes of the server."""
    stack.enter_context(scene.cluster.paused())


def locked(scene: Scene, stack: ExitStack) -> None:
    """Let another program lock the totals."""
    url = f"postgresql://{SUPERUSER}@{HOST}:{scene.cluster.port}/{scene.database.name}"
    other = stack.enter_context(psycopg.connect(url))
    other.execute(f"LOCK TABLE {scene.database.schema}.counter".encode())


LATER: Final[dict[str, tuple[Trouble, str, str]]] = {
    "refused": (
        refused,
        "unreachable",
        "check ledger.url with its user, password and database, the network and",
    ),
    "stopped": (
        stopped,
        "unreachable",
        "check ledger.url with its user, password and database, the network and",
    ),
    "paused": (paused, "timeout", "the database does not answer"),
    "nothing arrives": (hanging(to_client=False), "timeout", "the database does not answer"),
    "no answer arrives": (hanging(to_server=False), "timeout", "the database does not answer"),
    "packets are dropped": (hanging(), "timeout", "the database does not answer"),
    "locked": (locked, "timeout", "the database"),
    "connection limit of the role": (
        changed("ALTER ROLE {role} CONNECTION LIMIT 0", "ALTER ROLE {role} CONNECTION LIMIT -1"),
        "unreachable",
        "the server accepts no more connections",
    ),
    "all connections taken": (
        all_connections_taken,
        "unreachable",
        "the server accepts no more connections",
    ),
    "read-only": (
        changed(
            "ALTER ROLE {role} SET default_transaction_read_only = on",
            "ALTER ROLE {role} RESET default_transaction_read_only",
        ),
        "unreachable",
        "set default_transaction_read_only to off for the role",
    ),
    "right to write revoked": (
        changed(
            "REVOKE UPDATE ON ALL TABLES IN SCHEMA {schema} FROM {role}",
            "GRANT UPDATE ON ALL TABLES IN SCHEMA {schema} TO {role}",
        ),
        "io",
        "give the role the rights of deploy/postgres/role.sql on ledger.schema",
    ),
    "right to connect revoked": (
        changed("ALTER ROLE {role} NOLOGIN", "ALTER ROLE {role} LOGIN"),
        "io",
        "check the user of ledger.url and its password",
    ),
    "password asked for": (
        changed("GRANT with_password TO {role}", "REVOKE with_password FROM {role}"),
        "io",
        "check the user of ledger.url and its password (PGPASSFILE, PGPASSWORD)",
    ),
    "disk full": (
        changed(
            "CREATE FUNCTION {schema}.full() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RAISE SQLSTATE ''53100''; END';"
            "CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {schema}.session"
            " EXECUTE FUNCTION {schema}.full()",
            "DROP FUNCTION {schema}.full CASCADE",
        ),
        "full",
        "make room on the disk of the database",
    ),
    "table gone": (
        changed(
            "ALTER TABLE {schema}.session RENAME TO elsewhere",
            "ALTER TABLE {schema}.elsewhere RENAME TO session",
        ),
        "corrupt",
        "restore a dump",
    ),
}


@pytest.mark.parametrize(("trouble", "reason", "words"), LATER.values(), ids=LATER)
async def test_trouble_later_loses_no_usage(
    cluster: Cluster, world: World, trouble: Trouble, reason: str, words: str
) -> None:
    """The totals stand still and the gauges do not; afterwards everything missed is counted."""
    async with counting(cluster, world) as (scene, harness):
        with ExitStack() as stack:
            trouble(scene, stack)
            for cu_hours in (2.0, 3.0):
                world.revise(key("livy-a"), used(cu_hours))
                harness.clock.advance(30)
                begun = time.monotonic()
                await assert_trouble(harness, reason, 1.0, words)
                assert time.monotonic() - begun < 2 * WAIT + 20  # not for as long as it hangs
        harness.clock.advance(30)
        await assert_well(harness, 3.0)
        await assert_same_after_restart(harness)


def is_waiting(scene: Scene, event: str) -> bool:
    """Whether the exporter waits for something inside the server."""
    found = scene.execute(
        f"SELECT 1 FROM pg_stat_activity WHERE usename = '{scene.database.role}'"
        f" AND wait_event_type || ' ' || wait_event = '{event}'"
    )
    return bool(found)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the exporter brings about in another thread."""

    async def check() -> bool:
        return condition()

    await eventually(check, pause=0.02)


async def test_a_restart_in_the_middle_of_a_transaction_undoes_it(
    cluster: Cluster, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is counted, and then everything once."""
    monkeypatch.setattr(BoundedConnection, "seconds", 8.0)
    async with counting(cluster, world) as (scene, harness):
        world.revise(key("livy-a"), used(2.0))
        with suppress(psycopg.OperationalError), ExitStack() as stack:
            locked(scene, stack)
            failing = asyncio.create_task(
                assert_trouble(harness, "unreachable", 1.0, "check ledger.url")
            )
            await until(lambda: is_waiting(scene, "Lock relation"))
            await asyncio.to_thread(cluster.restart)
            await failing
        harness.clock.advance(30)
        await assert_well(harness, 2.0)
        await assert_same_after_restart(harness)


@pytest.mark.parametrize("end", [Scene.end_connections, lambda scene: scene.proxy.cut()])
async def test_a_connection_that_ended_while_it_was_idle_is_replaced(
    cluster: Cluster, world: World, end: Callable[[Scene], None]
) -> None:
    """By an administrator or a firewall: no poll fails for that."""
    async with counting(cluster, world) as (scene, harness):
        world.revise(key("livy-a"), used(2.0))
        end(scene)
        await assert_well(harness, 2.0)
        await assert_same_after_restart(harness)


def test_an_idle_connection_is_kept_alive(cluster: Cluster) -> None:
    """For firewalls that drop what is silent for minutes, without telling anybody."""
    with closing(connect(cluster.schema().url)) as connection:
        with socket.socket(fileno=os.dup(connection.fileno())) as own:
            assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60
        assert connection.is_alive()


async def test_a_commit_whose_answer_is_lost_is_counted_once(
    cluster: Cluster, world: World
) -> None:
    """What was not shown yet is shown when the server is asked what it has."""
    async with counting(cluster, world) as (scene, harness):
        world.revise(key("livy-a"), used(2.0))
        scene.proxy.hang_after(b"COMMIT")
        await assert_trouble(harness, "timeout", 1.0, "the database does not answer")
        scene.proxy.resume()
        harness.clock.advance(30)
        world.revise(key("livy-a"), used(3.0))
        await assert_well(harness, 3.0)
        await assert_same_after_restart(harness)


async def test_a_commit_that_waits_for_a_standby_is_counted_once(
    cluster: Cluster, world: World
) -> None:
    """The server does it in the end, and keeps the next ones waiting until then."""
    async with counting(cluster, world) as (scene, harness):
        cluster.configure(synchronous_standby_names="nobody")
        world.revise(key("livy-a"), used(2.0))
        for _ in range(2):
            await assert_trouble(harness, "timeout", 1.0, "the database")
            harness.clock.advance(30)
        assert is_waiting(scene, "IPC SyncRep")
        cluster.configure(synchronous_standby_names="")
        await until(lambda: not is_waiting(scene, "IPC SyncRep"))
        world.revise(key("livy-a"), used(3.0))
        await assert_well(harness, 3.0)
        await assert_same_after_restart(harness)


async def test_a_commit_that_is_done_by_a_restart_of_the_server_is_counted_once(
    cluster: Cluster, world: World
) -> None:
    """Also if the ledger was read again before, which did not show the commit."""
    async with counting(cluster, world) as (scene, harness):
        await harness.poll("session_clusters")  # from now on there is nothing to write for it
        cluster.configure(synchronous_standby_names="nobody")
        world.revise(key("livy-a"), used(2.0))
        await assert_trouble(harness, "timeout", 1.0, "the database")
        harness.clock.advance(30)
        await harness.poll("session_clusters")
        assert total(harness) == 1.0
        assert is_waiting(scene, "IPC SyncRep")
        cluster.configure(synchronous_standby_names="")
        cluster.restart()
        world.revise(key("livy-a"), used(3.0))
        harness.clock.advance(30)
        await assert_well(harness, 3.0)
        await assert_same_after_restart(harness)


async def test_a_wait_for_a_standby_that_was_cancelled_leaves_a_commit_in_doubt(
    cluster: Cluster, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server calls it done, with a warning: it is shown when the server is asked again.

    Also where warnings are switched off.
    """
    monkeypatch.setattr(BoundedConnection, "seconds", 8.0)
    async with counting(cluster, world) as (scene, harness):
        cluster.configure(synchronous_standby_names="nobody", client_min_messages="error")
        world.revise(key("livy-a"), used(2.0))
        words = "check the standby servers of the database (synchronous_standby_names)"
        failing = asyncio.create_task(assert_trouble(harness, "timeout", 1.0, words))
        await until(lambda: is_waiting(scene, "IPC SyncRep"))
        scene.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        )
        await failing
        cluster.configure(synchronous_standby_names="", client_min_messages="notice")
        harness.clock.advance(30)
        await assert_well(harness, 2.0)
        await assert_same_after_restart(harness)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Return a folder on a small file system, for the server."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("no file system can be mounted here")
        (Path(folder) / "tables").mkdir()
        Path(folder).parent.chmod(0o1777)
        Path(folder).chmod(0o755)
        give_away(Path(folder) / "tables")
        yield Path(folder)
        subprocess.run(["umount", "--lazy", folder], check=True)


async def test_full_disk_of_the_server_loses_no_usage(world: World, small_disk: Path) -> None:
    """The totals stand still; once there is room again, everything missed is counted."""
    with postgres.private() as cluster:
        database = cluster.database()
        cluster.execute(f"CREATE TABLESPACE small LOCATION '{small_disk / 'tables'}'")
        cluster.execute(f"GRANT CREATE ON TABLESPACE small TO {database.role}")
        cluster.execute(f"ALTER ROLE {database.role} SET default_tablespace = small")
        async with exporter(world, located(database)) as harness:
            await assert_well(harness, 1.0)
            fill(small_disk)
            for n in range(200):  # more than what the pages have room for
                world.put_session(session(f"new-{n}", 0.5))
            world.revise(key("livy-a"), used(2.0))
            for _ in range(2):
                await assert_trouble(harness, "full", 1.0, "make room on the disk of the database")
                harness.clock.advance(30)
            (small_disk / "rest").unlink()
            await assert_well(harness, 102.0)
            await assert_same_after_restart(harness)
        cluster.stop()


async def test_a_slow_network_delays_polls_and_nothing_else(cluster: Cluster, world: World) -> None:
    """No poll fails while each answer comes within the time that is waited for it."""
    async with counting(cluster, world) as (scene, harness):
        scene.proxy.delay = 0.1
        world.revise(key("livy-a"), used(2.0))
        await assert_well(harness, 2.0)
        await assert_same_after_restart(harness)


async def test_pgbouncer_may_be_restarted(cluster: Cluster, world: World) -> None:
    """A poll after that fails no more than one that had to connect anyway."""
    database, port = cluster.database(), free_port()
    async with AsyncExitStack() as life:
        with pgbouncer(cluster, port):
            location = located(database.at(port))
            harness = await life.enter_async_context(exporter(world, location))
            await assert_well(harness, 1.0)
        world.revise(key("livy-a"), used(2.0))
        await assert_trouble(harness, "unreachable", 1.0, "check ledger.url")
        harness.clock.advance(30)
        with pgbouncer(cluster, port):
            await assert_well(harness, 2.0)
        with pgbouncer(cluster, port):
            world.revise(key("livy-a"), used(3.0))
            await assert_well(harness, 3.0)
            await assert_same_after_restart(harness)


async def test_one_connection_behind_pgbouncer_is_enough(cluster: Cluster, world: World) -> None:
    """Lease and ledger have it one after the other."""
    with pgbouncer(cluster, default_pool_size="1", query_wait_timeout="5") as port:
        database = cluster.database()
        async with exporter(world, located(database.at(port), 10.0)) as harness:
            await assert_well(harness, 1.0)
            for cu_hours in (2.0, 3.0):
                world.revise(key("livy-a"), used(cu_hours))
                await assert_well(harness, cu_hours)
            await assert_same_after_restart(harness)


AT_START: Final[dict[str, tuple[Trouble, str]]] = {
    "refused": (refused, "check ledger.url with its user"),
    "packets are dropped": (hanging(), "the database does not answer"),
    "connection limit of the role": (
        LATER["connection limit of the role"][0],
        "accepts no more connections",
    ),
    "read-only": (LATER["read-only"][0], "default_transaction_read_only"),
}


@pytest.mark.parametrize(("trouble", "words"), AT_START.values(), ids=AT_START)
@pytest.mark.parametrize("is_new", [True, False], ids=["new", "known"])
async def test_trouble_at_the_start_is_waited_for(
    cluster: Cluster, world: World, trouble: Trouble, words: str, *, is_new: bool
) -> None:
    """The process serves and says what is wrong; the first totals that it shows are right."""
    with tcp_proxy(cluster.port) as proxy:
        scene = Scene(cluster, cluster.database(), proxy)
        location = located(scene.database.at(proxy.port), 10.0)
        if not is_new:
            async with exporter(world, location) as before:
                await assert_well(before, 1.0)
        world.revise(key("livy-a"), used(2.0))
        async with AsyncExitStack() as life:
            with ExitStack() as stack:
                trouble(scene, stack)
                harness = await life.enter_async_context(exporter(world, location))
                await harness.tick(0.1)
                page = harness.peek()
                assert not any("livy" in name for name in page.names())
                assert page.value("exporter_ledger_up") == 0
                ready = await harness.get("/-/ready")
                assert (ready.status_code, words in ready.text) == (503, True), ready.text

            async def is_counted() -> bool:
                await harness.tick(0.1)
                await harness.poll()
                return harness.peek().has("livy_cu_hours_total", workspace_id=WORKSPACE)

            await eventually(is_counted)
            assert total(harness) == 2.0
            world.revise(key("livy-a"), used(3.0))
            await assert_well(harness, 3.0)
            await assert_same_after_restart(harness)
