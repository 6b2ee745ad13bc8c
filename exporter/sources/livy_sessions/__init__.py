"""The Livy sessions of one gateway: a history in which ended sessions stay."""

from exporter.sources.livy_sessions.source import LivySessions, SeriesLimits

__all__ = ["LivySessions", "SeriesLimits"]
