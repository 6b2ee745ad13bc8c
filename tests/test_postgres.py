"""The PostgreSQL of the tests: that it fails in the ways that tests want it to fail."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import OperationalError, errors

from tests.support import postgres
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import Cluster, Database
from tests.support.processes import search_path
from tests.support.server_folders import wait_until
from tests.support.tcp_proxy import tcp_proxy

pytestmark = pytest.mark.real


@pytest.fixture
def database() -> Database:
    """Return a role and its schema on the shared server."""
    return postgres.shared().schema()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Run a server that the tests of this module may stop."""
    with postgres.private() as cluster:
        yield cluster


def select_one(url: str) -> object:
    """Ask a server for 1, as the ledger connects."""
    with psycopg.connect(url, connect_timeout=5, prepare_threshold=None) as connection:
        row = connection.execute("SELECT 1").fetchone()
        assert row is not None
        return row[0]


def test_a_database_is_reached_directly_by_its_socket_and_through_pgbouncer(
    database: Database,
) -> None:
    """The same role and schema behind each way."""
    with pgbouncer(postgres.shared()) as port:
        urls = (database.url, database.socket_url, database.at(port).url)
        assert [select_one(url) for url in urls] == [1, 1, 1]


def test_two_processes_of_a_run_share_one_server(database: Database) -> None:
    """A worker that needs the server finds the one that another has started."""
    program = "from tests.support import postgres; print(postgres.shared().port)"
    run = {"PYTEST_XDIST_TESTRUNUID": os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **run, "PYTHONPATH": search_path()},
    )
    assert int(done.stdout) == database.port


@pytest.mark.usefixtures("database")  # skips where there is no PostgreSQL
def test_a_server_ends_with_the_process_that_uses_it() -> None:
    """Also where it is killed; its folder is removed."""
    program = """if True:
        import os, signal
        from tests.support import postgres
        cluster = postgres.shared()
        print(cluster.pid, cluster.folder, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)"""
    environment = {**os.environ, "PYTHONPATH": search_path()}
    environment.pop("PYTEST_XDIST_TESTRUNUID", None)
    killed = subprocess.run(
        [sys.executable, "-c", program], check=False, stdout=subprocess.PIPE, env=environment
    )
    pid, folder = killed.stdout.decode().split()
    wait_until(lambda: not Path(folder).exists(), "the folder is removed")
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("make", [Cluster.schema, Cluster.database])
def test_a_role_uses_its_own_schema_and_no_other(make: Callable[[Cluster], Database]) -> None:
    """As the role that `deploy/postgres` makes."""
    mine, other = make(postgres.shared()), postgres.shared().schema()
    with psycopg.connect(mine.url) as connection:
        connection.execute(f"CREATE TABLE {mine.schema}.t (x int)".encode())
    for sql in (f"CREATE SCHEMA {other.schema}_2", f"CREATE TABLE {other.schema}.t (x int)"):
        with (
            psycopg.connect(mine.url) as connection,
            pytest.raises((errors.InsufficientPrivilege, errors.InvalidSchemaName)),
        ):
            connection.execute(sql.encode())


def test_a_password_is_asked_for_where_there_is_one() -> None:
    """And no other lets in."""
    database = postgres.shared().schema(password="right")
    for password in ("", "wrong"):
        with pytest.raises(OperationalError, match="password"):
            psycopg.connect(database.url, password=password)
    psycopg.connect(database.url, password="right").close()


def test_an_immediate_restart_ends_connections_and_keeps_commits(cluster: Cluster) -> None:
    """What was not committed is gone."""
    database = cluster.schema()
    table = f"{database.schema}.t".encode()
    with psycopg.connect(database.url) as connection:
        connection.execute(b"CREATE TABLE " + table + b" (x int)")
        connection.commit()
        connection.execute(b"INSERT INTO " + table + b" VALUES (1)")
        cluster.restart()
        with pytest.raises(OperationalError):
            connection.execute("SELECT 1")
    assert cluster.execute(f"SELECT * FROM {database.schema}.t") == []


def test_a_paused_server_answers_when_it_goes_on(cluster: Cluster) -> None:
    """It accepts connections meanwhile, as a kernel does, and says nothing."""
    url = cluster.schema().url
    with cluster.paused(), pytest.raises(OperationalError, match="timeout"):
        psycopg.connect(url, connect_timeout=2)
    assert select_one(url) == 1


def test_a_promoted_standby_has_lost_what_it_did_not_receive(cluster: Cluster) -> None:
    """What was committed after `detach` is not in it."""
    database = cluster.schema()
    table = f"{database.schema}.t"
    cluster.execute(f"CREATE TABLE {table} AS SELECT 1 AS x")
    with cluster.standby() as standby:
        standby.catch_up(cluster)
        standby.detach()
        cluster.execute(f"INSERT INTO {table} VALUES (2)")
        standby.promote()
        assert standby.execute(f"SELECT x FROM {table}") == [(1,)]
        assert standby.execute(f"UPDATE {table} SET x = 3 RETURNING x") == [(3,)]
        assert select_one(database.at(standby.port).url) == 1


def test_a_proxy_loses_the_answer_to_a_commit(database: Database) -> None:
    """The commit is done, and its client learns nothing of it."""
    table = f"{database.schema}.t"
    with tcp_proxy(database.port) as proxy, ThreadPoolExecutor() as threads:
        connection = psycopg.connect(database.at(proxy.port).url)
        connection.execute(f"CREATE TABLE {table} (x int)".encode())
        proxy.hang_after(b"COMMIT")
        committing = threads.submit(connection.commit)
        is_there = f"SELECT to_regclass('{table}') IS NOT NULL"
        wait_until(lambda: postgres.shared().execute(is_there) == [(True,)], "it is committed")
        assert not committing.done()
        proxy.cut()
        with pytest.raises(OperationalError):
            committing.result(10)
        connection.close()


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_a_proxy_passes_on_later_what_hangs(database: Database, direction: str) -> None:
    """As a network does after an interruption; new connections may be refused meanwhile."""
    with tcp_proxy(database.port) as proxy, ThreadPoolExecutor() as threads:
        url = database.at(proxy.port).url
        with psycopg.connect(url) as connection:
            proxy.hang(**{"to_server": False, "to_client": False, direction: True})
            asking = threads.submit(connection.execute, "SELECT 1")
            with pytest.raises(OperationalError, match="timeout"):
                psycopg.connect(url, connect_timeout=2)
            assert not asking.done()
            proxy.resume()
            assert asking.result(10).fetchall() == [(1,)]
        proxy.refuse()
        with pytest.raises(OperationalError):
            psycopg.connect(url)
        proxy.resume()
        assert select_one(url) == 1
