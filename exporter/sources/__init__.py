"""What is polled: one module for each source; a listing becomes samples and usage.

session_clusters   those of one workspace
livy_sessions      the history of one gateway, read in short polls
listing            what both give, and how far they have come
discovery          which workspaces and gateways there are
inventory          what there is to poll, by settings and discovery
sample_cache       samples that are built again only when they change
failed_sessions    the last Livy sessions that failed
"""

from exporter.sources.discovery import Discovery, discover
from exporter.sources.failed_sessions import FailedSession, FailedSessions
from exporter.sources.inventory import Inventory, Selection, by_patterns
from exporter.sources.listing import PollResult, Progress
from exporter.sources.livy_sessions import MAX_SESSIONS, LivySessions, ScanTiming, SeriesLimits
from exporter.sources.sample_cache import SampleCache
from exporter.sources.session_clusters import SessionClusters

__all__ = [
    "MAX_SESSIONS",
    "Discovery",
    "FailedSession",
    "FailedSessions",
    "Inventory",
    "LivySessions",
    "PollResult",
    "Progress",
    "SampleCache",
    "ScanTiming",
    "Selection",
    "SeriesLimits",
    "SessionClusters",
    "by_patterns",
    "discover",
]
