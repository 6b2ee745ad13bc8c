"""The commands `ledger backup` and `ledger forget`."""

import sys
from pathlib import Path

from exporter import ledger
from exporter.settings import Settings


def back_up_ledger(settings: Settings, copy: Path) -> int:
    """Write a consistent copy of the ledger, also beside a running daemon."""
    ledger.back_up(settings.ledger.path, copy)
    sys.stdout.write(f"copied {settings.ledger.path} to {copy}\n")
    return 0


def forget_gateway(settings: Settings, livy_compute_id: str) -> int:
    """End the counters of a gateway that is gone; 1 where the ledger does not know it."""
    forgotten = ledger.forget_gateway(settings.ledger.path, livy_compute_id)
    for workspace_id, _ in forgotten:
        sys.stdout.write(f"forgot gateway {livy_compute_id} of workspace {workspace_id}\n")
    if not forgotten:
        sys.stdout.write(f"the ledger knows no gateway {livy_compute_id}\n")
    return 0 if forgotten else 1
