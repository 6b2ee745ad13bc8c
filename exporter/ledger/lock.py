"""One writing process for each ledger: a lock beside the file, held as long as it is open.

It is a file of its own because closing any handle of the database would drop SQLite's locks.
The system releases the lock when the process ends, however it ends.
"""

import errno
import fcntl
import os
import platform
from contextlib import suppress
from pathlib import Path

from exporter.errors import LedgerError

_UNLOCKABLE = frozenset((errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS))


class Lock:
    """The right to write a ledger, for this process alone."""

    def __init__(self, ledger: Path) -> None:
        """Take the lock of `ledger`.

        Raises `LedgerError` that names the process that holds it, or says why there is none.
        """
        # A symbolic link must not lead around the lock.
        path = Path(os.path.realpath(ledger) + ".lock")
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LedgerError(
                f"the ledger {ledger} cannot be used: {path.name} cannot be written"
                f" ({error.strerror})",
                advice="let its folder be one that is there and that this user may write, or set"
                " ledger.path",
            ) from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._handle, 200).decode(errors="replace").strip()
            os.close(self._handle)
            raise _refusal(ledger, holder, error) from error
        # On a full disk the lock holds all the same, without the holder's name.
        with suppress(OSError):
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock up. The file stays: removing it could take another's lock away."""
        os.close(self._handle)


def _refusal(ledger: Path, holder: str, error: OSError) -> LedgerError:
    if error.errno in _UNLOCKABLE:
        return LedgerError(
            f"the file system of {ledger} has no locks ({error.strerror})",
            advice="put the ledger on a local or block disk, not on NFS",
        )
    return LedgerError(
        f"the ledger {ledger} is in use by {holder or 'another process'}",
        advice="stop that one, or give each exporter a ledger of its own",
        kind="locked",
    )
