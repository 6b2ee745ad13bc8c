"""The ledger in a schema of a PostgreSQL database: for pods without a disk, and for replicas.

database    reading and writing: one pipeline for a transaction, fenced by a random revision
connection  opening it, and a timeout for every wait
errors      what the errors of PostgreSQL mean, and what to do
statements  the ledger's statements in PostgreSQL's words
reader      reading the tables over a connection
schema      the tables, how an older version becomes this one, and whether it is a copy
lease       who owns the ledger: pure
lease_table the rows of the lease, over a connection of its own
keeper      renews the lease, or watches that of another process and takes it over
checking    whether a daemon could use the schema
"""

from exporter.ledger.postgres.checking import check
from exporter.ledger.postgres.database import PostgresDatabase, reading

__all__ = ["PostgresDatabase", "check", "reading"]
