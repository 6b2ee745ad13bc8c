"""What the ledger needs of the database that keeps it: a file of SQLite, or PostgreSQL.

Statements are written once, in the SQL that both know. A table is named `main.session`, where
`main` stands for the schema; values are `?`; flags are 0 and 1.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from exporter.model import Ownership

Row = tuple[Any, ...]


def name_of(url: str, schema: str) -> str:
    """Return the name of a ledger in PostgreSQL, without the parameters of the connection."""
    return f"{url.partition('?')[0]} (schema {schema})"


class Table(NamedTuple):
    """A table in which rows are replaced by their `key`; `values` are its other columns."""

    name: str
    key: tuple[str, ...]
    values: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in the order in which rows are written."""
        return self.key + self.values


class Reader(Protocol):
    """Reads what the ledger holds."""

    def query(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Return all rows that a statement finds."""

    def query_ids(
        self, statement: str, values: Sequence[object], ids: Sequence[str]
    ) -> Iterable[Row]:
        """Return the rows for many ids: `IN ({ids})` at the end of the statement names them."""


class Lease(Protocol):
    """The right to write, which processes that share a database have in turns."""

    def ownership(self) -> Ownership:
        """Return who owns the ledger."""

    def start(self) -> None:
        """Tend the lease in a thread of its own from now on."""

    def tend(self) -> None:
        """Renew the lease, or look at that of another process, if it is time to."""

    def close(self) -> None:
        """Release the lease, also while another thread waits for the database."""


class Database(Reader, Protocol):
    """One database with one writer. Whatever goes wrong with it is a `LedgerError`."""

    is_patient: bool
    """Whether the process starts, and waits, if the database fails in a way that may pass."""

    def ready(self) -> int:
        """Prepare for use, and return the number of the present term.

        What was read in an earlier term no longer holds: another process may have written since.
        Raises `LedgerError` if this process may not write.
        """

    revision: int
    """Another number after each commit, also after one whose success is found out later; 0 where
    none is: a commit to a file succeeds or fails at once."""

    @property
    def lease(self) -> Lease | None:
        """How processes take turns; `None` if no other process can own the database."""

    is_rewound: bool
    """Whether a fail-over may have lost commits that were published in an earlier term."""

    def end_rewind(self) -> None:
        """Note, durably, that what the lost commits counted is counted again."""

    def translated(self) -> AbstractContextManager[None]:
        """Turn the errors of the engine into `LedgerError` while the block runs."""

    def transaction(self) -> AbstractContextManager[None]:
        """Make what is written in the block durable at its end, or, if it fails, undo it all."""

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        """Write with one statement."""

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Write with a statement for each of `rows`."""

    def upsert(self, table: Table, rows: Iterable[Sequence[object]]) -> None:
        """Write rows in place of those with the same key, of which each comes once."""

    def size_bytes(self) -> int:
        """Return the size of the database."""

    def close(self) -> None:
        """Close the database; other processes may write from now on."""
