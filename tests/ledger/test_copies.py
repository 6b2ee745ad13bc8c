"""Restored copies of a ledger begin anew, as Prometheus sees it; the ledger itself goes on."""

import itertools
import re
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exporter.clock import SystemClock
from exporter.errors import LedgerError
from exporter.ledger import Ledger, Place, back_up, moving
from exporter.ledger.location import Postgres
from exporter.ledger.moving import import_ledger
from exporter.ledger.sqlite.schema import MIGRATIONS
from tests.ledger.older import older_ledger
from tests.support import postgres
from tests.support.exporters import files_in
from tests.support.harness import START, ManualClock
from tests.support.ledger_builders import GATEWAY, listed, opened, record, values
from tests.support.ledger_stores import Store, postgres_alone, servers, used
from tests.support.server_folders import wait_until

DAY = 86400.0
A = 1_000_000


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that the test moves."""
    return ManualClock()


def counted(path: Path, clock: ManualClock) -> Ledger:
    """Return a ledger that counted something, a day ago."""
    ledger = opened(path, clock)
    listed(ledger, record("a", 5))
    clock.advance(DAY)
    return ledger


def birth(path: Path, clock: ManualClock) -> float:
    """Use a ledger as a daemon does; return how many days after the start it was created."""
    ledger = opened(path, clock)
    assert values(ledger)["q"] > 0
    created_at = ledger.state.created_at
    ledger.close()
    clock.advance(DAY)
    assert created_at is not None
    return (created_at - START) / DAY


def test_first_use_of_a_copy_begins_anew_and_the_next_one_goes_on(
    tmp_path: Path, clock: ManualClock
) -> None:
    """The ledger that was copied keeps its birth, whether or not it runs meanwhile."""
    path, copy = tmp_path / "ledger.db", tmp_path / "copy.db"
    ledger = counted(path, clock)
    back_up(path, copy)
    assert [birth(copy, clock) for _ in range(3)] == [1, 1, 1]
    listed(ledger, record("a", 6))
    assert ledger.state.created_at == START
    ledger.close()
    assert birth(path, clock) == 0


FOREIGN = {"notes.txt": b"mine", "other.db": b"SQLite format 3\0" + bytes(84)}
OWN = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal", "ledger.db.lock")
USED = ("link.db", "hard.db", "used.db", "link to used.db")


def test_copy_overwrites_nothing_but_a_copy(tmp_path: Path, clock: ManualClock) -> None:
    """Ledgers in use, the files beside them, and files of others stay as they are."""
    for path in (tmp_path / "ledger.db", tmp_path / "used.db"):
        counted(path, clock).close()
        opened(path, clock)
    for name, content in FOREIGN.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link.db").symlink_to(tmp_path / "ledger.db")
    (tmp_path / "hard.db").hardlink_to(tmp_path / "ledger.db")
    (tmp_path / "link to used.db").symlink_to(tmp_path / "used.db")
    (tmp_path / "folder").mkdir()
    before = files_in(tmp_path)
    assert {"ledger.db-wal", "ledger.db.lock"} <= {*before}
    for name in (*OWN, *USED, *FOREIGN, "folder"):
        with pytest.raises(
            LedgerError, match=r"/" + re.escape(name) + " .*: it is not overwritten"
        ):
            back_up(tmp_path / "ledger.db", tmp_path / name)
    assert files_in(tmp_path) == before
    assert {name: (tmp_path / name).read_bytes() for name in FOREIGN} == FOREIGN
    for _ in range(2):
        back_up(tmp_path / "ledger.db", tmp_path / "copy.db")
    assert files_in(tmp_path) == sorted([*before, "copy.db"])


@pytest.mark.parametrize("is_used", [False, True])
def test_copy_of_a_copy_begins_anew(
    tmp_path: Path,
    clock: ManualClock,
    is_used: bool,  # noqa: FBT001
) -> None:
    """Whether or not the copy was used before it was copied."""
    paths = [tmp_path / f"{number}.db" for number in range(3)]
    counted(paths[0], clock).close()
    back_up(paths[0], paths[1])
    assert not is_used or birth(paths[1], clock) == 1
    back_up(paths[1], paths[2])
    clock.advance(DAY)
    assert birth(paths[2], clock) == 2 + is_used
    assert birth(paths[0], clock) == 0


def test_copy_that_was_only_copied_keeps_the_mark(tmp_path: Path, clock: ManualClock) -> None:
    """To read it for another copy is not a use of it."""
    paths = [tmp_path / f"{number}.db" for number in range(3)]
    counted(paths[0], clock).close()
    for source, target in itertools.pairwise(paths):
        back_up(source, target)
    assert birth(paths[1], clock) == 1


@pytest.mark.parametrize("number", range(1, len(MIGRATIONS)))
def test_copy_of_a_ledger_that_an_older_version_wrote_begins_anew(
    tmp_path: Path, clock: ManualClock, number: int
) -> None:
    """As a backup before an upgrade; the copy can be used by the older version, too."""
    path = older_ledger(tmp_path, number)
    copy = tmp_path / "copy.db"
    back_up(path, copy)
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (number,)
    clock.advance(DAY)
    assert birth(copy, clock) == 1
    assert birth(path, clock) == 0


@servers
@pytest.mark.parametrize("number", [None, *range(1, len(MIGRATIONS))])
def test_imported_ledger_goes_on_and_its_file_begins_anew(
    tmp_path: Path,
    clock: ManualClock,
    store: Store,
    number: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Totals, births, held series and the order of listings are the same on the server.

    Also where the rows of a table do not fit into one piece.
    """
    monkeypatch.setattr(moving, "_ROWS", 1)
    path = older_ledger(tmp_path, number) if number else tmp_path / "ledger.db"
    with used(Store()):
        ledger = opened(path, clock, hold=90)
        if not number:
            for session in (record("a", 5), record("b", 2**53, queue="队\n'\"\\")):
                listed(ledger, record("a", 4), session)
            ledger.record_order(GATEWAY, "newest first", {("b", A): Place(1, 1)})
        before = facts(ledger)
        ledger.close()
        clock.advance(DAY)
        location = store.new()
        assert isinstance(location, Postgres)
        assert import_ledger(path, location, clock) == before["sessions"]
        assert birth(path, clock) == 1
    imported = store.note(Ledger(location, clock=clock, birth_hold=90))
    assert facts(imported) == before
    listed(imported, record("a", 1000))
    assert values(imported)["q"] > before["values"]["q"]


def facts(ledger: Ledger) -> dict[str, Any]:
    """Return all that a ledger says."""
    return {
        "counters": dict(ledger.state.counters),
        "values": values(ledger),
        "created_at": ledger.state.created_at,
        "sessions": ledger.state.sessions,
        "held": ledger.state.held_series,
        "order": ledger.listing_order(GATEWAY),
        "listed": [*ledger.listed_sessions(GATEWAY)],
        "ended": ledger.ended_since(GATEWAY, 0),
    }


@servers
def test_import_into_a_schema_that_holds_a_ledger_is_refused(
    tmp_path: Path, clock: ManualClock, store: Store
) -> None:
    """Neither of the two changes."""
    path, other = tmp_path / "ledger.db", tmp_path / "other.db"
    with used(Store()):
        counted(path, clock).close()
    listed(opened(other, clock), record("b", 7))
    store.close_ledgers()
    location = store.at(other)
    assert isinstance(location, Postgres)
    with pytest.raises(LedgerError, match="already has a ledger"):
        import_ledger(path, location, clock)
    assert values(opened(other, clock)) == {"q": 7}
    with used(Store()):
        assert birth(path, clock) == 0


@postgres_alone
def test_import_that_was_killed_before_it_marked_the_file_is_finished(
    tmp_path: Path, clock: ManualClock, store: Store
) -> None:
    """The command is run again; it is refused as soon as one of the two has gone on."""
    path, unmarked, later = (tmp_path / f"{name}.db" for name in ("ledger", "unmarked", "later"))
    with used(Store()):
        counted(path, clock).close()
        shutil.copy(path, unmarked)
        shutil.copy(path, later)
        location = store.new()
        assert isinstance(location, Postgres)
        imported = [import_ledger(source, location, clock) for source in (path, unmarked)]
        assert imported == [1, 1]
        assert birth(unmarked, clock) == 1
        listed(opened(later, clock), record("a", 9))
    with pytest.raises(LedgerError, match="already has a ledger"):
        import_ledger(later, location, clock)
    assert values(store.note(Ledger(location, clock=clock))) == {"q": 5}


@postgres_alone
def test_import_keeps_the_lease_however_long_it_takes(tmp_path: Path, store: Store) -> None:
    """A daemon that waits for the ledger does not take it over half-way."""
    with used(Store()):
        counted(tmp_path / "ledger.db", ManualClock()).close()
    found = store.new()
    assert isinstance(found, Postgres)
    location = replace(found, lease_duration=3.0)
    Ledger(location, clock=SystemClock()).close()
    server, beat = postgres.shared(), f"SELECT beat FROM {location.schema}.lease"
    [(before,)] = server.execute(beat)
    with ThreadPoolExecutor() as pool:
        with psycopg.connect(server.superuser_url) as other:
            other.execute(f"LOCK TABLE {location.schema}.counter".encode())
            job = pool.submit(import_ledger, tmp_path / "ledger.db", location, SystemClock())
            wait_until(lambda: server.execute(beat)[0][0] > before + 2, "it was renewed twice")
        assert job.result() == 1
