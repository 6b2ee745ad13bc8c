"""Samples that are built again only when what they show has changed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from exporter.snapshot import Samples

T = TypeVar("T")


class SampleCache(Generic[T]):
    """The samples of single sessions or clusters: the same object until the record changes."""

    def __init__(self, build: Callable[[T], Samples]) -> None:
        """`build` makes the samples of a record, which depend on nothing else."""
        self._build = build
        self._entries: dict[str, tuple[T, Samples]] = {}

    def samples_of(self, records: Mapping[str, T]) -> Iterator[Samples]:
        """Return a group of samples for each record, in their order, and drop all others."""
        self._entries = {key: self._entry(key, record) for key, record in records.items()}
        return (samples for _, samples in self._entries.values())

    @property
    def shown(self) -> tuple[T, ...]:
        """The records that have samples now, in their order."""
        return tuple(record for record, _ in self._entries.values())

    def _entry(self, key: str, record: T) -> tuple[T, Samples]:
        before = self._entries.get(key)
        if before is not None and (before[0] is record or before[0] == record):
            return before
        return record, self._build(record)
