"""The status: for people as a page, for programs as JSON."""

from exporter.web.status.recorder import Recorder
from exporter.web.status.routes import StatusPages
from exporter.web.status.source import Parts, StatusSource
from exporter.web.status.view import StatusView

__all__ = ["Parts", "Recorder", "StatusPages", "StatusSource", "StatusView"]
