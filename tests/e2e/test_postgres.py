"""The daemon and PostgreSQL."""

import asyncio
from pathlib import Path

import pytest

from tests.support.exporters import ANY_PORT
from tests.support.processes import EXPORTER, start

pytestmark = [pytest.mark.anyio, pytest.mark.process]


async def test_without_a_url_no_client_of_postgresql_is_loaded(tmp_path: Path) -> None:
    """Who keeps the ledger in a file pays nothing for the other kind."""
    async with start([*EXPORTER, "demo", ANY_PORT], tmp_path) as process:
        await process.url()
        maps = Path(f"/proc/{process.running.pid}/maps")
        loaded = await asyncio.to_thread(maps.read_text)
        await process.end()
    assert "_sqlite3" in loaded
    assert "psycopg" not in loaded
