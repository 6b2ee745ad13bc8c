"""Series that are kept as long as what they show stays the same."""

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from exporter.snapshot import Samples

T = TypeVar("T")


class KeptSeries(Generic[T]):
    """The series of single sessions: the same object for a session until it changes."""

    def __init__(self, build: Callable[[T], Samples]) -> None:
        """Make the series of a session by `build`, which depends on nothing else."""
        self._build = build
        self._kept: dict[str, tuple[T, Samples]] = {}

    def of(self, sessions: Mapping[str, T]) -> Iterator[Samples]:
        """Give a group for each of `sessions`, in their order, and forget all others."""
        self._kept = {key: self._entry(key, session) for key, session in sessions.items()}
        return (group for _, group in self._kept.values())

    @property
    def shown(self) -> tuple[T, ...]:
        """Give the sessions that have series now, in their order."""
        return tuple(session for session, _ in self._kept.values())

    def _entry(self, key: str, session: T) -> tuple[T, Samples]:
        before = self._kept.get(key)
        if before is not None and (before[0] is session or before[0] == session):
            return before
        return session, self._build(session)
