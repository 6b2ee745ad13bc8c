"""The composition root: builds everything once, and owns start and stop."""

from exporter.app.build import Exporter, build
from exporter.app.commands import demo, once, serve

__all__ = ["Exporter", "build", "demo", "once", "serve"]
