"""What is polled: one module for each source; a listing becomes samples and usage."""

from exporter.sources.discovery import Discovery, discover
from exporter.sources.failed_sessions import FailedSession, FailedSessions
from exporter.sources.inventory import Inventory, Selection, Wanted, by_patterns
from exporter.sources.listing import PollResult, Progress
from exporter.sources.livy_sessions import LivySessions, ScanTiming, SeriesLimits
from exporter.sources.sample_cache import SampleCache
from exporter.sources.session_clusters import SessionClusters

__all__ = [
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
    "Wanted",
    "by_patterns",
    "discover",
]
