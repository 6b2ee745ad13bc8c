"""The composition root: builds everything once, and owns start and stop."""

from exporter.app.build import Exporter, build
from exporter.app.check import Finding, check
from exporter.app.commands import DemoAccess, OncePage, demo, once, serve
from exporter.app.reconcile import Reconciliation, reconcile

__all__ = [
    "DemoAccess",
    "Exporter",
    "Finding",
    "OncePage",
    "Reconciliation",
    "build",
    "check",
    "demo",
    "once",
    "reconcile",
    "serve",
]
