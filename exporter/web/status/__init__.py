"""The status: for people as a page, for programs as JSON.

routes            the page at `/` and `/api/v1/status`; both render a `StatusView`
view              that, as frozen values; `builder` makes it from the other parts
  verdict         what is wrong, since when, and what to do
  targets_view    polls and discoveries
  sessions_view   session clusters in error, Livy sessions
  ledger_view     CU-hours by queue and user, the near past, the ledger itself
  telemetry_view  requests and polls
recorder          what has happened since the start, in memory; `chart` draws it
display_names     names in the place of ids
formatting        numbers and times, as people write them
"""

from exporter.web.status.builder import StatusBuilder
from exporter.web.status.recorder import Recorder
from exporter.web.status.routes import StatusPages
from exporter.web.status.view import StatusView

__all__ = ["Recorder", "StatusBuilder", "StatusPages", "StatusView"]
