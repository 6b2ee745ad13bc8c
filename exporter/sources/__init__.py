"""What is polled: one module for each source; a listing becomes samples and usage."""

from exporter.sources.directory import Directory, Selection, Wanted, by_patterns
from exporter.sources.discovery import Discovery, discover
from exporter.sources.listing import PollResult
from exporter.sources.livy_sessions import LivySessions, SeriesLimits
from exporter.sources.session_clusters import SessionClusters

__all__ = [
    "Directory",
    "Discovery",
    "LivySessions",
    "PollResult",
    "Selection",
    "SeriesLimits",
    "SessionClusters",
    "Wanted",
    "by_patterns",
    "discover",
]
