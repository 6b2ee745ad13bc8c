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
    """Name a ledger in PostgreSQL without what is only about how to connect."""
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


class Database(Reader, Protocol):
    """One database with one writer. Whatever goes wrong with it is a `LedgerError`."""

    is_patient: bool
    """Whether a failure that may pass is waited for when the process starts."""

    def ready(self) -> int:
        """Prepare for use, and return the number of the present term.

        In another term, what was read in an earlier one no longer holds: somebody else may have
        written since. Raises `LedgerError` where this process may not write.
        """

    def ownership(self) -> Ownership | None:
        """Return who owns the ledger; `None` where nobody else can."""

    is_rewound: bool
    """Whether commits may be lost that were shown in an earlier term."""

    def end_rewind(self) -> None:
        """Note, durably, that nothing is missed any more: until then later terms begin alike."""

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
        """Return how much room the database takes."""

    def start(self) -> None:
        """Do in a thread of its own, from now on, what must not wait for another use."""

    def stop(self) -> None:
        """Begin to end the use, also while another thread waits for the database."""

    def tend(self) -> None:
        """Do that once, if it is time to."""

    def close(self) -> None:
        """End the use; other processes may write from now on."""
