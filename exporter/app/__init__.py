"""The composition root: builds everything once, and owns start and stop."""

from exporter.app.build import Exporter, build
from exporter.app.check import Finding, check
from exporter.app.commands import demo, once, serve
from exporter.app.ledger_commands import back_up_ledger, forget_gateway
from exporter.app.reconcile import reconcile

__all__ = [
    "Exporter",
    "Finding",
    "back_up_ledger",
    "build",
    "check",
    "demo",
    "forget_gateway",
    "once",
    "reconcile",
    "serve",
]
