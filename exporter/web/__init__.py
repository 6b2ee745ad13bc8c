"""HTTP: the metrics, the health of the process, and a page for people.

app       the routes
metrics   the answer to a scrape
status    the status page, and the same as JSON
access    passwords, headers, TLS and rate limit, by the web configuration file
http      the server, and what bounds its clients
asgi      whether a client has disconnected
"""

from exporter.web.access import ReloadingWebConfig
from exporter.web.app import build_app
from exporter.web.http import Server, bind
from exporter.web.status import Recorder, StatusBuilder, StatusView

__all__ = [
    "Recorder",
    "ReloadingWebConfig",
    "Server",
    "StatusBuilder",
    "StatusView",
    "bind",
    "build_app",
]
