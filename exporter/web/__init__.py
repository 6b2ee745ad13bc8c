"""HTTP: the metrics, the health of the process, and a page for people."""

from exporter.web.server import Server, bind
from exporter.web.site import Site, site

__all__ = ["Server", "Site", "bind", "site"]
