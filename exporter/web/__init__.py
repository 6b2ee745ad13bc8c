"""HTTP: the metrics, the health of the process, and a page for people."""

from exporter.web.access import ReloadingWebConfig
from exporter.web.app import build_app
from exporter.web.http import Server, bind
from exporter.web.status import Parts, Recorder, StatusSource, StatusView

__all__ = [
    "Parts",
    "Recorder",
    "ReloadingWebConfig",
    "Server",
    "StatusSource",
    "StatusView",
    "bind",
    "build_app",
]
