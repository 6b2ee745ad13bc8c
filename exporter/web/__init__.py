"""HTTP: the metrics, the health of the process, and a page for people."""

from exporter.web.access import Access, Guard
from exporter.web.server import Server, bind
from exporter.web.site import HEALTH_PATHS, Site, site
from exporter.web.status import Parts, Recorder, StatusSource, StatusView

__all__ = [
    "HEALTH_PATHS",
    "Access",
    "Guard",
    "Parts",
    "Recorder",
    "Server",
    "Site",
    "StatusSource",
    "StatusView",
    "bind",
    "site",
]
