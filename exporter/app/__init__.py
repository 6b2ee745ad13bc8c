"""The composition root: builds everything once, and owns start and stop."""

from exporter.app.build import Exporter, build
from exporter.app.commands import demo, once, serve
from exporter.app.ledger_commands import back_up_ledger, forget_gateway
from exporter.app.reconciling import run as reconcile

__all__ = [
    "Exporter",
    "back_up_ledger",
    "build",
    "demo",
    "forget_gateway",
    "once",
    "reconcile",
    "serve",
]
