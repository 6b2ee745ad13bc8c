"""Which rows have to be read again, and which are settled. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from exporter.model import LivySession, Page
from exporter.sources.livy_sessions.history import Row, Watched


def presume_ended(page: Page[LivySession], before: float) -> Page[LivySession]:
    """Give a page on which sessions in an unknown state have ended if they did so long ago.

    Nothing else tells that such a session has ended. `before` is in wall-clock seconds.
    """
    if all(record.state_known for record in page.records):
        return page
    records = tuple(record.presumed_ended(before * 1000) for record in page.records)
    return replace(page, records=records)


@dataclass(frozen=True, slots=True)
class Watch:
    """Decides at one moment; `settle_after` is in seconds.

    `recently_ended` are the ids of the sessions that ended so lately that they still have
    series of their own.
    """

    settle_after: float
    now: float
    monotonic: float
    recently_ended: Collection[str]

    def first_sight(self, row: Row) -> Watched | None:
        """Judge a row that was not known; `None` where it needs no watching."""
        record = row.record
        if record is None or not record.has_ended:
            return self._judge(record, self.monotonic)
        # A record that tells no end time is as old as it can be.
        ended_ms = record.created_ms if record.ended_ms is None else record.ended_ms
        age = 0.0 if ended_ms is None else max(0.0, self.now - ended_ms / 1000)
        if age >= self.settle_after and record.session_id not in self.recently_ended:
            return None  # as nearly every row of a long history
        return self._judge(record, self.monotonic - age)

    def again(self, before: Watched | None, row: Row, *, is_changed: bool) -> Watched | None:
        """Judge a known row that was read again; `is_changed` where it was not watched."""
        if before is None:
            return self._judge(row.record, self.monotonic) if is_changed else None
        changed_at = before.changed_at if before.record == row.record else self.monotonic
        return self._judge(row.record, changed_at)

    def unread(self, before: Mapping[int, Watched]) -> dict[int, Watched]:
        """Give those of the watched rows that stay watched although they were not read."""
        return {
            digest: watched
            for digest, watched in before.items()
            if not watched.is_settled or self._has_series(watched.record)
        }

    def _judge(self, record: LivySession | None, changed_at: float) -> Watched | None:
        may_settle = record is None or record.has_ended
        is_settled = may_settle and self.monotonic - changed_at >= self.settle_after
        if is_settled and not self._has_series(record):
            return None
        return Watched(record, changed_at, is_settled)

    def _has_series(self, record: LivySession | None) -> bool:
        if record is None:
            return False
        return not record.has_ended or record.session_id in self.recently_ended
