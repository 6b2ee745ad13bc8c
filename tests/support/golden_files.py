"""Golden files: what the program says, whole. `make golden` writes them anew; read the diff."""

import os
import re
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "golden"

_FIXED = (
    (re.compile(r'\b(version|revision|python_version)="[^"]*"'), r'\1="-"'),
    (re.compile(r"^(emr_serverless_spark_exporter_ledger_size_bytes) .*"), r"\1 0"),
)
"""What differs from one release, Python or SQLite to the next."""


def assert_golden(name: str, text: str) -> None:
    """Compare with the golden file, or with `GOLDEN_UPDATE=1` write it."""
    path = FOLDER / name
    if os.environ.get("GOLDEN_UPDATE") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{name} differs; see `make golden`"


def stable(page: str) -> str:
    """Return a page without what differs from run to run."""
    # By "\n" alone: label values may hold other characters that end lines for Python.
    lines = page.split("\n")
    for pattern, replacement in _FIXED:
        lines = [pattern.sub(replacement, line) for line in lines]
    return "\n".join(lines)
