"""The ledger in a file of SQLite: the default.

database    opening, checking, migrating, reading and writing the file
schema      the tables, and the steps from older ones to them
errors      what the errors of SQLite mean, and what to do
integrity   whether the values in a file are valid
lock        one writing process for each file
"""

from exporter.ledger.sqlite.database import SqliteDatabase, reading, require
from exporter.ledger.sqlite.errors import translated
from exporter.ledger.sqlite.lock import Lock, check_access
from exporter.ledger.sqlite.schema import APPLICATION_ID, mark_copy

__all__ = [
    "APPLICATION_ID",
    "Lock",
    "SqliteDatabase",
    "check_access",
    "mark_copy",
    "reading",
    "require",
    "translated",
]
