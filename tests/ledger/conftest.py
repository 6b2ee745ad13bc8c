"""What the tests of the ledger have in common."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ledger_builders import MEMORY_DISK


@pytest.fixture
def memory_disk() -> Iterator[Path]:
    """Return a folder on which commits are cheap."""
    with tempfile.TemporaryDirectory(prefix="ledger-", dir=MEMORY_DISK) as folder:
        yield Path(folder)
