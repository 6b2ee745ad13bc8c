"""Ledgers as older versions have left them."""

import sqlite3
from contextlib import closing
from pathlib import Path


def older_ledger(folder: Path, number: int) -> Path:
    """Return the path of a ledger as an exporter with tables of that version has left it."""
    path = folder / "old.db"
    with closing(sqlite3.connect(path)) as db:
        script = Path(__file__).parent / f"version_{number}.sql"
        db.executescript(script.read_text(encoding="utf-8"))
    return path
