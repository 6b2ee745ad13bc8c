"""Failures of the ledger file while the exporter runs: what the page shows, and no loss."""

import asyncio
import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from exporter.demo import World
from exporter.errors import LedgerError
from exporter.ledger import Ledger, Postgres
from tests.support import postgres
from tests.support.harness import Harness, ManualClock
from tests.support.ledger_builders import listed, opened, record, shown, values
from tests.support.ledger_stores import Store, both_stores, postgres_alone, servers
from tests.support.ledger_trouble import (
    assert_same_after_restart,
    assert_trouble,
    assert_well,
    fill,
    total,
)
from tests.support.worlds import empty_world, key, session, used

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> World:
    """Make a world with one session."""
    world = empty_world()
    world.put_session(session("livy-a", 1.0))
    return world


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a small file system."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


async def test_full_disk_loses_no_usage(world: World, small_disk: Path) -> None:
    """The totals stand still; once there is room again, everything missed is counted."""
    async with Harness(world, ledger=small_disk / "ledger.db") as harness:
        await assert_well(harness, 1.0)
        fill(small_disk)
        for n in range(200):  # more than what the last page of the journal has room for
            world.put_session(session(f"new-{n}", 0.5))
        world.revise(key("livy-a"), used(2.0))
        for _ in range(2):
            await assert_trouble(harness, "full", 1.0, "is full")
        (small_disk / "rest").unlink()
        await assert_well(harness, 102.0)
        await assert_same_after_restart(harness)


async def test_usage_after_an_empty_listing_is_an_increase_also_if_its_first_commit_fails(
    small_disk: Path,
) -> None:
    """It is known from the empty listing on that none of these sessions was there before."""
    world = empty_world()
    async with Harness(world, ledger=small_disk / "ledger.db", birth_hold=90.0) as harness:
        await harness.poll()
        await harness.tick(60)
        for n in range(200):
            world.put_session(session(f"new-{n}", 0.5, age=-30))
        fill(small_disk)
        await harness.poll()
        assert harness.peek().value("exporter_ledger_failures_total", reason="full") >= 1
        (small_disk / "rest").unlink()
        await harness.poll()
        before = (await harness.page()).value("livy_cu_hours_total")
        await harness.tick(91)
        assert (before, total(harness)) == (0, 100)


async def test_removed_file_is_reported_before_the_next_write(world: World, tmp_path: Path) -> None:
    """Nothing is counted until the file is back, and then everything missed is."""
    path, aside = tmp_path / "ledger.db", tmp_path / "aside.db"
    async with Harness(world, ledger=path) as harness:
        await assert_well(harness, 1.0)
        world.revise(key("livy-a"), used(2.0))
        path.rename(aside)
        await assert_trouble(harness, "io", 1.0, "was removed or replaced while it was in use")
        path.write_bytes(b"")
        await assert_trouble(harness, "io", 1.0, "was removed or replaced while it was in use")
        aside.rename(path)
        await assert_well(harness, 2.0)
        await assert_same_after_restart(harness)


async def test_removed_journal_is_reported_before_the_next_write(
    world: World, tmp_path: Path
) -> None:
    """Without the journal a commit could be lost, so none is made."""
    path = tmp_path / "ledger.db"
    async with Harness(world, ledger=path) as harness:
        await assert_well(harness, 1.0)
        world.revise(key("livy-a"), used(2.0))
        path.with_name("ledger.db-wal").unlink()
        await assert_trouble(harness, "io", 1.0, "was removed or replaced while it was in use")
        await harness.restart()
        await assert_well(harness, 2.0)


async def test_lock_of_another_program_delays_counting(world: World, tmp_path: Path) -> None:
    """The totals stand still while it holds the lock; afterwards everything missed is counted."""
    path = tmp_path / "ledger.db"
    async with Harness(world, ledger=path) as harness:
        await assert_well(harness, 1.0)
        world.revise(key("livy-a"), used(2.0))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await assert_trouble(harness, "locked", 1.0, "database is locked")
        other.execute("ROLLBACK")
        other.close()
        await assert_well(harness, 2.0)
        await assert_same_after_restart(harness)


async def test_session_that_leaves_while_the_disk_is_full_stays_counted(
    world: World, small_disk: Path
) -> None:
    """Its usage was in the ledger before the disk was full."""
    async with Harness(world, ledger=small_disk / "ledger.db") as harness:
        world.put_session(session("livy-b", 4.0))
        await assert_well(harness, 5.0)
        fill(small_disk)
        world.remove_session(key("livy-b"))
        for n in range(200):
            world.put_session(session(f"new-{n}", 0.5))
        await harness.poll("livy_sessions")
        assert total(harness) == 5.0
        (small_disk / "rest").unlink()
        await assert_well(harness, 105.0)


class _DeafConnection(sqlite3.Connection):
    """A connection that says that a commit failed, although it was done."""

    is_deaf = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401
        """Execute a statement."""
        cursor = super().execute(sql, parameters)
        if sql == "COMMIT" and _DeafConnection.is_deaf:
            raise sqlite3.OperationalError("disk I/O error")
        return cursor


def _connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:  # noqa: ANN401
    return sqlite3.connect(*args, **kwargs, factory=_DeafConnection)


def test_commit_reported_as_failed_but_written_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file decides; a series that was never published is held like any new one."""
    ledger = opened(tmp_path / "ledger.db", hold=90, connect=_connect)
    listed(ledger, record("a", 5))
    monkeypatch.setattr(_DeafConnection, "is_deaf", True)
    with pytest.raises(LedgerError, match="disk I/O error"):
        listed(ledger, record("a", 6), record("b", 2, queue="new"))
    assert values(ledger) == {"q": 5}
    monkeypatch.setattr(_DeafConnection, "is_deaf", False)
    listed(ledger, record("a", 7), record("b", 3, queue="new"))
    assert values(ledger) == {"q": 7, "new": 3}
    assert shown(ledger) == {"q": 5, "new": 0}
    ledger.close()


@both_stores
def test_write_to_a_closed_ledger_is_an_error(tmp_path: Path) -> None:
    """However long ago it was closed. A second close is allowed."""
    clock = ManualClock()
    ledger = opened(tmp_path / "ledger.db", clock)
    ledger.close()
    for _ in range(2):
        with pytest.raises(LedgerError):
            listed(ledger, record("a", 5))
        clock.advance(100)
    ledger.close()


async def wait_for_answer(ledger: Ledger) -> None:
    """Wait until the ledger's thread runs a job; fail after 10 s."""
    for _ in range(1000):
        with suppress(LedgerError):
            await ledger.run(lambda: None)
            return
        await asyncio.sleep(0.01)
    pytest.fail("the ledger does not answer")


async def test_gauges_are_updated_while_the_disk_hangs(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polls report a timeout of the ledger; once the disk responds, all usage is counted."""
    module = import_module("exporter.app.build")
    monkeypatch.setattr(module, "Ledger", partial(Ledger, work_timeout=0.5))
    async with Harness(world, ledger=tmp_path / "ledger.db") as harness:
        await assert_well(harness, 1.0)
        answers = threading.Event()
        hanging = asyncio.create_task(harness.exporter.ledger.run(answers.wait))
        for cu_hours in (2.0, 3.0):  # the second poll finds a ledger that is known to hang
            world.change_session(key("livy-a"), usage=used(cu_hours))
            await assert_trouble(harness, "timeout", 1.0, "the ledger has not answered for 0.5 s")
            assert harness.peek().value("livy_session_cu_hours", session_id="livy-a") == cu_hours
        answers.set()
        with suppress(LedgerError):
            await hanging
        await wait_for_answer(harness.exporter.ledger)
        await assert_well(harness, 3.0)
        await assert_same_after_restart(harness)


@servers
def test_ledger_that_another_process_has_taken_over_is_not_written(
    tmp_path: Path, store: Store
) -> None:
    """This process forgets what it knew, and waits; then it goes on from what the other counted."""
    clock, path = ManualClock(), tmp_path / "ledger.db"
    first = opened(path, clock)
    listed(first, record("a", 5))
    store.free(path)
    second = opened(path, clock)
    listed(second, record("a", 8))
    with pytest.raises(LedgerError) as caught:
        listed(first, record("a", 100))
    assert (caught.value.kind, caught.value.is_passing) == ("lost", True)
    assert first.state.created_at is None
    assert first.state.counters == {}
    assert values(second) == {"q": 8}
    second.close()
    clock.advance(5)
    with pytest.raises(LedgerError, match="in the meantime"):
        listed(first, record("a", 9))  # it was read while the ledger was not ours
    listed(first, record("a", 9))
    assert values(first) == {"q": 9}


@postgres_alone
def test_lease_is_kept_while_a_standby_of_the_server_answers(tmp_path: Path, store: Store) -> None:
    """It may lack the last commits, from which does not follow that another process owns them."""
    clock, path = ManualClock(), tmp_path / "ledger.db"
    ledger = opened(path, clock)
    listed(ledger, record("a", 5))
    location = store.at(path)
    assert isinstance(location, Postgres)
    schema, server = location.schema, postgres.shared()
    [(revision,)] = server.execute(f"SELECT revision FROM {schema}.shard")
    try:
        server.execute(f"ALTER ROLE {schema} SET default_transaction_read_only = on")
        server.execute(f"UPDATE {schema}.shard SET revision = 0")
        server.execute(_END.format(role=schema))
        with pytest.raises(LedgerError) as caught:
            listed(ledger, record("a", 8))
        assert (caught.value.kind, caught.value.is_passing) == ("unreachable", True)
    finally:
        server.execute(f"ALTER ROLE {schema} RESET default_transaction_read_only")
    server.execute(f"UPDATE {schema}.shard SET revision = {revision}")
    clock.advance(5)
    listed(ledger, record("a", 9))
    assert values(ledger) == {"q": 9}
    ownership = ledger.ownership()
    assert ownership is not None
    assert ownership.acquisitions == 1


_END = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{role}'"
