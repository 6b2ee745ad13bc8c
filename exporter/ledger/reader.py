"""Reading, copying and ending parts of a ledger without being the daemon that writes it."""

import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from exporter import catalog
from exporter.errors import LedgerError
from exporter.ledger.amounts import delete_amounts, read_amounts
from exporter.ledger.file import LedgerFile, check_owner, translated
from exporter.ledger.gateways import GatewayKey
from exporter.ledger.reconcile import GatewayRecord
from exporter.ledger.sessions import Sessions

_FIND = """SELECT gateway_id, contacted, dropped_ms FROM gateway
    WHERE workspace_id = ? AND livy_compute_id = ?"""
_FIND_COUNTED = """SELECT gateway_id, workspace_id FROM gateway WHERE livy_compute_id = ?
    AND (contacted OR gateway_id IN (SELECT gateway_id FROM session))"""
_RESET = "UPDATE gateway SET contacted = 0, dropped_ms = NULL WHERE gateway_id = ?"
_REMAINDER = "SELECT queue, nano_cu_hours FROM remainder WHERE gateway_id = ?"
_FORGOTTEN = "SELECT session_id, created_ms FROM forgotten WHERE gateway_id = ?"
_BY_QUEUE = frozenset((catalog.LIVY_CU_HOURS, catalog.LIVY_OVERCOUNTED))


def read_gateway(path: Path, gateway: GatewayKey) -> GatewayRecord:
    """Read what the ledger at `path` holds of a gateway; a daemon may write it meanwhile.

    Raises `LedgerError` where there is no ledger, or none that can be read.
    """
    with _reading(path) as db:
        found = db.execute(_FIND, gateway).fetchone()
        if found is None:
            return GatewayRecord(gateway)
        gateway_id, contacted, dropped_ms = found
        amounts = {
            key: amount
            for key, amount in read_amounts(db).items()
            if key.metric in _BY_QUEUE and key.gateway == gateway
        }
        return GatewayRecord(
            gateway,
            has_contact=bool(contacted),
            dropped_ms=dropped_ms,
            forgotten=_forgotten(db, gateway_id),
            rows=tuple(Sessions(db, gateway_id).all()),
            remainder={queue: int(text) for queue, text in db.execute(_REMAINDER, (gateway_id,))},
            amounts=amounts,
        )


def _forgotten(db: sqlite3.Connection, gateway_id: int) -> Mapping[str, Sequence[int]]:
    """Return the create times of forgotten sessions by id."""
    forgotten: defaultdict[str, list[int]] = defaultdict(list)
    for session_id, created_ms in db.execute(_FORGOTTEN, (gateway_id,)):
        forgotten[session_id].append(created_ms)
    return forgotten


def back_up(path: Path, copy: Path) -> None:
    """Write a consistent copy of the ledger at `path`; a daemon may write it meanwhile.

    `copy` appears whole or not at all. Raises `LedgerError`.
    """
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}.part")
    with _reading(path) as db:
        try:
            with translated(copy), closing(sqlite3.connect(unfinished)) as target:
                db.backup(target)
                # The copy is one file, whatever is read from it first.
                target.execute("PRAGMA journal_mode = DELETE")
            unfinished.replace(copy)
        except OSError as error:
            raise LedgerError(
                f"the copy {copy} cannot be written: {error.strerror}",
                advice="choose a path in a folder that this user may write",
            ) from error
        finally:
            unfinished.unlink(missing_ok=True)


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
        for table in ("session", "remainder", "forgotten"):
            db.execute(f"DELETE FROM {table} WHERE gateway_id = ?", (gateway_id,))  # noqa: S608
        # The gateway itself stays known: should it still be listed, it is not a new one.
        db.execute(_RESET, (gateway_id,))
    is_ended = [key for key in read_amounts(db) if key.gateway in gateways]
    delete_amounts(db, is_ended)
    db.execute("COMMIT")
    return gateways


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the ledger read-only, at one instant."""
    _require(path)
    with translated(path), closing(_connect(path)) as db:
        check_owner(db, path)
        db.execute("BEGIN")
        yield db


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _require(path: Path) -> None:
    if not path.is_file():
        raise LedgerError(
            f"there is no ledger {path}", advice="set ledger.path to the file of the daemon"
        )
