"""A restored dump of a ledger in PostgreSQL begins anew; the database itself goes on."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest

from exporter.errors import LedgerError
from exporter.ledger import Ledger
from exporter.ledger.location import Postgres
from tests.support import postgres
from tests.support.harness import START, ManualClock
from tests.support.ledger_builders import listed, record, values
from tests.support.postgres import HOST, Cluster, Database
from tests.support.repository import ROOT
from tests.support.tcp_proxy import tcp_proxy

pytestmark = pytest.mark.real

DAY = 86400.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Run a server that the tests of this module may stop."""
    with postgres.private() as cluster:
        yield cluster


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that the test moves."""
    return ManualClock()


def used(database: Database, clock: ManualClock, *ports: int) -> Ledger:
    """Return the ledger in a schema, once this process owns it; maybe on one of several servers."""
    url = url_of(database, *ports) if ports else database.url
    location = Postgres(url, database.schema, is_patient=True)
    ledger = Ledger(location, clock=clock)
    for _ in range(10):
        if ledger.state.created_at is not None:
            return ledger
        clock.advance(5)
        with suppress(LedgerError):
            ledger.release()
    ledger.close()
    pytest.fail("the lease was not acquired")


def url_of(database: Database, *ports: int) -> str:
    """Return the URL of a database on whichever of several servers is the primary."""
    hosts = ",".join(f"{HOST}:{port}" for port in ports)
    parameters = "target_session_attrs=read-write&connect_timeout=2"
    return f"postgresql://{database.role}@{hosts}/{database.name}?{parameters}"


def count(database: Database, clock: ManualClock) -> None:
    """Count something, a day ago."""
    ledger = used(database, clock)
    listed(ledger, record("a", 5))
    ledger.close()
    clock.advance(DAY)


def birth(database: Database, clock: ManualClock, *ports: int) -> int:
    """Use a ledger as a daemon does; return how many days after the start it was created."""
    ledger = used(database, clock, *ports)
    assert values(ledger) == {"q": 5}
    created_at = ledger.state.created_at
    ledger.close()
    clock.advance(DAY)
    assert created_at is not None
    return round((created_at - START) / DAY)


def test_dump_that_is_restored_in_another_database_begins_anew_once(clock: ManualClock) -> None:
    """The one that was dumped keeps its birth."""
    server = postgres.shared()
    database, other = server.database(), server.database()
    count(database, clock)
    server.restore(server.dump(database), other)
    assert [birth(other, clock) for _ in range(2)] == [1, 1]
    assert birth(database, clock) == 0


def test_dump_that_is_restored_on_another_server_begins_anew_once(
    clock: ManualClock, cluster: Cluster
) -> None:
    """Also where the database there has the same number."""
    server = postgres.shared()
    database, other = server.database(), cluster.database()
    count(database, clock)
    cluster.restore(server.dump(database), other)
    assert [birth(other, clock) for _ in range(2)] == [1, 1]


def test_ledger_that_was_moved_goes_on(clock: ManualClock) -> None:
    """After the statement for that in the documentation."""
    server = postgres.shared()
    database, other = server.database(), server.database()
    count(database, clock)
    server.restore(server.dump(database), other)
    text = (ROOT / "deploy/postgres/README.md").read_text()
    (statement,) = re.findall(r"```sql\n(UPDATE .*?)```", text, re.DOTALL)
    with psycopg.connect(other.url) as connection:
        connection.execute(statement.encode())
    assert [birth(other, clock) for _ in range(2)] == [0, 0]


def test_dump_that_is_restored_in_its_own_database_begins_anew_once(clock: ManualClock) -> None:
    """As after the schema was dropped by mistake."""
    server = postgres.shared()
    database = server.database()
    count(database, clock)
    server.restore(server.dump(database), database)
    assert [birth(database, clock) for _ in range(2)] == [1, 1]


def test_ledger_goes_on_after_a_restart_and_a_failover(
    clock: ManualClock, cluster: Cluster
) -> None:
    """A standby is the same database, and has been one all the time: the URL may name both."""
    database = cluster.database()
    count(database, clock)
    cluster.restart()
    assert birth(database, clock) == 0
    with cluster.standby() as standby, tcp_proxy(cluster.port) as silent:
        silent.hang()
        serializable = "default_transaction_isolation = serializable"
        cluster.execute(f"ALTER ROLE {database.role} SET {serializable}")
        standby.catch_up(cluster)
        with pytest.raises(LedgerError) as caught:
            Ledger(Postgres(database.at(standby.port).url, database.schema), clock=clock)
        assert caught.value.advice.startswith("if it is a standby, name all servers in ledger.url")
        assert birth(database, clock, standby.port, cluster.port) == 0
        standby.catch_up(cluster)
        cluster.stop()
        standby.promote()
        assert birth(database, clock, silent.port, cluster.port, standby.port) == 0
    cluster.start()


def test_ledger_goes_on_after_its_tables_were_written_anew(clock: ManualClock) -> None:
    """As maintenance does to shrink them."""
    server = postgres.shared()
    database = server.database()
    count(database, clock)
    server.execute("VACUUM FULL", database.name)
    assert birth(database, clock) == 0


def test_copy_made_by_create_database_is_left_alone(clock: ManualClock) -> None:
    """Its tables have the same numbers: who takes over here ends only what is written here."""
    server = postgres.shared()
    database = server.database()
    count(database, clock)
    copy = replace(database, name=f"{database.name}_copy")
    server.execute(f"CREATE DATABASE {copy.name} TEMPLATE {database.name}")
    write = f"UPDATE {database.schema}.shard SET revision = revision".encode()
    with psycopg.connect(copy.url) as there, psycopg.connect(database.url) as here:
        there.execute(write)
        here.execute(write)
        birth(database, clock)
        there.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError):
            here.execute("SELECT 1")
    assert [birth(copy, clock) for _ in range(2)] == [2, 2]
