"""What the client tells of its own calls."""

from typing import Protocol

from exporter.errors import Reason


class Meter(Protocol):
    """What counts the calls of one account and region; every HTTP attempt counts."""

    def attempted(self, action: str) -> None:
        """Note that a request is about to be sent."""

    def failed(self, action: str, reason: Reason) -> None:
        """Note that an attempt has failed."""

    def retried(self, action: str) -> None:
        """Note that a failed attempt is about to be repeated."""

    def took(self, action: str, seconds: float) -> None:
        """Note how long an attempt lasted, failed or not."""


class NullMeter:
    """Counts nothing."""

    def attempted(self, action: str) -> None:
        """Do nothing."""

    def failed(self, action: str, reason: Reason) -> None:
        """Do nothing."""

    def retried(self, action: str) -> None:
        """Do nothing."""

    def took(self, action: str, seconds: float) -> None:
        """Do nothing."""
