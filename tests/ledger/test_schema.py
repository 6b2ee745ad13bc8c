"""A schema of PostgreSQL that cannot be used, and the error for each reason."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from exporter.clock import SystemClock
from exporter.errors import LedgerError
from exporter.ledger import Ledger, check_ledger, read_gateway
from exporter.ledger.location import Postgres
from exporter.ledger.postgres.schema import MIGRATIONS
from tests.support import postgres
from tests.support.harness import ManualClock
from tests.support.ledger_builders import GATEWAY, listed, record, values
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import Database

pytestmark = pytest.mark.real

NEWEST = len(MIGRATIONS)


def location(database: Database) -> Postgres:
    """Return what the exporter is told of a schema."""
    return Postgres(database.url, database.schema)


def opened(database: Database) -> Ledger:
    """Open the ledger in a schema."""
    return Ledger(location(database), clock=ManualClock())


OPENINGS: dict[str, Callable[[Database], object]] = {
    "daemon": opened,
    "check": lambda database: check_ledger(location(database), ManualClock()),
    "reconcile": lambda database: read_gateway(location(database), GATEWAY),
}


def refusal(database: Database, opening: Callable[[Database], object] = opened) -> str:
    """Return the error of a ledger that cannot be opened: message, advice and kind."""
    with pytest.raises(LedgerError) as caught:
        opening(database)
    return f"{caught.value}; {caught.value.advice} [{caught.value.kind}]"


@pytest.fixture
def database() -> Database:
    """Return a schema without tables."""
    return postgres.shared().schema()


def count(database: Database) -> None:
    """Count something."""
    ledger = opened(database)
    listed(ledger, record("a", 5))
    ledger.close()


def execute(database: Database, sql: str) -> list[tuple[object, ...]]:
    """Run a statement as superuser in the database of a schema."""
    return postgres.shared().execute(sql, database.name)


@pytest.fixture
def counted(database: Database) -> Database:
    """Return a schema with a ledger that counted something."""
    count(database)
    return database


@pytest.mark.parametrize("command", OPENINGS)
def test_tables_of_the_version_after_the_next_are_refused(counted: Database, command: str) -> None:
    """The error names both versions."""
    execute(counted, f"UPDATE {counted.schema}.meta SET version = {NEWEST + 2}")
    assert refusal(counted, OPENINGS[command]) == (
        f"the schema {counted.schema} was written by a newer version of this exporter"
        f" (schema version {NEWEST + 2}; this one supports up to {NEWEST + 1});"
        " run that version, or restore a dump made before the upgrade [corrupt]"
    )


@pytest.mark.parametrize("command", OPENINGS)
def test_tables_of_the_next_version_can_be_used(counted: Database, command: str) -> None:
    """So that a downgrade by one version, and replicas of two versions, work."""
    execute(counted, f"UPDATE {counted.schema}.meta SET version = {NEWEST + 1}")
    execute(counted, f"ALTER TABLE {counted.schema}.session ADD COLUMN later text")
    result = OPENINGS[command](counted)
    if isinstance(result, Ledger):
        listed(result, record("a", 7))
        assert values(result) == {"q": 7}
        result.close()
    assert execute(counted, f"SELECT version FROM {counted.schema}.meta") == [(NEWEST + 1,)]


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
def test_processes_that_start_at_once_make_the_tables_once(
    database: Database, isolation: str
) -> None:
    """One of them owns the ledger; the others say so, whatever an administrator has set."""
    execute(
        database, f"ALTER ROLE {database.role} SET default_transaction_isolation = '{isolation}'"
    )
    together = threading.Barrier(4)

    def start() -> str:
        together.wait()
        try:
            opened_here.append(Ledger(location(database), clock=SystemClock()))
        except LedgerError as error:
            return error.kind
        return "open"

    opened_here: list[Ledger] = []
    with ThreadPoolExecutor(4) as threads:
        results = [thread.result() for thread in [threads.submit(start) for _ in range(4)]]
    assert results.count("open") == 1
    assert {*results} <= {"open", "locked", "timeout"}  # the last of two that look at once
    for ledger in opened_here:
        listed(ledger, record("a", 5))
        ledger.close()


def test_schema_that_the_role_may_not_make_is_refused(database: Database) -> None:
    """The advice names the script that gives the rights."""
    execute(database, f"DROP SCHEMA {database.schema}")
    for command in ("daemon", "check"):
        said = refusal(database, OPENINGS[command])
        assert said.endswith(
            "; give the role the rights of deploy/postgres/role.sql on ledger.schema [io]"
        )


@pytest.mark.parametrize("command", ["daemon", "check"])
@pytest.mark.parametrize(
    "sql",
    [
        "REVOKE ALL ON SCHEMA {schema} FROM {role}; ALTER SCHEMA {schema} OWNER TO postgres",
        "ALTER TABLE {schema}.session OWNER TO postgres",
        "ALTER TABLE {schema}.meta OWNER TO postgres",
        "ALTER TABLE {schema}.lease OWNER TO postgres;GRANT SELECT ON {schema}.lease TO {role}",
    ],
)
def test_tables_that_the_role_may_not_use_are_refused(
    counted: Database, command: str, sql: str
) -> None:
    """Such as those that were restored as another role."""
    execute(counted, sql.format(schema=counted.schema, role=counted.role))
    said = refusal(counted, OPENINGS[command])
    assert said.endswith(
        "; give the role the rights of deploy/postgres/role.sql on ledger.schema [io]"
    ), said


def test_server_on_which_the_role_may_not_call_a_function_is_refused() -> None:
    """Everybody may call these, unless an administrator has forbidden it."""
    database = postgres.shared().database()
    for function in ("pg_control_system()", "pg_current_wal_lsn()", "pg_walfile_name(pg_lsn)"):
        execute(database, f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        name = function.partition("(")[0]
        for command in ("daemon", "check"):
            said = refusal(database, OPENINGS[command])
            assert f"permission denied for function {name}" in said, command
            assert said.endswith("[io]"), command
        execute(database, f"GRANT EXECUTE ON FUNCTION {function} TO PUBLIC")


@pytest.mark.parametrize("command", ["daemon", "check"])
@pytest.mark.parametrize("wish", ["any", "read-write"])
def test_role_that_may_only_read_is_refused(
    counted: Database, command: str, wish: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has all rights, but a default that forbids to use them; libpq may find out, or we do."""
    monkeypatch.setenv("PGTARGETSESSIONATTRS", wish)
    execute(counted, f"ALTER ROLE {counted.role} SET default_transaction_read_only = on")
    said = refusal(counted, OPENINGS[command])
    assert said.endswith(
        "else set default_transaction_read_only to off for the role [unreachable]"
    ), said


@pytest.mark.parametrize(
    ("group", "url"), [("without_access", "url"), ("with_account", "socket_url")]
)
def test_role_that_is_not_let_in_is_refused(counted: Database, group: str, url: str) -> None:
    """By a rule of pg_hba.conf, or since the account of the system has another name."""
    execute(counted, f"GRANT {group} TO {counted.role}")
    with pytest.raises(LedgerError) as caught:
        check_ledger(Postgres(getattr(counted, url), counted.schema), ManualClock())
    assert (caught.value.kind, caught.value.is_passing) == ("io", False)
    assert caught.value.advice.endswith("and pg_hba.conf")


@pytest.mark.parametrize(
    "url", [f"postgresql://{'x' * 64}.example/x", "postgresql://a..example/x", "postgresql://%ff@/"]
)
def test_name_in_the_url_that_is_not_valid_is_reported(url: str) -> None:
    """By an error that says where to look."""
    with pytest.raises(LedgerError, match=r"a name in ledger\.url is not valid") as caught:
        check_ledger(Postgres(url, "emr_exporter"), ManualClock())
    assert caught.value.advice.startswith("check ledger.url")


@pytest.mark.parametrize("command", ["daemon", "check"])
def test_pooler_in_statement_mode_is_refused(counted: Database, command: str) -> None:
    """It allows no transactions."""
    with pgbouncer(postgres.shared(), pool_mode="statement") as port:
        said = refusal(counted.at(port), OPENINGS[command])
    assert "set the pool_mode of PgBouncer to transaction" in said


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM {schema}.meta",
        "DELETE FROM {schema}.ledger",
        "DELETE FROM {schema}.shard",
        "UPDATE {schema}.counter SET value = value + 0.5",
        "UPDATE {schema}.counter SET shown = value + 1",
        "UPDATE {schema}.counter SET labels = '[1, 2' WHERE metric LIKE '%revisions_total'",
    ],
)
def test_rows_that_no_exporter_writes_are_reported_as_corrupt(counted: Database, sql: str) -> None:
    """As after a restore that was interrupted, by the daemon and by each command."""
    execute(counted, sql.format(schema=counted.schema))
    for command, opening in OPENINGS.items():
        said = refusal(counted, opening)
        assert "to start with new counters" in said, command
        assert said.endswith("[corrupt]"), command


@pytest.mark.parametrize(
    "table",
    [
        "session (id int)",
        "meta (id int)",
        "meta (version text)",
        "meta AS SELECT 'first' AS version",
        "meta AS SELECT 1 AS version",
    ],
)
def test_schema_with_tables_of_another_program_is_refused(database: Database, table: str) -> None:
    """It is left as it is."""
    name, _, columns = table.partition(" ")
    execute(database, f"CREATE TABLE {database.schema}.{name} {columns}")
    execute(database, f"ALTER TABLE {database.schema}.{name} OWNER TO {database.role}")
    said = refusal(database)
    assert "set another ledger.schema to start with new counters" in said
    assert said.endswith("[corrupt]")
    tables = execute(
        database, f"SELECT tablename FROM pg_tables WHERE schemaname = '{database.schema}'"
    )
    assert tables == [(name,)]


@pytest.fixture(params=["SQL_ASCII", "LATIN1"])
def other_encoding(request: pytest.FixtureRequest) -> Database:
    """Return a schema in a database whose encoding is not UTF-8."""
    server = postgres.shared()
    database = server.database()
    server.execute(f"DROP DATABASE {database.name}")
    server.execute(
        f"CREATE DATABASE {database.name} ENCODING '{request.param}' LOCALE 'C' TEMPLATE template0"
    )
    server.execute(f"CREATE SCHEMA {database.schema} AUTHORIZATION {database.role}", database.name)
    return database


@pytest.mark.parametrize("command", ["daemon", "check"])
def test_database_whose_encoding_is_not_utf_8_is_refused(
    other_encoding: Database, command: str
) -> None:
    """It could not keep every name, or would sort and compare others."""
    said = refusal(other_encoding, OPENINGS[command])
    assert said.endswith(
        "; create a database with ENCODING 'UTF8' TEMPLATE template0, and name it in"
        " ledger.url [io]"
    ), said


def test_encoding_of_the_environment_does_not_matter(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGCLIENTENCODING is for other programs of the machine."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    ledger = opened(database)
    listed(ledger, record("队", 5, queue="队列"))
    assert values(ledger) == {"队列": 5}
    ledger.close()


def test_connections_are_closed_where_the_ledger_is_refused(counted: Database) -> None:
    """A supervisor that starts the exporter again and again uses up no connections."""
    execute(counted, f"UPDATE {counted.schema}.meta SET version = {NEWEST + 2}")
    for _ in range(3):
        refusal(counted)
    with psycopg.connect(postgres.shared().superuser_url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = %s", (counted.role,)
        ).fetchone()
    assert found == (0,)
