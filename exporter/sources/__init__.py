"""What is polled: one module for each source; a listing becomes samples and usage."""

from exporter.sources.listing import PollResult
from exporter.sources.livy_sessions import LivySessions, SeriesLimits
from exporter.sources.session_clusters import SessionClusters

__all__ = ["LivySessions", "PollResult", "SeriesLimits", "SessionClusters"]
