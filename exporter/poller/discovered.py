"""The log of what discovery finds: how much is polled, and each change of it."""

from collections.abc import Iterable
from typing import Final

import structlog

from exporter.model import Target

_log = structlog.get_logger(__name__)

DISCOVERED = "discovered"

_MOST_NAMES: Final = 10
"""In one line of the log."""


class DiscoveryLog:
    """Logs what is polled, when everything was discovered for the first time and at each change."""

    def __init__(self) -> None:
        self._known: frozenset[str] | None = None

    def note(self, targets: Iterable[Target]) -> None:
        """Log how many workspaces and gateways there are, and which are new or gone."""
        found = frozenset(name for target in targets for name in _names(target))
        if found == self._known:
            return
        before, self._known = self._known, found
        changes = {}
        if before is not None:
            changes = {"added": found - before, "removed": before - found}
        gateways = sum(name.startswith("gateway") for name in found)
        _log.info(
            DISCOVERED,
            workspaces=len(found) - gateways,
            gateways=gateways,
            **{change: _listed(names) for change, names in changes.items() if names},
        )


def _names(target: Target) -> Iterable[str]:
    yield f"workspace {target.workspace_id}"
    if target.livy_compute_id:
        yield f"gateway {target.workspace_id}/{target.livy_compute_id}"


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    more = len(shown) - _MOST_NAMES
    return ", ".join(shown[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
