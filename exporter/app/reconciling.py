"""The command `reconcile`: the ledger held against the full history."""

import asyncio
import sys
from collections.abc import Sequence
from functools import partial

from exporter.api import PAGE_SIZE, NullMeter, walk_pages
from exporter.app.clients import Clients, open_http
from exporter.app.commands import vendor_credentials
from exporter.app.plan import PlannedTarget, plan
from exporter.clock import SystemClock
from exporter.errors import PollError
from exporter.ledger import Balance, read_gateway, reconcile
from exporter.model import NANO, Source
from exporter.settings import Settings


def run(settings: Settings) -> int:
    """Print a balance for each gateway and queue; 1 where one does not fit or cannot be read."""
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    gateways = [each for each in plan(settings) if each.target.source is Source.LIVY_SESSIONS]
    async with open_http() as http:
        clients = Clients(settings, SystemClock(), http, vendor_credentials)
        outcomes = [await _of_gateway(settings, clients, each) for each in gateways]
    return 0 if all(outcomes) else 1


async def _of_gateway(settings: Settings, clients: Clients, planned: PlannedTarget) -> bool:
    """Print the balances of one gateway; tell whether all of them fit."""
    target = planned.target
    key = (target.workspace_id, target.livy_compute_id)
    # The ledger first: whatever the service reports after that is an advance.
    record = await asyncio.to_thread(read_gateway, settings.ledger.path, key)
    sys.stdout.write(f"gateway {target.livy_compute_id} of workspace {target.workspace_id}\n")
    if not record.has_contact:
        sys.stdout.write("  not counted yet: no complete listing of it has been committed\n")
        return True
    client = clients.client(planned, NullMeter())
    try:
        listing = await walk_pages(
            partial(client.livy_sessions_page, *key),
            size=PAGE_SIZE,
            key=lambda session: (session.session_id, session.created_ms),
        )
    except PollError as error:
        sys.stdout.write(f"  cannot be listed: {error}; {error.advice}\n")
        return False
    balances = reconcile(record, listing.records)
    sys.stdout.write(table(balances))
    return all(balance.difference == 0 for balance in balances)


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
