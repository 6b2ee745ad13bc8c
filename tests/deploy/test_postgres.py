"""The steps of deploy/postgres, run by psql on a real server."""

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg import OperationalError, errors

from exporter.clock import SystemClock
from exporter.errors import LedgerError
from exporter.ledger.postgres import PostgresDatabase
from tests.support import postgres
from tests.support.postgres import HOST, Cluster, Database
from tests.support.repository import ROOT
from tests.support.server_folders import wait_until

pytestmark = pytest.mark.real

FOLDER = ROOT / "deploy" / "postgres"


@pytest.fixture
def cluster() -> Cluster:
    """Return the server of this run."""
    return postgres.shared()


@pytest.mark.parametrize("rights", ["SUPERUSER", "CREATEROLE CREATEDB"])
def test_the_role_has_what_the_ledger_needs_and_nothing_else(
    cluster: Cluster, real_tool: Callable[[str], Path], rights: str
) -> None:
    """Made by a superuser, or by an administrator of a managed server, who is none."""
    administrator, other = cluster.role(), cluster.schema()
    cluster.execute(f"ALTER ROLE {administrator} {rights}")
    made = apply(real_tool("psql"), cluster, administrator)
    keep_a_ledger(made)
    for forbidden in (
        "CREATE SCHEMA s",
        "CREATE TABLE public.t (x int)",
        "CREATE TEMPORARY TABLE t (x int)",
        "CREATE DATABASE d",
        "CREATE ROLE r",
        "SELECT * FROM pg_authid",
        "SET ROLE " + administrator,
    ):
        with (
            psycopg.connect(made.url, autocommit=True) as connection,
            pytest.raises(errors.InsufficientPrivilege),
        ):
            connection.execute(forbidden.encode())
    for role, database in ((other.role, made.name), (made.role, other.name)):
        with pytest.raises(OperationalError, match="permission denied for database"):
            psycopg.connect(f"postgresql://{role}@{HOST}:{cluster.port}/{database}")


def apply(psql: Path, cluster: Cluster, administrator: str) -> Database:
    """Run `role.sql` as an administrator; return what it has made."""
    url = f"postgresql://{administrator}@{HOST}:{cluster.port}/postgres"
    name = f"{administrator}_emr"
    done = subprocess.run(
        [psql, "--no-psqlrc", url, "-v", f"name={name}", "-f", FOLDER / "role.sql"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return Database(cluster.port, name, name, name, cluster.folder)


def keep_a_ledger(made: Database) -> None:
    """Make the tables, take the lease and write, as the daemon does."""
    database = PostgresDatabase(made.url, made.schema, clock=SystemClock(), duration=10.0)
    database.start()
    try:
        wait_until(partial(is_ready, database), "the ledger is owned")
        with database.transaction():
            database.execute("INSERT INTO main.workspace (workspace_id) VALUES (?)", ("w-1",))
        assert database.query("SELECT workspace_id FROM main.workspace") == [("w-1",)]
    finally:
        database.close()


def is_ready(database: PostgresDatabase) -> bool:
    """Whether a process owns the ledger."""
    try:
        return database.ready() > 0
    except LedgerError:
        return False
