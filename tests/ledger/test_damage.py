"""Ledgers with invalid values in intact pages, file modes, and lock paths set as traps."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from exporter import ledger
from exporter.errors import LedgerError
from tests.support.harness import ManualClock
from tests.support.ledger_builders import GATEWAY, cluster, listed, opened, record

RELABEL = """UPDATE counter SET labels = 'LABELS'
    WHERE metric LIKE '%revisions_total'"""
DAMAGE = [
    "UPDATE counter SET value = 'many'",
    "UPDATE counter SET shown = value || '0'",
    *(
        RELABEL.replace("LABELS", labels)
        for labels in ("[1, 2", '["w-1", "\\ud800"]', '{"w-1": 1, "lc": 2}', '["w-1"]')
    ),
    "UPDATE session SET vcore_seconds = 'seven'",
    "UPDATE session SET nano_cu_hours = -1",
    "UPDATE session SET created_ms = 'noon'",
    "UPDATE session SET ended = 'perhaps'",
    "UPDATE session SET queue = x'ff'",
    "UPDATE session_cluster SET state_since = 'long ago'",
    "UPDATE gateway SET dropped_ms = 'never'",
    "UPDATE gateway SET contacted = 7",
    "UPDATE ledger SET created_at = 'today'",
    "DELETE FROM ledger",
    "DROP TABLE session",
    "ALTER TABLE session DROP COLUMN mb_seconds",
    "INSERT INTO remainder VALUES (1, 'q', 'some')",
    "PRAGMA user_version = -1",
    "PRAGMA user_version = 0",
]


OPENINGS: dict[str, Callable[[Path], object]] = {
    "daemon": opened,
    "check": lambda path: ledger.check_ledger(path, ManualClock()),
    "reconcile": lambda path: ledger.read_gateway(path, GATEWAY),
    "backup": lambda path: ledger.back_up(path, path.with_name("copy.db")),
    "forget": lambda path: ledger.forget_gateway(path, GATEWAY[1], ManualClock()),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a ledger that counted something."""
    made = opened(tmp_path / "ledger.db", hold=90)
    made.record_session_clusters(GATEWAY[0], [cluster()])
    listed(made, record(cu=5))
    listed(made, record(cu=4))
    made.close()
    return tmp_path / "ledger.db"


@pytest.mark.parametrize("command", OPENINGS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_invalid_values_in_a_ledger_are_reported_as_corrupt(
    path: Path, damage: str, command: str
) -> None:
    """The daemon and every command say what to do and leave the file unchanged."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(damage)
    content = path.read_bytes()
    with pytest.raises(LedgerError, match=f"the ledger {path} is damaged: ") as caught:
        OPENINGS[command](path)
    assert caught.value.kind == "corrupt"
    assert caught.value.advice.startswith("restore a backup")
    assert path.read_bytes() == content


def mode(path: Path) -> int:
    """Return who may do what with a file."""
    return path.stat().st_mode & 0o777


def test_ledger_files_are_readable_by_their_owner_only(path: Path) -> None:
    """The ledger, its journal and its backups hold names of users."""
    made = opened(path)
    listed(made, record(cu=6))
    ledger.back_up(path, path.with_name("copy.db"))
    files = [file for file in path.parent.iterdir() if file.is_file()]
    assert {file.name for file in files} >= {"ledger.db", "ledger.db-wal", "copy.db"}
    assert {file.name: oct(mode(file)) for file in files if mode(file) != 0o600} == {}
    made.close()


def link(lock: Path, foreign: Path) -> None:
    """Let the lock lead to another file."""
    lock.symlink_to(foreign)


def hard_link(lock: Path, foreign: Path) -> None:
    """Let the lock be another file."""
    lock.hardlink_to(foreign)


def fifo(lock: Path, _foreign: Path) -> None:
    """Let the lock be a pipe, which nobody reads."""
    os.mkfifo(lock)


def of_another(lock: Path, _foreign: Path) -> None:
    """Let the lock belong to another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    lock.touch()
    os.chown(lock, 65534, 65534)


@pytest.mark.parametrize("trap", [link, hard_link, fifo, of_another])
def test_lock_path_that_is_not_our_lock_file_is_refused(
    tmp_path: Path, trap: Callable[[Path, Path], None]
) -> None:
    """A pipe there does not block the start, and a linked file is not truncated."""
    foreign = tmp_path / "foreign"
    foreign.write_text("precious")
    trap(tmp_path / "ledger.db.lock", foreign)
    with pytest.raises(LedgerError, match=r"ledger\.db\.lock beside it is not a lock file"):
        opened(tmp_path / "ledger.db")
    assert foreign.read_text() == "precious"
