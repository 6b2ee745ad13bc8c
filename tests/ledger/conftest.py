"""What the tests of the ledger have in common."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.ledger_builders import MEMORY_DISK
from tests.support.ledger_stores import PGBOUNCER, SQLITE, PostgresStore, Schemas, Store, used
from tests.support.pgbouncer import pgbouncer


@pytest.fixture
def memory_disk() -> Iterator[Path]:
    """Return a folder on which commits are cheap."""
    with tempfile.TemporaryDirectory(prefix="ledger-", dir=MEMORY_DISK) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def schemas() -> Schemas:
    """Return the schemas that the tests of this process use."""
    return Schemas()


@pytest.fixture(scope="session")
def pooler_port() -> Iterator[int]:
    """Run PgBouncer before the shared server."""
    with pgbouncer(postgres.shared()) as port:
        yield port


@pytest.fixture(autouse=True)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Keep the ledgers of the test where its parameter says: see `ledger_stores`."""
    name = getattr(request, "param", SQLITE)
    made = Store()
    if name != SQLITE:
        port = request.getfixturevalue("pooler_port") if name == PGBOUNCER else None
        made = PostgresStore(request.getfixturevalue("schemas"), port)
    with used(made):
        yield made
