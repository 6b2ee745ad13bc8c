"""What is polled: one module for each source; a listing becomes samples and usage."""

from exporter.sources.directory import Directory, Selection, Wanted, by_patterns
from exporter.sources.discovery import Discovery, discover
from exporter.sources.listing import PollResult, Progress
from exporter.sources.livy_sessions import LivySessions, SeriesLimits, WalkTiming
from exporter.sources.session_clusters import SessionClusters

__all__ = [
    "Directory",
    "Discovery",
    "LivySessions",
    "PollResult",
    "Progress",
    "Selection",
    "SeriesLimits",
    "SessionClusters",
    "WalkTiming",
    "Wanted",
    "by_patterns",
    "discover",
]
