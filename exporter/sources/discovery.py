"""Finding workspaces and gateways. Only discovery calls these two actions."""

from functools import partial

from exporter.api import Client, scan_tokens
from exporter.ledger import Ledger
from exporter.model import Page, Scope, Workspace
from exporter.sources.inventory import Inventory
from exporter.sources.listing import DisappearanceGuard, Progress


class Discovery:
    """Reads one scope and takes what it lists into the inventory."""

    def __init__(self, scope: Scope, client: Client, inventory: Inventory, ledger: Ledger) -> None:
        self.scope = scope
        self._client = client
        self._inventory = inventory
        self._ledger = ledger
        self._guard = DisappearanceGuard(partial(ledger.run, ledger.listed_count, scope))

    async def run(self, progress: Progress) -> None:
        """Read everything there is; the inventory changes only if that succeeds.

        Raises `PollError`.
        """
        if self.scope.workspace_id:
            await self._find_gateways(progress)
            return
        workspaces = await list_workspaces(self._client, progress)
        await self._guard.check(len(workspaces))
        self._inventory.take_workspaces(self.scope, workspaces)
        await self._ledger.run(self._ledger.record_workspaces, self.scope, len(workspaces))

    async def _find_gateways(self, progress: Progress) -> None:
        workspace_id, term = self.scope.workspace_id, self._ledger.term
        gateways = await self._client.gateways(workspace_id, on_queued=progress)
        is_confirmed = await self._guard.check(len(gateways))
        # First into the ledger: that a gateway was not there before, and so counts from 0,
        # must be known before its first listing is.
        await self._ledger.run(
            self._ledger.record_gateways,
            workspace_id,
            gateways,
            is_confirmed=is_confirmed,
            term=term,
        )
        self._inventory.take_gateways(self.scope, gateways)


async def discover(scope: Scope, client: Client, inventory: Inventory) -> int:
    """Read one scope into `inventory`, for a command that runs beside the daemon.

    Return how many workspaces, or gateways, are listed. Raises `PollError`.
    """
    if scope.workspace_id:
        gateways = await client.gateways(scope.workspace_id)
        inventory.take_gateways(scope, gateways)
        return len(gateways)
    workspaces = await list_workspaces(client, lambda *_: None)
    inventory.take_workspaces(scope, workspaces)
    return len(workspaces)


async def list_workspaces(client: Client, progress: Progress) -> tuple[Workspace, ...]:
    """Read the workspaces that the credential may list. Raises `PollError`."""

    async def fetch(token: str) -> Page[Workspace]:
        page = await client.workspaces_page(token, on_queued=progress)
        progress()
        return page

    return await scan_tokens(fetch, key=lambda workspace: workspace.workspace_id)
