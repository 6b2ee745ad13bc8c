"""The file: who may write it, what is refused and in which words, and how it grows."""

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
from exporter.ledger.file import LedgerFile
from exporter.ledger.schema import APPLICATION_ID, MIGRATIONS
from exporter.model import Scope, Source, Target
from tests.ledger.crashes import Crash, Fuse
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
    """Open a ledger in a process of its own, which ends with its stdin."""
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def refusal(path: Path) -> str:
    """Give what is said when a ledger cannot be opened: message, advice and kind."""
    with pytest.raises(LedgerError) as caught:
        opened(path)
    return f"{caught.value}; {caught.value.advice} [{caught.value.kind}]"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a ledger with a session in it."""
    made = tmp_path / "ledger.db"
    ledger = opened(made)
    listed(ledger, record(cu=5))
    ledger.close()
    return made


def test_a_second_process_is_refused_and_told_which_one_writes(path: Path) -> None:
    """One process writes a file; another one is told the id of it, until it has ended."""
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


def test_a_second_opening_in_the_same_process_is_refused(path: Path) -> None:
    """The lock is for one ledger, not for one process."""
    ledger = opened(path)
    assert f"in use by process {os.getpid()}" in refusal(path)
    ledger.close()


def test_another_name_of_the_same_file_is_the_same_file(path: Path, tmp_path: Path) -> None:
    """A symbolic link does not lead around the lock."""
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    ledger = opened(link)
    assert "is in use by" in refusal(path)
    ledger.close()


def test_a_truncated_file_is_damaged(path: Path) -> None:
    """A file that lost its end is refused, and is not touched."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    said = refusal(path)
    assert said.startswith(f"the ledger {path} ")
    assert said.endswith(
        "; restore a backup, or move the file away to start counting anew [corrupt]"
    )
    assert path.read_bytes() == content[: len(content) // 2]


@pytest.mark.parametrize("content", [b"x" * 100, b"PK\x03\x04" * 4096])
def test_a_file_of_something_else_is_damaged(path: Path, content: bytes) -> None:
    """What is no database is refused, and is not touched."""
    path.write_bytes(content)
    assert refusal(path) == (
        f"the ledger {path} cannot be used: file is not a database;"
        " restore a backup, or move the file away to start counting anew [corrupt]"
    )
    assert path.read_bytes() == content


def test_damage_in_the_middle_is_found_at_the_start(path: Path) -> None:
    """A page of garbage is found before anything is counted."""
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    path.write_bytes(content)
    assert refusal(path).endswith("[corrupt]")


@pytest.mark.parametrize(
    "mark", ["CREATE TABLE theirs (x)", "PRAGMA user_version = 3", "PRAGMA application_id = 7"]
)
def test_a_database_of_another_program_is_refused(tmp_path: Path, mark: str) -> None:
    """Another program's database is not written to."""
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as theirs:
        theirs.execute(mark)
    theirs.close()
    content = path.read_bytes()
    assert refusal(path) == (
        f"{path} is a database of another program; set ledger.path to a file of its own [corrupt]"
    )
    assert path.read_bytes() == content


def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    """A file with a schema that this version does not know is not touched."""
    newest = len(MIGRATIONS)
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {newest + 1}")
    newer.close()
    assert refusal(path) == (
        f"{path} was written by a newer version of this exporter"
        f" (schema {newest + 1}; this version knows {newest});"
        " run that version, or restore a backup made before the upgrade [corrupt]"
    )


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    """A folder that does not exist is named as the trouble."""
    path = tmp_path / "missing" / "ledger.db"
    assert refusal(path) == (
        f"the ledger {path} cannot be used: ledger.db.lock cannot be written"
        " (No such file or directory); let its folder be one that is there and that this user may"
        " write, or set ledger.path [io]"
    )


def test_a_folder_in_place_of_the_file_is_reported(tmp_path: Path) -> None:
    """A path that is a folder is refused in words."""
    assert refusal(tmp_path) == (
        f"the ledger {tmp_path} cannot be used: unable to open database file;"
        " let this user write the file and its folder, or set ledger.path [io]"
    )
    tmp_path.with_name(tmp_path.name + ".lock").unlink()


def refusal_of_nobody(path: Path) -> str:
    """Give what is said to a user without rights."""
    os.seteuid(NOBODY)
    try:
        return refusal(path)
    finally:
        os.seteuid(0)


@pytest.fixture
def foreign(memory_disk: Path) -> Iterator[Path]:
    """Give a folder that another user can reach."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    memory_disk.chmod(0o755)
    yield memory_disk
    memory_disk.chmod(0o700)


def test_a_folder_that_cannot_be_written_is_reported(foreign: Path) -> None:
    """A user who may not write the folder is told so."""
    said = refusal_of_nobody(foreign / "ledger.db")
    assert said == (
        f"the ledger {foreign}/ledger.db cannot be used: ledger.db.lock cannot be written"
        " (Permission denied); let its folder be one that is there and that this user may write, or"
        " set ledger.path [io]"
    )


def test_a_file_that_cannot_be_written_is_reported(foreign: Path) -> None:
    """A user who may write the folder but not the file is told so."""
    opened(foreign / "ledger.db").close()
    (foreign / "ledger.db").chmod(0o644)
    (foreign / "ledger.db.lock").unlink()
    foreign.chmod(0o777)
    said = refusal_of_nobody(foreign / "ledger.db")
    assert said == (
        f"the ledger {foreign}/ledger.db cannot be used: attempt to write a readonly database;"
        " let this user write the file and its folder, or set ledger.path [io]"
    )


def test_a_file_system_without_locks_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system cannot lock a file, nothing is counted on luck."""

    def no_locks(_handle: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    path = tmp_path / "ledger.db"
    assert refusal(path) == (
        f"the file system of {path} has no locks (No locks available);"
        " put the ledger on a local or block disk, not on NFS [io]"
    )


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a file system without a byte to spare."""
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


def test_a_full_disk_is_reported_at_the_start(full_disk: Path) -> None:
    """On a full disk the daemon does not start, and says what to do."""
    said = refusal(full_disk / "ledger.db")
    assert said.startswith(f"the ledger {full_disk}/ledger.db cannot be used: ")
    assert said.endswith(
        "; make room on the disk; the usage is counted when writing works again [full]"
    )


def test_a_new_file_remembers_whose_it_is(path: Path) -> None:
    """The file carries the mark of this exporter and the version of its tables."""
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    db.close()


@pytest.mark.parametrize("older", ["version_1.sql", "version_2.sql"])
def test_a_file_of_an_older_version_is_taken_over(path: Path, older: str) -> None:
    """Its totals go on; its gateways are known; a create time far ahead no longer stops them."""
    old = path.with_name("old.db")
    with sqlite3.connect(old) as db:
        db.executescript((Path(__file__).parent / older).read_text(encoding="utf-8"))
    db.close()
    ledger = opened(old)
    assert values(ledger) == {"q": 12, "dev": 7}
    assert ledger.listed_count(Scope("", "cn-hangzhou", "w-1")) == 1
    assert ledger.listed_count(Target(Source.LIVY_SESSIONS, "", "cn-hangzhou", "w-1", "lc-1")) == 3
    assert ledger.listed_count(Target(Source.SESSION_CLUSTERS, "", "cn-hangzhou", "w-1")) == 1
    assert ledger.listed_count(Scope("", "cn-hangzhou")) == 0
    assert ledger.listing_order(("w-1", "lc-1")) == ""
    later = record("later", 100, created=3_356_700_000_000)  # before that of the forgotten one
    listed(ledger, record("a", 9), later, complete=False)
    assert values(ledger) == {"q": 112, "dev": 7}
    ledger.close()
    assert version(old) == len(MIGRATIONS)


def next_one(db: sqlite3.Connection) -> None:
    """Lead to the next schema: a column more, filled from what is known."""
    db.execute("ALTER TABLE session ADD COLUMN name TEXT NOT NULL DEFAULT ''")
    db.execute("UPDATE session SET name = upper(session_id)")


NEXT = (*MIGRATIONS, next_one)


def names(file: LedgerFile) -> list[tuple[str, str]]:
    """Give what the next schema would hold."""
    return file.db.execute("SELECT session_id, name FROM session").fetchall()


def version(path: Path) -> int:
    """Give the version that a file says it has."""
    with sqlite3.connect(path) as db:
        found: int = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return found


def test_the_next_schema_is_reached_by_a_function(path: Path) -> None:
    """A migration adds to what is there, and its record comes in the same transaction."""
    file = LedgerFile(path, created_at=0, migrations=NEXT)
    assert names(file) == [("s", "S")]
    file.close()
    assert version(path) == len(NEXT)
    assert "written by a newer version" in refusal(path)
    again = LedgerFile(path, created_at=0, migrations=NEXT)
    assert names(again) == [("s", "S")]
    again.close()


def test_a_migration_that_fails_leaves_the_old_version(path: Path) -> None:
    """An error in a migration changes nothing: the older exporter still runs."""

    def fails(db: sqlite3.Connection) -> None:
        next_one(db)
        db.execute("SELECT no_such_function()")

    with pytest.raises(LedgerError, match="no such function"):
        LedgerFile(path, created_at=0, migrations=(*MIGRATIONS, fails))
    assert version(path) == len(MIGRATIONS)
    ledger = opened(path)
    assert values(ledger) == {"q": 5}
    ledger.close()


def test_a_migration_may_die_at_every_instant(path: Path, memory_disk: Path) -> None:
    """A process that dies in a migration leaves the old version, or the new one, whole."""
    content, seen = path.read_bytes(), set[int]()
    instant, fuse = 0, Fuse(memory_disk / "first")
    while not instant or fuse.crashes:
        instant += 1
        fuse = Fuse(memory_disk / str(instant))
        fuse.path.write_bytes(content)
        fuse.arm(instant)
        try:
            LedgerFile(fuse.path, created_at=0, connect=fuse.connect(), migrations=NEXT).close()
        except Crash:
            fuse.revive()
        seen.add(version(fuse.path))
        file = LedgerFile(fuse.path, created_at=0, migrations=NEXT)
        assert names(file) == [("s", "S")]
        file.close()
    assert seen == {len(MIGRATIONS), len(NEXT)}
