"""The Livy sessions that failed last, kept in memory when the listing has long dropped them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from exporter.model import LivySession, Target

MAX_FAILED: Final = 50
"""How many sessions are kept, of all gateways together."""


@dataclass(frozen=True, slots=True)
class FailedSession:
    """A session that ended in error; `seen_at` is when a poll first saw that."""

    target: Target
    session: LivySession
    seen_at: float

    @property
    def failed_at(self) -> float:
        """The end that the API gives, or else `seen_at`, in seconds since 1970-01-01 UTC."""
        ended_ms = self.session.ended_ms
        return self.seen_at if ended_ms is None else ended_ms / 1000


class FailedSessions:
    """Keeps the sessions that failed last. For the thread that polls."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Target, str, int | None], FailedSession] = {}

    @property
    def latest(self) -> Sequence[FailedSession]:
        """Those that are kept, the latest first."""
        return sorted(self._kept.values(), key=lambda failed: -failed.failed_at)

    def note(self, target: Target, session: LivySession, now: float) -> None:
        """Keep a session that has failed; what is known of it already is brought up to date."""
        key = (target, session.session_id, session.created_ms)
        known = self._kept.get(key)
        self._kept[key] = FailedSession(target, session, known.seen_at if known else now)
        if len(self._kept) > MAX_FAILED:
            del self._kept[min(self._kept, key=lambda kept: self._kept[kept].failed_at)]
