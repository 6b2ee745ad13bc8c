"""PostgreSQL and the processes that use it, or do not."""

import json
import sys
from pathlib import Path

import pytest

from exporter.demo import serve
from tests.support import postgres
from tests.support.exporters import cloud_of, serve_command
from tests.support.processes import CREDENTIAL, run
from tests.support.worlds import busy_world

pytestmark = [pytest.mark.anyio, pytest.mark.process]

MAIN = """
import json, sys
from exporter.cli import main
try:
    main()
finally:
    print(json.dumps([*sys.modules]), file=open("modules.json", "w"))
"""


async def loaded_by_a_poll(folder: Path, flag: str) -> set[str]:
    """Poll everything once with a ledger; return which modules are loaded then."""
    world = busy_world()
    async with serve(cloud_of(world).app) as endpoint:
        flags = serve_command(world, endpoint, "once", flag)[3:-1]
        code, process = await run([sys.executable, "-c", MAIN, *flags], folder, CREDENTIAL)
    assert code == 0, process.output
    assert b"livy_cu_hours_total{" in process.output
    return set(json.loads((folder / "modules.json").read_text(encoding="utf-8")))


def is_for_postgresql(module: str) -> bool:
    """Whether a module is of use with a database only."""
    return module.startswith(("psycopg", "exporter.ledger.postgres"))


async def test_without_a_url_nothing_for_postgresql_is_imported(tmp_path: Path) -> None:
    """Who keeps the ledger in a file pays nothing for the other kind."""
    loaded = await loaded_by_a_poll(tmp_path, "--ledger.path=ledger.db")
    assert {"sqlite3", "exporter.ledger.sqlite"} <= loaded
    assert set(filter(is_for_postgresql, loaded)) == set()


@pytest.mark.real
async def test_with_a_url_a_client_of_postgresql_is_imported(tmp_path: Path) -> None:
    """The test above looks for the right names."""
    database = postgres.shared().database()
    loaded = await loaded_by_a_poll(tmp_path, f"--ledger.url={database.url}")
    assert {"psycopg", "exporter.ledger.postgres"} <= loaded
    rows = postgres.shared().execute(
        f"SELECT count(*) FROM {database.schema}.session", database.name
    )
    assert rows[0][0] > 0
