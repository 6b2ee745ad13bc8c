"""Where a demo keeps its ledger: in a temporary folder, which is gone when it ends."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from exporter.errors import LedgerError, UsageError
from exporter.ledger import Lock

_PREFIX: Final = "emr-exporter-demo-"
_NAME: Final = "ledger.db"


@contextmanager
def demo_ledger() -> Iterator[Path]:
    """Provide a path for the ledger, and remove its folder after the block.

    Raises `UsageError` where no temporary folder can be made.
    """
    try:
        _remove_left_behind(Path(tempfile.gettempdir()))
        folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
    except OSError as error:
        raise UsageError(
            f"the demo needs a folder for temporary files: {error.strerror};"
            " name one that can be written in TMPDIR"
        ) from error
    with folder as name:
        yield Path(name) / _NAME


def _remove_left_behind(folder: Path) -> None:
    """Remove the folders of killed demos of this user: their ledgers are not locked."""
    for ledger in folder.glob(f"{_PREFIX}*/{_NAME}"):
        with suppress(LedgerError, OSError):
            lock = Lock(ledger)
            try:
                shutil.rmtree(ledger.parent)
            finally:
                lock.release()
