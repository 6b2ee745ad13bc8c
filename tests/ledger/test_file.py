"""The ledger file: its lock, the error for each kind of unusable file, and migrations."""

import errno
import fcntl
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.errors import LedgerError
from exporter.ledger import check_ledger
from exporter.ledger.sqlite import SqliteDatabase
from exporter.ledger.sqlite.schema import APPLICATION_ID, MIGRATIONS
from exporter.model import Scope, Source, Target
from tests.ledger.crashes import Crash, FileFuse
from tests.ledger.older import older_ledger
from tests.support.harness import START, ManualClock
from tests.support.ledger_builders import listed, opened, record, values
from tests.support.repository import ROOT

NOBODY = 65534

OPEN = """
import sys
from pathlib import Path
from exporter.clock import SystemClock
from exporter.errors import LedgerError
from exporter.ledger import Ledger
try:
    Ledger(Path(sys.argv[1]), clock=SystemClock())
except LedgerError as error:
    print(f"{error}; {error.advice} [{error.kind}]")
else:
    print("open", flush=True)
    sys.stdin.read()
"""


def child(path: Path) -> "subprocess.Popen[str]":
    """Open a ledger in another process, which exits when its stdin is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def refusal(path: Path) -> str:
    """Return the error of a ledger that cannot be opened: message, advice and kind."""
    with pytest.raises(LedgerError) as caught:
        opened(path)
    return f"{caught.value}; {caught.value.advice} [{caught.value.kind}]"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a ledger that holds one session."""
    made = tmp_path / "ledger.db"
    ledger = opened(made)
    listed(ledger, record(cu=5))
    ledger.close()
    return made


def test_second_process_is_refused_with_the_pid_of_the_first(path: Path) -> None:
    """The lock ends with the process that holds it, even if that one is killed."""
    with child(path) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "open\n"
        assert refusal(path) == (
            f"the ledger {path} is in use by process {first.pid} on {platform.node()};"
            " stop that one, or give each exporter a ledger of its own [locked]"
        )
        first.kill()
    ledger = opened(path)
    assert values(ledger) == {"q": 5}
    ledger.close()


def test_second_ledger_on_one_file_in_the_same_process_is_refused(path: Path) -> None:
    """The lock belongs to a ledger object, not to the process."""
    ledger = opened(path)
    assert f"in use by process {os.getpid()}" in refusal(path)
    ledger.close()


def test_symlink_to_a_ledger_in_use_is_refused(path: Path, tmp_path: Path) -> None:
    """Both names of a file share one lock."""
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    ledger = opened(link)
    assert "is in use by" in refusal(path)
    ledger.close()


def test_truncated_file_is_reported_as_corrupt(path: Path) -> None:
    """The file is left as it is, for a recovery tool."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    said = refusal(path)
    assert said.startswith(f"the ledger {path} ")
    assert said.endswith(
        "; restore a backup, or move the file away to start with new counters [corrupt]"
    )
    assert path.read_bytes() == content[: len(content) // 2]


@pytest.mark.parametrize("content", [b"x" * 100, b"PK\x03\x04" * 4096])
def test_file_that_is_not_a_database_is_reported_as_corrupt(path: Path, content: bytes) -> None:
    """It may be something the user needs, so it is left unchanged."""
    path.write_bytes(content)
    assert refusal(path) == (
        f"the ledger {path} cannot be used: file is not a database;"
        " restore a backup, or move the file away to start with new counters [corrupt]"
    )
    assert path.read_bytes() == content


def test_damaged_page_inside_the_file_is_found_at_startup(path: Path) -> None:
    """A corrupt database page is found before anything is counted."""
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    path.write_bytes(content)
    assert refusal(path).endswith("[corrupt]")


@pytest.mark.parametrize(
    "mark", ["CREATE TABLE theirs (x)", "PRAGMA user_version = 3", "PRAGMA application_id = 7"]
)
def test_database_of_another_program_is_refused(tmp_path: Path, mark: str) -> None:
    """It is recognised by its tables, user_version or application_id, and left unchanged."""
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as theirs:
        theirs.execute(mark)
    theirs.close()
    content = path.read_bytes()
    assert refusal(path) == (
        f"{path} is a database of another program; set ledger.path to a file of its own [corrupt]"
    )
    assert path.read_bytes() == content


def test_ledger_of_a_newer_exporter_is_refused(path: Path) -> None:
    """The error names both schema versions."""
    newest = len(MIGRATIONS)
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {newest + 1}")
    newer.close()
    assert refusal(path) == (
        f"{path} was written by a newer version of this exporter"
        f" (schema version {newest + 1}; this one supports up to {newest});"
        " run that version, or restore a backup made before the upgrade [corrupt]"
    )


def test_missing_directory_is_reported(tmp_path: Path) -> None:
    """The error says that the directory has to exist, or which setting to change."""
    path = tmp_path / "missing" / "ledger.db"
    assert refusal(path) == (
        f"the ledger {path} cannot be used: ledger.db.lock cannot be written"
        " (No such file or directory); create its folder, let this user write there, or set"
        " ledger.path [io]"
    )


def test_directory_at_the_ledger_path_is_reported(tmp_path: Path) -> None:
    """`ledger.path` has to be a file, not a directory."""
    assert refusal(tmp_path) == (
        f"the ledger {tmp_path} cannot be used: unable to open database file;"
        " let this user write the file and its folder, or set ledger.path [io]"
    )
    tmp_path.with_name(tmp_path.name + ".lock").unlink()


def refusal_of_nobody(path: Path) -> str:
    """Return the error that an unprivileged user gets."""
    os.seteuid(NOBODY)
    try:
        return refusal(path)
    finally:
        os.seteuid(0)


@pytest.fixture
def foreign(memory_disk: Path) -> Iterator[Path]:
    """Return a directory that another user can enter."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    memory_disk.chmod(0o755)
    yield memory_disk
    memory_disk.chmod(0o700)


def test_read_only_directory_is_reported(foreign: Path) -> None:
    """The lock file beside the ledger could not be created."""
    said = refusal_of_nobody(foreign / "ledger.db")
    assert said == (
        f"the ledger {foreign}/ledger.db cannot be used: ledger.db.lock cannot be written"
        " (Permission denied); create its folder, let this user write there, or set"
        " ledger.path [io]"
    )


def test_read_only_file_is_reported(foreign: Path) -> None:
    """A writable directory is not enough."""
    opened(foreign / "ledger.db").close()
    (foreign / "ledger.db").chmod(0o644)
    (foreign / "ledger.db.lock").unlink()
    foreign.chmod(0o777)
    said = refusal_of_nobody(foreign / "ledger.db")
    assert said == (
        f"the ledger {foreign}/ledger.db cannot be used: attempt to write a readonly database;"
        " let this user write the file and its folder, or set ledger.path [io]"
    )


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db.lock"])
def test_check_reports_what_a_daemon_could_not_write(foreign: Path, name: str) -> None:
    """To read the ledger, which is all that it does, may be possible."""
    path = foreign / "ledger.db"
    opened(path).close()
    foreign.chmod(0o777)
    path.chmod(0o666)
    (foreign / "ledger.db.lock").chmod(0o666)
    os.seteuid(NOBODY)
    try:
        assert check_ledger(path, ManualClock()) == "0 sessions remembered"
        os.seteuid(0)
        (foreign / name).chmod(0o644)
        os.seteuid(NOBODY)
        with pytest.raises(LedgerError) as caught:
            check_ledger(path, ManualClock())
    finally:
        os.seteuid(0)
    said = f"the ledger {path} cannot be used: {name} cannot be written (Permission denied)"
    assert str(caught.value) == said


def test_check_takes_no_device_for_a_ledger_that_is_yet_to_be(tmp_path: Path) -> None:
    """Though it has no size either."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LedgerError, match="not a regular file"):
        check_ledger(tmp_path / "pipe", ManualClock())


def test_file_system_without_locks_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a lock two exporters could count into one file, so the ledger does not open."""

    def no_locks(_handle: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    path = tmp_path / "ledger.db"
    assert refusal(path) == (
        f"the file system of {path} does not support locks (No locks available);"
        " put the ledger on a local or block disk, not on NFS [io]"
    )


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a full file system."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with (folder / "rest").open("wb", buffering=0) as rest:
            while True:
                rest.write(b"x" * 4096)
    except OSError:
        pass
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_full_disk_is_reported_at_startup(full_disk: Path) -> None:
    """The ledger does not open, and the error says what to do."""
    said = refusal(full_disk / "ledger.db")
    assert said.startswith(f"the ledger {full_disk}/ledger.db cannot be used: ")
    assert said.endswith(
        "; make room on the disk; the usage is counted when writing works again [full]"
    )


def test_new_file_carries_the_application_id_and_the_schema_version(path: Path) -> None:
    """Other programs, such as file(1), and later versions recognise the file by them."""
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    db.close()


@pytest.mark.parametrize("number", range(1, len(MIGRATIONS)))
def test_ledger_of_an_older_version_is_migrated(tmp_path: Path, number: int) -> None:
    """Totals and gateways are kept; a create time far in the future no longer stops counting."""
    old = older_ledger(tmp_path, number)
    ledger = opened(old, ManualClock(START + 1e6))
    assert ledger.state.created_at == START
    assert values(ledger) == {"q": 12, "dev": 7}
    assert ledger.listed_count(Scope("", "cn-hangzhou", "w-1")) == 1
    assert ledger.listed_count(Target(Source.LIVY_SESSIONS, "", "cn-hangzhou", "w-1", "lc-1")) == 3
    assert ledger.listed_count(Target(Source.SESSION_CLUSTERS, "", "cn-hangzhou", "w-1")) == 1
    assert ledger.listed_count(Scope("", "cn-hangzhou")) == 0
    assert ledger.listing_order(("w-1", "lc-1")) == ("newest first" if number >= 3 else "")
    later = record("later", 100, created=3_356_700_000_000)  # before that of the forgotten one
    listed(ledger, record("a", 9), later, complete=False)
    assert values(ledger) == {"q": 112, "dev": 7}
    ledger.close()
    assert version(old) == len(MIGRATIONS)


def test_places_in_the_listing_are_kept_by_a_migration(tmp_path: Path) -> None:
    """So the first poll after an upgrade need not read the whole history."""
    ledger = opened(older_ledger(tmp_path, 3))
    (sessions,) = ledger.listed_sessions(("w-1", "lc-1"))
    assert [each[:3] for each in sessions] == [
        (1_000_000, 0, "a"),
        (1_000_000, 1, "b"),
        (1_780_950_350_000, 0, "c"),
    ]
    ledger.close()


def next_one(db: sqlite3.Connection) -> None:
    """Migrate to an imagined next schema: one more column, filled from existing ones."""
    db.execute("ALTER TABLE session ADD COLUMN name TEXT NOT NULL DEFAULT ''")
    db.execute("UPDATE session SET name = upper(session_id)")


NEXT = (*MIGRATIONS, next_one)


def names(file: SqliteDatabase) -> list[tuple[str, str]]:
    """Return the column that only the next schema has, by session."""
    return file.db.execute("SELECT session_id, name FROM session").fetchall()


def version(path: Path) -> int:
    """Return the schema version of a file."""
    with sqlite3.connect(path) as db:
        found: int = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return found


def test_migration_runs_once_and_keeps_the_rows(path: Path) -> None:
    """A migration function and the new schema version are one transaction."""
    file = SqliteDatabase(path, created_at=0, migrations=NEXT)
    assert names(file) == [("s", "S")]
    file.close()
    assert version(path) == len(NEXT)
    assert "written by a newer version" in refusal(path)
    again = SqliteDatabase(path, created_at=0, migrations=NEXT)
    assert names(again) == [("s", "S")]
    again.close()


def test_failed_migration_leaves_the_old_schema(path: Path) -> None:
    """It is rolled back, so the older exporter can still open the file."""

    def fails(db: sqlite3.Connection) -> None:
        next_one(db)
        db.execute("SELECT no_such_function()")

    with pytest.raises(LedgerError, match="no such function"):
        SqliteDatabase(path, created_at=0, migrations=(*MIGRATIONS, fails))
    assert version(path) == len(MIGRATIONS)
    ledger = opened(path)
    assert values(ledger) == {"q": 5}
    ledger.close()


def test_crash_at_any_point_of_a_migration_leaves_the_old_or_the_new_schema(
    path: Path, memory_disk: Path
) -> None:
    """The next start finds one of the two whole, and completes the migration if needed."""
    content, seen = path.read_bytes(), set[int]()
    instant, fuse = 0, FileFuse(memory_disk / "first")
    while not instant or fuse.crashes:
        instant += 1
        fuse = FileFuse(memory_disk / str(instant))
        fuse.location.write_bytes(content)
        fuse.arm(instant)
        try:
            SqliteDatabase(
                fuse.location, created_at=0, connect=fuse.connect(), migrations=NEXT
            ).close()
        except Crash:
            fuse.revive()
        seen.add(version(fuse.location))
        file = SqliteDatabase(fuse.location, created_at=0, migrations=NEXT)
        assert names(file) == [("s", "S")]
        file.close()
    assert seen == {len(MIGRATIONS), len(NEXT)}
