"""The composition root: builds everything once, and owns start and stop.

serve         `serve`, `demo` and `once`, from settings to what they return
check         the command `check`; `reconcile` the command of that name
plan          from settings to what is polled: pure
build         puts the parts together
web_app       metrics, health and status of these parts as a web application
clients       API clients; `outbound_http` proxies and certificates, `no_proxy` their exceptions
life          what starts in which order, and what stops how fast
threads       the event loop, with all the threads that it will ever need
notify        what systemd is told
progress      the bar on a terminal
demo_ledger   the temporary folder of a demo
"""

from exporter.app.build import Exporter, build
from exporter.app.check import Finding, check
from exporter.app.reconcile import Reconciliation, reconcile
from exporter.app.serve import DemoAccess, demo, once, serve

__all__ = [
    "DemoAccess",
    "Exporter",
    "Finding",
    "Reconciliation",
    "build",
    "check",
    "demo",
    "once",
    "reconcile",
    "serve",
]
