"""Reading, copying and ending parts of a ledger without being the daemon that writes it."""

import os
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import mkstemp

from exporter import catalog
from exporter.clock import Clock
from exporter.errors import LedgerError
from exporter.ledger import sqlite
from exporter.ledger.balance import GatewayRecord
from exporter.ledger.counters import delete_counters, read_counters
from exporter.ledger.counting import GatewayKey
from exporter.ledger.database import Database, Reader
from exporter.ledger.gateways import FIND_GATEWAY, FIND_REMAINDERS
from exporter.ledger.location import Postgres, check_postgres, open_for_command, reading
from exporter.ledger.session_table import SessionRows

_FIND_COUNTED = """SELECT gateway_id, workspace_id FROM main.gateway WHERE livy_compute_id = ?
    AND (contacted = 1 OR gateway_id IN (SELECT gateway_id FROM main.session))"""
_COUNTED = """SELECT workspace_id, livy_compute_id FROM main.gateway WHERE contacted = 1
    ORDER BY workspace_id, livy_compute_id"""
_RESET = """UPDATE main.gateway SET contacted = 0, dropped_ms = NULL, listing_order = ''
    WHERE gateway_id = ?"""
_FORGOTTEN = "SELECT session_id, created_ms FROM main.forgotten WHERE gateway_id = ?"
_COUNT = "SELECT count(*) FROM main.session"
_BY_QUEUE = frozenset((catalog.LIVY_CU_HOURS, catalog.LIVY_OVERCOUNTED))


def read_gateway(location: Path | Postgres, gateway: GatewayKey) -> GatewayRecord:
    """Read what a ledger holds of a gateway; a daemon may write it meanwhile.

    Raises `LedgerError` if there is no ledger, or if it cannot be read.
    """
    with reading(location) as db:
        found = db.query(FIND_GATEWAY, gateway)
        if not found:
            return GatewayRecord(gateway)
        ((gateway_id, contacted, dropped_ms),) = found
        counters = {
            key: value
            for key, value in read_counters(db).items()
            if key.metric in _BY_QUEUE and key.group == gateway
        }
        return GatewayRecord(
            gateway,
            has_contact=bool(contacted),
            dropped_ms=dropped_ms,
            forgotten=_forgotten(db, gateway_id),
            rows=tuple(SessionRows(db, gateway_id).all()),
            remainder={
                queue: int(text) for queue, text in db.query(FIND_REMAINDERS, (gateway_id,))
            },
            counters=counters,
        )


def counted_gateways(location: Path | Postgres) -> Sequence[GatewayKey]:
    """Return the gateways whose usage a ledger counts. Raises `LedgerError`."""
    with reading(location) as db:
        return [(workspace_id, compute_id) for workspace_id, compute_id in db.query(_COUNTED)]


def _forgotten(db: Reader, gateway_id: int) -> Mapping[str, Sequence[int]]:
    forgotten: defaultdict[str, list[int]] = defaultdict(list)
    for session_id, created_ms in db.query(_FORGOTTEN, (gateway_id,)):
        forgotten[session_id].append(created_ms)
    return forgotten


def check_ledger(location: Path | Postgres, clock: Clock) -> str:
    """Describe what a ledger holds, `""` if it is a new file; a daemon may write it meanwhile.

    Raises `LedgerError` if a daemon could not use it.
    """
    if isinstance(location, Postgres):
        return check_postgres(location, clock)
    sqlite.check_access(location)
    if not location.exists() or (location.is_file() and not location.stat().st_size):
        return ""
    with reading(location, is_current=False) as db:
        return f"{db.query(_COUNT)[0][0]} sessions remembered"


def back_up(path: Path | Postgres, copy: Path) -> None:
    """Write a consistent copy of the ledger at `path`; a daemon may write it meanwhile.

    `copy` appears whole or not at all, and replaces nothing but an older copy. Raises
    `LedgerError`.
    """
    if isinstance(path, Postgres):
        raise LedgerError(
            f"this command copies only ledger files, not {path}",
            advice=f"use pg_dump --schema={path.schema}",
        )
    with sqlite.reading(path, is_current=False) as ledger:
        try:
            _check_target(path, copy)
            handle, name = mkstemp(dir=copy.parent, prefix=f"{copy.name}.", suffix=".part")
            os.close(handle)
            unfinished = Path(name)
            try:
                with sqlite.translated(copy), closing(sqlite3.connect(unfinished)) as target:
                    ledger.db.backup(target)
                    # The copy is one file, whatever is read from it first.
                    target.execute("PRAGMA journal_mode = DELETE")
                    sqlite.mark_copy(target)
                    target.commit()
                unfinished.replace(copy)
            finally:
                unfinished.unlink(missing_ok=True)
        except OSError as error:
            raise LedgerError(
                f"the copy {copy} cannot be written: {error.strerror}",
                advice="choose a path in a folder that this user may write",
            ) from error


_BESIDE = ("-wal", "-shm", "-journal", ".lock")


def _check_target(path: Path, copy: Path) -> None:
    """Raise `LedgerError` if a copy would overwrite a ledger, its files, or a foreign file."""
    ledger, target = os.path.realpath(path), os.path.realpath(copy)
    is_own = target in {ledger, *(ledger + suffix for suffix in _BESIDE)}
    if is_own or (copy.exists() and copy.samefile(path)):
        what = "is the ledger itself, or a file that belongs to it"
    elif any(os.path.lexists(target + suffix) for suffix in _BESIDE):
        what = "is a ledger that an exporter uses"
    elif copy.exists() and not _is_replaceable(copy):
        what = "exists and is not a copy of a ledger"
    else:
        return
    raise LedgerError(
        f"{copy} {what}: it is not overwritten", advice="choose another path for the copy"
    )


def _is_replaceable(copy: Path) -> bool:
    """Whether a file is empty, or a ledger by the marks in its header."""
    if not copy.is_file():
        return False
    with copy.open("rb") as file:
        header = file.read(100)
    mark = sqlite.APPLICATION_ID.to_bytes(4)
    return not header or (header.startswith(b"SQLite format 3\0") and header[68:72] == mark)


def forget_gateway(
    location: Path | Postgres, livy_compute_id: str, clock: Clock
) -> list[GatewayKey]:
    """End the counters of a gateway that is gone; return the gateways that were forgotten.

    Raises `LedgerError`, also if a daemon has the ledger open.
    """
    if isinstance(location, Path):
        sqlite.require(location)
    with (
        closing(open_for_command(location, clock)) as database,
        database.translated(),
        database.transaction(),
    ):
        return _forget(database, livy_compute_id)


def _forget(db: Database, livy_compute_id: str) -> list[GatewayKey]:
    found = db.query(_FIND_COUNTED, (livy_compute_id,))
    gateways = [(workspace_id, livy_compute_id) for _, workspace_id in found]
    is_ended = [key for key in read_counters(db) if key.group in gateways]
    for gateway_id, _ in found:
        for table in ("session", "remainder", "forgotten", "listing_place"):
            db.execute(f"DELETE FROM main.{table} WHERE gateway_id = ?", (gateway_id,))  # noqa: S608
        # The gateway itself stays known: should it still be listed, it is not a new one.
        db.execute(_RESET, (gateway_id,))
    delete_counters(db, is_ended)
    return gateways
