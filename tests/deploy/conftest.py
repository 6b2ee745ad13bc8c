"""What several tests of deployment need."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.charts import Helm


@pytest.fixture(scope="session")
def helm(real_tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Provide the real helm; all workers of a run share what it renders."""
    run = tmp_path_factory.getbasetemp()
    rendered = (run.parent if "PYTEST_XDIST_WORKER" in os.environ else run) / "rendered"
    rendered.mkdir(exist_ok=True)
    return Helm(real_tool("helm"), tmp_path_factory.mktemp("helm"), rendered)
