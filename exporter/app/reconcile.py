"""The command `reconcile`: compares the ledger with the full history."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from exporter import ledger
from exporter.api import PAGE_SIZE, Client, scan_pages
from exporter.app import threads
from exporter.app.clients import ClientFactory, open_clients
from exporter.app.plan import Plan, ledger_location, plan
from exporter.app.progress import Scans, progress_on
from exporter.errors import LedgerError, PollError
from exporter.ledger import Balance, GatewayKey, Postgres, counted_gateways, read_gateway
from exporter.model import LivySession, Page, Scope, Source, Target, Usage
from exporter.settings import Settings
from exporter.snapshot import ScanProgress
from exporter.sources import MAX_SESSIONS, discover


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What the ledger and the history of one gateway come to."""

    gateway: GatewayKey
    balances: Sequence[Balance] = ()
    """One for each queue."""
    remark: str = ""
    """Why there is no balance, where there is none."""
    is_readable: bool = True
    """Whether the history of the gateway could be read, if there is one."""
    is_found: bool = True
    """Whether there is such a gateway; the counters of one that is gone stay."""

    @property
    def is_good(self) -> bool:
        """Whether every CU-hour is accounted for."""
        return self.is_readable and all(balance.difference == 0 for balance in self.balances)


def reconcile(settings: Settings) -> Sequence[Reconciliation]:
    """Compare what the ledger holds of each gateway with all that the service lists of it.

    Raises `LedgerError`, also where neither has a gateway.
    """
    with progress_on(sys.stderr) as update:
        return threads.run(_reconcile(settings, update))


async def _reconcile(
    settings: Settings, update: Callable[[Scans], None]
) -> Sequence[Reconciliation]:
    planned, location = plan(settings), ledger_location(settings)
    async with open_clients(settings, planned.shards) as clients:
        targets = await discovered(planned, clients)
        found = [await _of_gateway(location, clients, target, update) for target in targets]
    listed = {reconciliation.gateway for reconciliation in found}
    for key in await asyncio.to_thread(counted_gateways, location):
        if key not in listed:
            record = await asyncio.to_thread(read_gateway, location, key)
            found.append(Reconciliation(key, ledger.balances(record, ()), is_found=False))
    if not found:
        raise LedgerError(
            "no Livy gateway was found, and the ledger holds none: nothing is compared",
            advice="use the settings of the daemon, ledger.path or ledger.url among them",
        )
    return found


async def discovered(planned: Plan, clients: ClientFactory) -> list[Target]:
    """Find the gateways that the settings do not name; a failure to do so is raised."""
    inventory, done = planned.inventory, set[Scope]()
    while open_scopes := [scope for scope in inventory.scopes if scope not in done]:
        for scope in open_scopes:
            await discover(scope, clients.client(scope), inventory)
        done.update(open_scopes)
    return [target for target in inventory.targets() if target.source is Source.LIVY_SESSIONS]


async def _of_gateway(
    location: Path | Postgres,
    clients: ClientFactory,
    target: Target,
    update: Callable[[Scans], None],
) -> Reconciliation:
    key = (target.workspace_id, target.livy_compute_id)
    # The ledger first: whatever the service reports after that is an advance.
    record = await asyncio.to_thread(read_gateway, location, key)
    if not record.has_contact:
        remark = "not counted yet: no complete listing has been committed"
        return Reconciliation(key, remark=remark)
    client = clients.client(target)
    try:
        sessions = await _listed(client, target, update)
    except PollError as error:
        remark = f"cannot be listed: {error.with_advice}"
        return Reconciliation(key, remark=remark, is_readable=False)
    return Reconciliation(key, ledger.balances(record, sessions))


async def _listed(
    client: Client, target: Target, update: Callable[[Scans], None]
) -> tuple[LivySession, ...]:
    numbers = count(1)

    async def fetch(number: int) -> Page[LivySession]:
        where = target.workspace_id, target.livy_compute_id
        page = await client.livy_sessions_page(*where, number)
        expected = page.total_count and -(-page.total_count // PAGE_SIZE)
        update({target: ScanProgress(next(numbers), expected)})
        return replace(page, records=tuple(map(_compared, page.records)))

    try:
        return await scan_pages(
            fetch,
            size=PAGE_SIZE,
            key=lambda session: (session.session_id, session.created_ms),
            max_rows=MAX_SESSIONS,
        )
    finally:
        update({})


def _compared(session: LivySession) -> LivySession:
    """Keep what is compared of a session: a long history is held as a whole."""
    return LivySession(
        session.session_id,
        session.state,
        queue=sys.intern(session.queue),
        created_ms=session.created_ms,
        usage=Usage(session.usage.nano_cu_hours),
    )
