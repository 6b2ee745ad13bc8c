"""The system tools that tests run, and what happens on a machine that lacks one."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

TOOLS = Path(__file__).parents[2] / ".tools"
"""Where `.ci/run` puts what Debian does not have."""


def find_tool(name: str, *folders: str) -> Path:
    """Find a system tool, or skip (fail if REQUIRE_REAL_TOOLS=1).

    It is looked for in PROMETHEUS_BIN_DIR, in PATH, where `.ci/run` puts some, and in `folders`.
    """
    places = [
        os.environ.get("PROMETHEUS_BIN_DIR", ""),
        os.environ.get("PATH", os.defpath),
        str(TOOLS),
        *folders,
    ]
    found = shutil.which(name, path=os.pathsep.join(filter(None, places)))
    if found is None:
        lacking(f"{name} is not installed; set PROMETHEUS_BIN_DIR or PATH (.ci/run installs it)")
    return Path(found)


def lacking(reason: str) -> NoReturn:
    """Skip a test that this machine lacks something for (fail if REQUIRE_REAL_TOOLS=1)."""
    if os.environ.get("REQUIRE_REAL_TOOLS") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
