"""Short words for what tests of the ledger say all the time."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from exporter import catalog
from exporter.catalog import Metric
from exporter.ledger import GatewayKey, Ledger
from exporter.ledger.counting import SessionRow
from exporter.model import LivySession, SessionCluster, Usage
from tests.support import ledger_stores
from tests.support.harness import ManualClock

MEMORY_DISK = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where each commit costs no write to a disk, for tests that commit thousands of times."""

GATEWAY: GatewayKey = ("w-1", "lc-1")
QUEUE = "q"
USER = "ann"


def record(
    session_id: str = "s",
    cu: int | None = 0,
    *,
    created: int | None = 1_000_000,
    state: str = "running",
    queue: str = QUEUE,
    user: str = USER,
) -> LivySession:
    """Make a record that used `cu` nano-CU-hours, twice that in vcore- and thrice in MB-seconds."""
    usage = Usage() if cu is None else Usage(cu, 2 * cu, 3 * cu)
    return LivySession(
        session_id, state, queue=queue, proxy_user=user, created_ms=created, usage=usage
    )


def row(serial: int = 0, *, created: int | None = 1_000_000, **fields: Any) -> SessionRow:  # noqa: ANN401
    """Make a row of session "s" that used nothing."""
    made = SessionRow("s", serial, created, QUEUE, USER, 0, 0, 0, 0, "", None, None)
    return made._replace(**fields)


def cluster(
    session_cluster_id: str = "sc",
    state: str = "running",
    *,
    started: int | None = None,
    kind: str = "SQL",
    queue: str = QUEUE,
) -> SessionCluster:
    """Make a session cluster."""
    return SessionCluster(session_cluster_id, state, kind=kind, queue=queue, started_ms=started)


def memory(
    clock: ManualClock | None = None, *, hold: float = 0.0, users: int = 200, days: float = 400
) -> Ledger:
    """Open a new ledger, in memory where it is not on a server."""
    return opened(None, clock, hold=hold, users=users, days=days)


def opened(
    path: Path | None,
    clock: ManualClock | None = None,
    *,
    hold: float = 0.0,
    users: int = 200,
    days: float = 400,
    connect: Callable[..., Any] | None = None,
) -> Ledger:
    """Open a ledger in the store of the test, which closes it at the end of the test.

    `days` is how long sessions are remembered that are not listed.
    """
    store = ledger_stores.current()
    ledger = Ledger(
        store.new() if path is None else store.at(path),
        clock=clock or ManualClock(),
        birth_hold=hold,
        forget_after=days * 86400,
        max_proxy_users=users,
        connect=connect,
    )
    return store.note(ledger)


def listed(
    ledger: Ledger,
    *records: LivySession,
    complete: bool = True,
    unreadable: Collection[str] = (),
    gateway: GatewayKey = GATEWAY,
) -> None:
    """Let the ledger read a whole scan of a gateway, or a batch of one that is not finished."""
    scan = ledger.open_scan(gateway)
    if complete:
        scan.finish(records, unreadable=unreadable)
    else:
        scan.add(records)


def values(ledger: Ledger, metric: Metric = catalog.LIVY_CU_HOURS) -> dict[str, int]:
    """Return the exact values of a metric by its last label (or by gateway)."""
    return {
        key.labels[-1]: amount.actual
        for key, amount in ledger.state.counters.items()
        if key.metric is metric
    }


def shown(ledger: Ledger, metric: Metric = catalog.LIVY_CU_HOURS) -> dict[str, int]:
    """Return what the page may say of a metric, likewise."""
    return {
        key.labels[-1]: amount.published
        for key, amount in ledger.state.counters.items()
        if key.metric is metric
    }


def nonzero(of: Mapping[str, int]) -> dict[str, int]:
    """Return what is not 0."""
    return {name: value for name, value in of.items() if value}
