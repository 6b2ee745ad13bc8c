"""HTTP: the metrics, the health of the process, and a page for people."""

from exporter.web.server import Server, bind
from exporter.web.site import Site, site
from exporter.web.status import Parts, Recorder, StatusSource, StatusView

__all__ = [
    "Parts",
    "Recorder",
    "Server",
    "Site",
    "StatusSource",
    "StatusView",
    "bind",
    "site",
]
