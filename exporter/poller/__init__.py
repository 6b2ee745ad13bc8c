"""When things happen: the scheduler, the deadlines, and the one failure boundary of polls."""

from exporter.poller.health import problems_of_health, problems_of_readiness, summary
from exporter.poller.polling import Polling, PollSource, Timing
from exporter.poller.roster import PollJob, Roster
from exporter.poller.schedule import Schedule

__all__ = [
    "PollJob",
    "PollSource",
    "Polling",
    "Roster",
    "Schedule",
    "Timing",
    "problems_of_health",
    "problems_of_readiness",
    "summary",
]
