"""What several tests of deployment need."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.charts import Helm


@pytest.fixture(scope="session")
def helm(real_tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Provide the real helm."""
    return Helm(real_tool("helm"), tmp_path_factory.mktemp("helm"))
