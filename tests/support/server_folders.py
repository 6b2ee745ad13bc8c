"""Folders of servers that end when their users have ended, even by SIGKILL.

A folder has a lock that its users share. A process waits until it has the lock alone, ends the
server and removes the folder.
"""

import fcntl
import os
import pwd
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.tools import find_tool

_PREFIX = "exporter-tests-server-"

_WAIT = '"$0" users sh -c "$1" &'
_END = """
for file in *.pid data/postmaster.pid; do
    pid=$(head -n 1 "$file") || continue
    # PostgreSQL ends its own processes; what has no handler ignores it if its shell did.
    case $file in data/*) kill -QUIT "$pid" ;; *) kill -KILL "$pid" ;; esac && kill -CONT "$pid"
    while kill -0 "$pid"; do sleep 0.05; done
done
mv "$PWD" "$PWD.ended" && rm -rf "$PWD.ended"
"""


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder for a server of the block."""
    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    users = _join(path)
    try:
        yield path
    finally:
        os.close(users)


@contextmanager
def shared_folder() -> Iterator[Path]:
    """Return a folder for a server of this run of the tests, which this process uses to its end.

    No other process is inside such a block at the same time.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    place = Path(tempfile.gettempdir())
    path = place / f"{_PREFIX}{run[:12]}"
    with (place / f"{_PREFIX}{os.geteuid()}.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        _join(path)
        yield path


def _join(path: Path) -> int:
    """Become a user of a folder; return the descriptor that holds its lock."""
    while True:
        path.mkdir(mode=0o700, exist_ok=True)
        is_new = not (path / "users").exists()
        users = os.open(path / "users", os.O_RDONLY | os.O_CREAT, 0o644)
        fcntl.flock(users, fcntl.LOCK_SH)
        if os.fstat(users).st_nlink:
            break
        os.close(users)  # the server of the users before was about to end
    if is_new:
        _end_after_users(path)
    return users


def give_away(*paths: Path) -> None:
    """Make files those of the server."""
    if as_user := ordinary_user():
        for path in paths:
            os.chown(path, as_user["user"], as_user["group"])


def _end_after_users(path: Path) -> None:
    give_away(path, path / "users")
    subprocess.run(
        ["sh", "-c", _WAIT, find_tool("flock"), _END],
        check=True,
        cwd=path,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **ordinary_user(),
    )


@cache
def ordinary_user() -> Mapping[str, Any]:
    """Return the arguments of `subprocess` for servers that refuse to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 20.0) -> None:
    """Wait for a condition that a server brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds:g} s: {what}"
        time.sleep(0.01)
