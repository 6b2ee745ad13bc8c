"""Reading, copying and ending parts of a ledger without being the daemon that writes it."""

import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkstemp

from exporter import catalog
from exporter.errors import LedgerError
from exporter.ledger.counters import delete_counters, read_counters
from exporter.ledger.counting import GatewayKey
from exporter.ledger.file import LedgerFile, check_health, check_owner, is_up_to_date, translated
from exporter.ledger.gateways import FIND_GATEWAY
from exporter.ledger.reconcile import GatewayRecord
from exporter.ledger.schema import APPLICATION_ID
from exporter.ledger.session_table import SessionTable

_FIND_COUNTED = """SELECT gateway_id, workspace_id FROM gateway WHERE livy_compute_id = ?
    AND (contacted OR gateway_id IN (SELECT gateway_id FROM session))"""
_RESET = """UPDATE gateway SET contacted = 0, dropped_ms = NULL, listing_order = ''
    WHERE gateway_id = ?"""
_REMAINDER = "SELECT queue, nano_cu_hours FROM remainder WHERE gateway_id = ?"
_FORGOTTEN = "SELECT session_id, created_ms FROM forgotten WHERE gateway_id = ?"
_BY_QUEUE = frozenset((catalog.LIVY_CU_HOURS, catalog.LIVY_OVERCOUNTED))


def read_gateway(path: Path, gateway: GatewayKey) -> GatewayRecord:
    """Read what the ledger at `path` holds of a gateway; a daemon may write it meanwhile.

    Raises `LedgerError` where there is no ledger, or none that can be read.
    """
    with _reading(path) as db:
        if not is_up_to_date(db):
            raise LedgerError(
                f"{path} was written by an older version of this exporter",
                advice="use that version, or start the daemon of this one first",
            )
        found = db.execute(FIND_GATEWAY, gateway).fetchone()
        if found is None:
            return GatewayRecord(gateway)
        gateway_id, contacted, dropped_ms = found
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
            rows=tuple(SessionTable(db, gateway_id).all()),
            remainder={queue: int(text) for queue, text in db.execute(_REMAINDER, (gateway_id,))},
            counters=counters,
        )


def _forgotten(db: sqlite3.Connection, gateway_id: int) -> Mapping[str, Sequence[int]]:
    """Return the create times of forgotten sessions by id."""
    forgotten: defaultdict[str, list[int]] = defaultdict(list)
    for session_id, created_ms in db.execute(_FORGOTTEN, (gateway_id,)):
        forgotten[session_id].append(created_ms)
    return forgotten


def check_ledger(path: Path) -> int:
    """Return how many sessions the ledger at `path` remembers; a daemon may write it meanwhile.

    Raises `LedgerError` where a daemon could not use it.
    """
    with _reading(path) as db:
        count: int = db.execute("SELECT count(*) FROM session").fetchone()[0]
    return count


def back_up(path: Path, copy: Path) -> None:
    """Write a consistent copy of the ledger at `path`; a daemon may write it meanwhile.

    `copy` appears whole or not at all, and replaces nothing but an older copy. Raises
    `LedgerError`.
    """
    with _reading(path) as db:
        _check_target(path, copy)
        try:
            handle, name = mkstemp(dir=copy.parent, prefix=f"{copy.name}.", suffix=".part")
            os.close(handle)
            unfinished = Path(name)
            try:
                with translated(copy), closing(sqlite3.connect(unfinished)) as target:
                    db.backup(target)
                    # The copy is one file, whatever is read from it first.
                    target.execute("PRAGMA journal_mode = DELETE")
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
    """Refuse to write a copy over the ledger, over what belongs to one, or over a foreign file."""
    ledger, target = os.path.realpath(path), os.path.realpath(copy)
    is_own = target in {ledger, *(ledger + suffix for suffix in _BESIDE)}
    if is_own or (copy.exists() and copy.samefile(path)):
        what = "is the ledger itself, or a file that belongs to it"
    elif any(os.path.lexists(target + suffix) for suffix in _BESIDE):
        what = "is a ledger that an exporter uses"
    elif copy.exists() and not _is_replaceable(copy):
        what = "is there already, and is no copy of a ledger"
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
    mark = APPLICATION_ID.to_bytes(4)
    return not header or (header.startswith(b"SQLite format 3\0") and header[68:72] == mark)


def forget_gateway(path: Path, livy_compute_id: str) -> list[GatewayKey]:
    """End the counters of a gateway that is gone; give the gateways that were forgotten.

    Raises `LedgerError`, also where a daemon has the ledger open.
    """
    _require(path)
    file = LedgerFile(path, created_at=0.0)
    try:
        with translated(path):
            return _forget(file.db, livy_compute_id)
    finally:
        file.close()


def _forget(db: sqlite3.Connection, livy_compute_id: str) -> list[GatewayKey]:
    db.execute("BEGIN IMMEDIATE")
    found = db.execute(_FIND_COUNTED, (livy_compute_id,)).fetchall()
    gateways = [(workspace_id, livy_compute_id) for _, workspace_id in found]
    for gateway_id, _ in found:
        for table in ("session", "remainder", "forgotten", "listing_place"):
            db.execute(f"DELETE FROM {table} WHERE gateway_id = ?", (gateway_id,))  # noqa: S608
        # The gateway itself stays known: should it still be listed, it is not a new one.
        db.execute(_RESET, (gateway_id,))
    is_ended = [key for key in read_counters(db) if key.group in gateways]
    delete_counters(db, is_ended)
    db.execute("COMMIT")
    return gateways


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the ledger read-only, at one instant."""
    _require(path)
    with translated(path), closing(_connect(path)) as db:
        if not check_owner(db, path):
            raise LedgerError(
                f"{path} is empty", advice="set ledger.path to the file that the daemon writes"
            )
        check_health(db, path)
        db.execute("BEGIN")
        yield db


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _require(path: Path) -> None:
    if not path.is_file():
        raise LedgerError(
            f"there is no ledger {path}", advice="set ledger.path to the file of the daemon"
        )
