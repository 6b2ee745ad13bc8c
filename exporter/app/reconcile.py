"""The command `reconcile`: the ledger held against the full history."""

import asyncio
import sys
from collections.abc import Sequence
from functools import partial
from itertools import count

from exporter import ledger
from exporter.api import PAGE_SIZE, Client, NullMeter, walk_pages
from exporter.app import threads
from exporter.app.clients import Clients
from exporter.app.commands import vendor_credentials
from exporter.app.connections import open_http
from exporter.app.plan import Plan, plan
from exporter.app.progress import progress_on
from exporter.clock import SystemClock
from exporter.errors import PollError
from exporter.ledger import Balance, read_gateway
from exporter.model import NANO, Listing, LivySession, Scope, Source, Target
from exporter.poller import OnWalk
from exporter.settings import Settings
from exporter.snapshot import WalkProgress
from exporter.sources import discover


def reconcile(settings: Settings) -> int:
    """Print a balance for each gateway and queue; 1 where one does not fit or cannot be read."""
    with progress_on(sys.stderr) as on_walk:
        return threads.run(_run(settings, on_walk))


async def _run(settings: Settings, on_walk: OnWalk) -> int:
    planned, clock = plan(settings), SystemClock()
    async with open_http() as http:
        clients = Clients(
            settings.api,
            planned.places,
            clock=clock,
            http=http,
            credentials=vendor_credentials,
            patience=settings.poll.timeout,
        )
        gateways = await discovered(planned, clients)
        outcomes = [await _of_gateway(settings, clients, each, on_walk) for each in gateways]
    return 0 if all(outcomes) else 1


async def discovered(planned: Plan, clients: Clients) -> list[Target]:
    """Find the gateways that the settings do not name; a failure to do so is raised."""
    directory, done = planned.directory, set[Scope]()
    while open_scopes := [scope for scope in directory.scopes() if scope not in done]:
        for scope in open_scopes:
            client = clients.client(scope.account, scope.region_id, NullMeter())
            await discover(scope, client, directory)
        done.update(open_scopes)
    return [each for each in directory.targets() if each.source is Source.LIVY_SESSIONS]


async def _of_gateway(
    settings: Settings, clients: Clients, target: Target, on_walk: OnWalk
) -> bool:
    """Print the balances of one gateway; tell whether all of them fit."""
    key = (target.workspace_id, target.livy_compute_id)
    # The ledger first: whatever the service reports after that is an advance.
    record = await asyncio.to_thread(read_gateway, settings.ledger.path, key)
    sys.stdout.write(f"gateway {target.livy_compute_id} of workspace {target.workspace_id}\n")
    if not record.has_contact:
        sys.stdout.write("  not counted yet: no complete listing of it has been committed\n")
        return True
    client = clients.client(target.account, target.region_id, NullMeter())
    try:
        listing = await _listed(client, target, on_walk)
    except PollError as error:
        sys.stdout.write(f"  cannot be listed: {error}; {error.advice}\n")
        return False
    balances = ledger.reconcile(record, listing.records)
    sys.stdout.write(table(balances))
    return all(balance.difference == 0 for balance in balances)


async def _listed(client: Client, target: Target, on_walk: OnWalk) -> Listing[LivySession]:
    """Read the whole history of a gateway. Raises `PollError`."""
    numbers = count(1)
    try:
        return await walk_pages(
            partial(client.livy_sessions_page, target.workspace_id, target.livy_compute_id),
            size=PAGE_SIZE,
            key=lambda session: (session.session_id, session.created_ms),
            on_page=lambda _page, _number, expected: on_walk(
                target, WalkProgress(next(numbers), expected)
            ),
        )
    finally:
        on_walk(target, None)


_COLUMNS = (
    "queue",
    "exported",
    "+ held back",
    "+ advanced",
    "= listed",
    "+ overcounted",
    "+ no longer listed",
    "difference",
)


def table(balances: Sequence[Balance]) -> str:
    """Give the balances as a table, in CU-hours with all nine digits."""
    rows = [_COLUMNS, *((each.queue or '""', *_figures(each)) for each in balances)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = (
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "".join(f"  {line}\n" for line in lines)


def _figures(balance: Balance) -> tuple[str, ...]:
    return tuple(_cu_hours(nano) for nano in (*balance[1:], balance.difference))


def _cu_hours(nano: int) -> str:
    whole, rest = divmod(abs(nano), NANO)
    return f"{'-' if nano < 0 else ''}{whole}.{rest:09d}"
