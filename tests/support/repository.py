"""The repository that the tests belong to."""

import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ADDRESS: str = PYPROJECT["project"]["urls"]["Repository"]
"""Where the project lives: `https://github.com/OWNER/NAME`."""


def git_files(*arguments: str) -> list[Path]:
    """List files as git sees them, relative to the top."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", *arguments]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    names = [name for name in answer.stdout.split("\0") if name]
    return [Path(name) for name in names if (ROOT / name).is_file()]
