"""When things happen: intervals, deadlines, and the one failure boundary of polls.

schedule         the timetable on APScheduler: polls, discoveries, verifications, a tick
target_registry  which targets and scopes there are now, by the inventory of the sources
polling          one poll, from its start to the published snapshot
discovered       the log of what is polled, and of each change of it
boundary         what goes wrong in a poll or a discovery becomes a failure with a reason
ledger_samples   the ledger's totals as samples
lateness         whether polls begin when they are due
health           whether polling goes on, and whether it does its work: pure
"""

from exporter.poller.health import (
    problems_of_health,
    problems_of_lease,
    problems_of_looks,
    problems_of_readiness,
    summary,
)
from exporter.poller.ledger_samples import may_show
from exporter.poller.polling import Polling, PollSource, Timing
from exporter.poller.schedule import Schedule
from exporter.poller.target_registry import PollJob, TargetRegistry

__all__ = [
    "PollJob",
    "PollSource",
    "Polling",
    "Schedule",
    "TargetRegistry",
    "Timing",
    "may_show",
    "problems_of_health",
    "problems_of_lease",
    "problems_of_looks",
    "problems_of_readiness",
    "summary",
]
