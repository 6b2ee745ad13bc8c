"""One writing process for each ledger: a lock beside the file, held as long as it is open.

It is a file of its own because closing any handle of the database would drop SQLite's locks.
The system releases the lock when the process ends, however it ends.
"""

import errno
import fcntl
import os
import platform
import stat
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from exporter.errors import LedgerError, LedgerFailure

_UNLOCKABLE = frozenset((errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS))
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MARK = b"process "


def check_access(ledger: Path) -> None:
    """Raise `LedgerError` if this user could not write `ledger`, whoever holds its lock."""
    target = Path(os.path.realpath(ledger))
    file = lock = _lock_of(ledger)
    try:
        TemporaryFile(dir=target.parent).close()
        for file in (lock, target):
            with suppress(FileNotFoundError):
                os.close(os.open(file, _FLAGS & ~os.O_CREAT))
    except OSError as error:
        raise _unusable(ledger, file, error) from error


def _lock_of(ledger: Path) -> Path:
    """Return the path of the lock: a symbolic link must not lead around it."""
    return Path(os.path.realpath(ledger) + ".lock")


class Lock:
    """The right to write a ledger, for this process alone."""

    def __init__(self, ledger: Path) -> None:
        """Take the lock of `ledger`.

        Raises `LedgerError` that names the process that holds the lock, or says why it failed.
        """
        path = _lock_of(ledger)
        try:
            self._handle = os.open(path, _FLAGS, 0o600)
        except OSError as error:
            raise _unusable(ledger, path, error) from error
        try:
            self._take(ledger, path)
        except BaseException:
            os.close(self._handle)
            raise

    def release(self) -> None:
        """Release the lock. The file stays: another process may hold its lock by now."""
        os.close(self._handle)

    def _take(self, ledger: Path, path: Path) -> None:
        found = os.fstat(self._handle)
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        content = os.pread(self._handle, 200, 0) if is_ours else b""
        if not is_ours or not (content or _MARK).startswith(_MARK):
            raise _foreign(ledger, path)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise _refusal(ledger, content.decode(errors="replace").strip(), error) from error
        # On a full disk the lock holds all the same, without the holder's name.
        with suppress(OSError):
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, _MARK + f"{os.getpid()} on {platform.node()}\n".encode(), 0)


def _unusable(ledger: Path, path: Path, error: OSError) -> LedgerError:
    if error.errno in {errno.ELOOP, errno.ENXIO}:
        return _foreign(ledger, path)
    return LedgerError(
        f"the ledger {ledger} cannot be used: {path.name} cannot be written ({error.strerror})",
        advice="create its folder, let this user write there, or set ledger.path",
    )


def _foreign(ledger: Path, path: Path) -> LedgerError:
    return LedgerError(
        f"the ledger {ledger} cannot be used: {path.name} beside it is not a lock file that this"
        " user made",
        advice=f"run the exporter as the user who owns {path.name}, or remove that file while no"
        " exporter is running",
    )


def _refusal(ledger: Path, holder: str, error: OSError) -> LedgerError:
    if error.errno in _UNLOCKABLE:
        return LedgerError(
            f"the file system of {ledger} does not support locks ({error.strerror})",
            advice="put the ledger on a local or block disk, not on NFS",
        )
    return LedgerError(
        f"the ledger {ledger} is in use by {holder or 'another process'}",
        advice="stop that one, or give each exporter a ledger of its own",
        kind=LedgerFailure.LOCKED,
    )
