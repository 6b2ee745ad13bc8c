"""PostgreSQL for tests: real servers on the loopback that no other run of the tests uses.

    database = postgres.shared().schema()     # a role and its schema, on the server of the run
    database = postgres.shared().database()   # the same in a database of its own: 0.1 s
    with postgres.private() as cluster:       # a server to restart, pause, replicate: 0.8 s
        cluster.restart()

Tests that use one are marked `real`. The first worker that needs the shared server starts it.
"""

import atexit
import os
import secrets
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import trustme

from tests.support.processes import free_port
from tests.support.server_folders import (
    folder,
    give_away,
    ordinary_user,
    shared_folder,
    wait_until,
)
from tests.support.tools import find_tool

if TYPE_CHECKING:
    import psycopg

HOST = "127.0.0.1"
SUPERUSER = "postgres"

COMMON = "common"
"""The database of all schemas that `Cluster.schema` makes."""

_BINARIES = tuple(map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)))
"""Where Debian has the server, the newest first."""

_SETTINGS = """
listen_addresses = '{host}'
port = {port}
unix_socket_directories = '{folder}'
shared_buffers = 16MB
# These matter when the machine crashes, not when the server does.
fsync = off
full_page_writes = off
"""

_ACCESS = f"""host all +with_password {HOST}/32 scram-sha-256
host all +without_access {HOST}/32 reject
local all +with_account peer
"""
"""Lines of pg_hba.conf, each for the members of a role."""


@dataclass(frozen=True)
class Database:
    """What the exporter is given: a role that may use one schema and nothing else."""

    port: int
    name: str
    role: str
    schema: str
    socket_folder: Path

    @property
    def url(self) -> str:
        """The value for `ledger.url`."""
        return f"postgresql://{self.role}@{HOST}:{self.port}/{self.name}"

    @property
    def socket_url(self) -> str:
        """The URL of the server's Unix socket."""
        place = quote(str(self.socket_folder), safe="")
        return f"postgresql://{self.role}@/{self.name}?host={place}&port={self.port}"

    def at(self, port: int) -> "Database":
        """Return the same database by another port: of a proxy, a pooler, a promoted standby."""
        return replace(self, port=port)


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL server and its data."""

    folder: Path
    port: int

    @property
    def superuser_url(self) -> str:
        """The URL of the role that may do everything, in the database of all schemas."""
        return f"postgresql://{SUPERUSER}@{HOST}:{self.port}/{COMMON}"

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return int((self.folder / "data/postmaster.pid").read_text().splitlines()[0])

    def execute(self, sql: str, database: str = COMMON) -> list[Any]:
        """Run a statement as superuser, outside a transaction; return its rows."""
        import psycopg  # noqa: PLC0415 - not for those who only collect tests

        url = f"postgresql://{SUPERUSER}@{HOST}:{self.port}/{database}"
        with psycopg.connect(url, autocommit=True) as connection:
            return _rows(connection, sql)

    def schema(self, *, password: str = "") -> Database:
        """Make a role and its schema; the server asks for a password if there is one."""
        name = self.role(password)
        # A right on the database itself could not be given by two workers at once.
        self.execute(f"GRANT in_common TO {name}")
        self.execute(f"CREATE SCHEMA {name} AUTHORIZATION {name}")
        return Database(self.port, COMMON, name, name, self.folder)

    def database(self, *, schema: str = "emr_exporter", password: str = "") -> Database:
        """Make a database, a role and its schema."""
        name = self.role(password)
        self.execute(f"CREATE DATABASE {name}")
        self.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        self.execute(f"GRANT CONNECT ON DATABASE {name} TO {name}")
        self.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {name}", name)
        return Database(self.port, name, name, schema, self.folder)

    def role(self, password: str = "") -> str:
        """Make a role without any rights; return its name."""
        name = f"t_{secrets.token_hex(6)}"
        login = f"PASSWORD '{password}' IN ROLE with_password" if password else ""
        self.execute(f"CREATE ROLE {name} LOGIN {login}")
        return name

    def dump(self, database: Database) -> str:
        """Return what pg_dump makes of a schema, as its role."""
        options = (f"--schema={database.schema}", "--no-owner", f"--dbname={database.url}")
        return self._run("pg_dump", *options)

    def restore(self, dump: str, database: Database) -> None:
        """Put a dump in place of the schema that it is of, as its role."""
        self.execute(f"GRANT CREATE ON DATABASE {database.name} TO {database.role}", database.name)
        self.execute(f"DROP SCHEMA IF EXISTS {database.schema} CASCADE", database.name)
        script = self.folder / f"{database.role}.sql"
        script.write_text(dump)
        options = ("--quiet", "--set=ON_ERROR_STOP=1", f"--file={script}")
        self._run("psql", *options, f"--dbname={database.url}")

    def configure(self, **settings: str) -> None:
        """Change settings that need no restart: `configure(lock_timeout="2s")`."""
        for name, value in settings.items():
            self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")

    def serve_tls(self, authority: trustme.CA) -> None:
        """Offer TLS, with a certificate of this authority."""
        data = self.folder / "data"
        issued = authority.issue_cert(HOST)
        issued.cert_chain_pems[0].write_to_path(data / "server.crt")
        issued.private_key_pem.write_to_path(data / "server.key")
        (data / "server.key").chmod(0o600)
        give_away(data / "server.key")
        self.configure(ssl="on")

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        self._pg_ctl("start", f"--log={self.folder / 'log'}")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: `immediate` is a crash, `fast` ends its sessions."""
        self._pg_ctl("stop", f"--mode={mode}")

    def restart(self, mode: str = "immediate") -> None:
        """Stop the server and start it again."""
        self.stop(mode)
        self.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop all processes of the server inside the block; connections stay open."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        os.kill(self.pid, signal.SIGSTOP)  # first, as it starts the others
        processes = [*map(int, children.read_text().split()), self.pid]
        try:
            _signal(processes, signal.SIGSTOP)
            yield
        finally:
            _signal(processes, signal.SIGCONT)

    @contextmanager
    def standby(self) -> Iterator["Cluster"]:
        """Run a standby that follows this server, inside the block."""
        with folder() as place:
            standby = Cluster(place, free_port())
            source = f"--dbname=host={HOST} port={self.port} user={SUPERUSER}"
            options = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync")
            standby._run("pg_basebackup", source, f"--pgdata={place / 'data'}", *options)
            standby._write_settings()
            standby.start()
            yield standby

    def catch_up(self, primary: "Cluster") -> None:
        """Wait until this standby has what its primary has committed by now."""
        [[position]] = primary.execute("SELECT pg_current_wal_lsn()::text")
        has_it = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        wait_until(lambda: self.execute(has_it) == [(True,)], "the standby has caught up")

    def detach(self) -> None:
        """End the replication to this standby: what is committed from now on, it does not know."""
        self.configure(primary_conninfo="")
        has_ended = "SELECT count(*) = 0 FROM pg_stat_wal_receiver"
        wait_until(lambda: self.execute(has_ended) == [(True,)], "nothing is received")

    def promote(self) -> None:
        """Make this standby a primary, with a timeline of its own."""
        self._pg_ctl("promote")

    def create(self) -> None:
        """Make a new cluster, start it, and make what `schema` and passwords need."""
        data = self.folder / "data"
        options = ("--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8")
        self._run("initdb", *options, "--auth=trust", f"--username={SUPERUSER}", data)
        access = data / "pg_hba.conf"
        access.write_text(_ACCESS + access.read_text())
        self._write_settings()
        self.start()
        for sql in (
            "CREATE ROLE with_password NOLOGIN",
            "CREATE ROLE without_access NOLOGIN",
            "CREATE ROLE with_account NOLOGIN",
            "CREATE ROLE in_common NOLOGIN",
            f"CREATE DATABASE {COMMON}",
            f"REVOKE ALL ON DATABASE {COMMON} FROM PUBLIC",
            f"GRANT CONNECT ON DATABASE {COMMON} TO in_common",
        ):
            self.execute(sql, SUPERUSER)

    def _write_settings(self) -> None:
        with (self.folder / "data/postgresql.conf").open("a") as file:
            file.write(_SETTINGS.format(host=HOST, port=self.port, folder=self.folder))

    def _pg_ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", f"--pgdata={self.folder / 'data'}", "--wait", *arguments)

    def _run(self, name: str, *arguments: str | Path) -> str:
        done = subprocess.run(
            [find_tool(name, *_BINARIES), *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={"HOME": str(self.folder), "PATH": os.defpath},
            **ordinary_user(),
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        said: str = done.stdout
        return said


class SharedCluster(Cluster):
    """The server of this run of the tests, to which its superuser stays connected.

    A connection costs more than most statements.
    """

    def execute(self, sql: str, database: str = COMMON) -> list[Any]:
        """Run a statement as superuser, outside a transaction; return its rows."""
        if database != COMMON:
            return super().execute(sql, database)  # that one may be dropped
        return _rows(_superuser(self.superuser_url), sql)


@cache
def _superuser(url: str) -> "psycopg.Connection[Any]":
    import psycopg  # noqa: PLC0415 - not for those who only collect tests

    connection = psycopg.connect(url, autocommit=True)
    atexit.register(connection.close)
    return connection


def _rows(connection: "psycopg.Connection[Any]", sql: str) -> list[Any]:
    cursor = connection.execute(sql.encode())
    return cursor.fetchall() if cursor.description else []


@contextmanager
def private() -> Iterator[Cluster]:
    """Run a server that belongs to the block."""
    with folder() as place:
        cluster = Cluster(place, free_port())
        cluster.create()
        yield cluster


@cache
def shared() -> SharedCluster:
    """Return the server of this run of the tests, which no test may stop."""
    with shared_folder() as place:
        port = place / "port"
        if not port.exists():
            cluster = Cluster(place, free_port())
            cluster.create()
            port.write_text(str(cluster.port))
        return SharedCluster(place, int(port.read_text()))


def _signal(processes: Iterable[int], number: signal.Signals) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
