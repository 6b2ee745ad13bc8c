"""The steps of deploy/postgres, run by psql on a real server."""

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest
import trustme
import yaml
from psycopg import OperationalError, errors

from exporter.clock import SystemClock
from exporter.errors import LedgerError
from exporter.ledger.postgres import PostgresDatabase
from exporter.ledger.postgres.connection import connect
from exporter.settings.databases import parse_url
from tests.deploy.manifests import complaints
from tests.support import postgres
from tests.support.charts import values_file
from tests.support.command_line import load
from tests.support.postgres import HOST, Cluster, Database
from tests.support.repository import ROOT
from tests.support.server_folders import wait_until
from tests.support.tools import find_tool
from tests.support.web_server import write_ca

pytestmark = pytest.mark.real

FOLDER = ROOT / "deploy" / "postgres"
README = (FOLDER / "README.md").read_text(encoding="utf-8")


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
    with kept(made) as database:
        database.execute("INSERT INTO main.workspace (workspace_id) VALUES (?)", ("w-1",))
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
    if rights != "SUPERUSER":
        url = f"postgresql://{administrator}@{HOST}:{cluster.port}/postgres"
        with psycopg.connect(url) as connection, pytest.raises(errors.InsufficientPrivilege):
            connection.execute(f"SET ROLE {made.role}".encode())
    for role, place in ((other.role, made.name), (made.role, other.name)):
        with pytest.raises(OperationalError, match="permission denied for database"):
            psycopg.connect(f"postgresql://{role}@{HOST}:{cluster.port}/{place}")


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


def test_a_restored_dump_has_the_rows_and_begins_a_new_series(
    cluster: Cluster, real_tool: Callable[[str], Path], tmp_path: Path
) -> None:
    """By the commands of the page."""
    psql, administrator = real_tool("psql"), cluster.role()
    cluster.execute(f"ALTER ROLE {administrator} SUPERUSER")
    made = apply(psql, cluster, administrator)
    with kept(made) as database:
        database.execute("INSERT INTO main.workspace (workspace_id) VALUES (?)", ("w-1",))
        [[created_at]] = database.query("SELECT created_at FROM main.ledger")
    command("pg_dump", made, tmp_path)
    cluster.execute(f"DROP DATABASE {made.name}")
    apply(psql, cluster, administrator)
    command("pg_restore", made, tmp_path)
    with kept(made) as database:
        assert database.query("SELECT workspace_id FROM main.workspace") == [("w-1",)]
        [[created_anew_at]] = database.query("SELECT created_at FROM main.ledger")
    assert created_anew_at > created_at


def command(name: str, made: Database, folder: Path) -> None:
    """Run a command of the page on a database."""
    (line,) = re.findall(rf"^{name} .*", README, re.MULTILINE)
    line = line.replace("postgresql://emr_exporter@db.example/emr_exporter", made.url)
    line = line.replace("--schema=emr_exporter", f"--schema={made.schema}")
    program, *words = shlex.split(line)
    subprocess.run([find_tool(program), *words], cwd=folder, check=True)


@contextmanager
def kept(made: Database) -> Iterator[PostgresDatabase]:
    """Own the ledger inside the block, which is one transaction."""
    database = PostgresDatabase(made.url, made.schema, clock=SystemClock(), duration=10.0)
    database.lease.start()
    try:
        wait_until(partial(is_ready, database), "the ledger is owned")
        with database.transaction():
            yield database
    finally:
        database.close()


def is_ready(database: PostgresDatabase) -> bool:
    """Whether a process owns the ledger."""
    try:
        return database.ready() > 0
    except LedgerError:
        return False


DISK = "/var/lib/emr-exporter"
PASSWORD = "pa ss:w\\rd"


@pytest.mark.parametrize("way", ["PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE"])
def test_the_password_comes_by_each_way_of_the_page(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    """The variables are libpq's; a service file may be readable by others, as systemd's copies."""
    assert re.search(rf"^\| `{way}` \|", README, re.MULTILINE)
    database = cluster.schema(password=PASSWORD)
    file = tmp_path / "file"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    file.write_text(
        f"[emr]\npassword={PASSWORD}\n"
        if way == "PGSERVICEFILE"
        else f"{HOST}:{cluster.port}:{database.name}:{database.role}:{escaped}\n"
    )
    file.chmod(0o640 if way == "PGSERVICEFILE" else 0o600)
    url = parse_url(database.url + ("?service=emr" if way == "PGSERVICEFILE" else ""))
    monkeypatch.setenv(way, PASSWORD if way == "PGPASSWORD" else str(file))
    with connect(url) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (database.role,)


def test_the_certificate_of_the_server_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With `verify-full`, by the authority that the chart or the unit's service file names."""
    ours, other = trustme.CA(), trustme.CA()
    text = (ROOT / "deploy" / "systemd" / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^printf '(.*)' \|$", text, re.MULTILINE)
    service = lines.replace("/etc/emr-serverless-spark-exporter", str(tmp_path))
    (tmp_path / "pg_service.conf").write_text(service.replace("\\n", "\n"))
    with postgres.private() as cluster:
        cluster.serve_tls(ours)
        url = parse_url(f"{cluster.superuser_url}?sslmode=verify-full")
        write_ca(tmp_path, ours)
        monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "pg_service.conf"))
        with connect(parse_url(f"{url}&service=emr")) as connection:
            assert connection.pgconn.ssl_in_use
        monkeypatch.setenv("PGSSLROOTCERT", str(write_ca(tmp_path, ours)))
        with connect(url) as connection:
            assert connection.pgconn.ssl_in_use
        monkeypatch.setenv("PGSSLROOTCERT", str(write_ca(tmp_path, other)))
        with pytest.raises(OperationalError, match="certificate verify failed"):
            connect(url)


def test_the_job_that_imports_is_valid() -> None:
    """It runs a command of ours on the chart's disk, as locked down as the chart's own pod."""
    job = yaml.safe_load((FOLDER / "import-job.yaml").read_text(encoding="utf-8"))
    assert complaints([job]) == []
    pod = job["spec"]["template"]["spec"]
    chart = yaml.safe_load(values_file())
    (made,) = pod["containers"]
    assert made["securityContext"] == chart["securityContext"]
    assert chart["podSecurityContext"].items() >= pod["securityContext"].items()
    assert made["image"].rpartition(":")[0] == chart["image"]["repository"]
    command, flags = " ".join(made["args"][:2]), made["args"][2:]
    settings = load(command, flags, {}).settings
    assert settings.ledger.url
    assert f"--from={DISK}/{settings.ledger.path}" in flags
    mounted = {each["name"]: each["mountPath"] for each in made["volumeMounts"]}
    assert mounted["data"] == DISK
    variables = {each["name"]: each for each in made["env"]}
    password = {"name": "emr-postgres", "key": chart["postgres"]["passwordKey"]}
    assert variables["PGPASSWORD"]["valueFrom"]["secretKeyRef"] == password
    # The URL asks for `verify-full`, which needs an authority.
    authority = f"{mounted['postgres-ca']}/{chart['postgres']['caKey']}"
    assert variables["PGSSLROOTCERT"]["value"] == authority


def test_the_import_waits_for_the_end_of_the_exporter() -> None:
    """Or it finds the ledger locked, and fails; kubectl waits for 30 s if not told otherwise."""
    (steps,) = re.findall(r"```sh\n(helm upgrade .*?)```", README, re.DOTALL)
    job = yaml.safe_load((FOLDER / "import-job.yaml").read_text(encoding="utf-8"))
    volumes = {each["name"]: each for each in job["spec"]["template"]["spec"]["volumes"]}
    claim = volumes["data"]["persistentVolumeClaim"]["claimName"]
    _stop, gone, _apply, copied, _start = steps.splitlines()
    wait = f"kubectl -n {job['metadata']['namespace']} wait --for="
    pod = claim.removeprefix("data-")
    assert re.fullmatch(rf"{wait}delete --timeout=\d+m pod/{pod}", gone)
    name = job["metadata"]["name"]
    assert re.fullmatch(rf"{wait}condition=complete --timeout=\d+m job/{name}", copied)
