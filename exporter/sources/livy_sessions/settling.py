"""Tells rows that have to be read again from those that have settled. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from exporter.model import LivySession, Page
from exporter.sources.livy_sessions.rows import Row


def presume_ended(page: Page[LivySession], before: float) -> Page[LivySession]:
    """Mark sessions in an unknown state as ended if their end time is before `before`.

    Such a session is otherwise not known to have ended. `before` is in wall-clock seconds.
    """
    if not any(record.strange_state for record in page.records):
        return page
    records = tuple(record.presumed_ended(before * 1000) for record in page.records)
    return replace(page, records=records)


@dataclass(frozen=True, slots=True)
class Watched:
    """A row that is kept as a record.

    `changed_at` is when it was last seen to change, in monotonic seconds. Once `is_settled`
    it is not read again, but may still have series of its own.
    """

    record: LivySession | None
    changed_at: float
    is_settled: bool


@dataclass(frozen=True, slots=True)
class SettlePolicy:
    """The judgement of rows at one moment; `settle_after` is in seconds.

    `recently_ended` are the ids of the sessions that ended so recently that they still have
    series of their own.
    """

    settle_after: float
    now: float
    monotonic: float
    recently_ended: Collection[str]

    def judge(self, before: Watched | None, row: Row) -> Watched | None:
        """Judge a row, watched `before` or not; return `None` if it needs no watching.

        One that was watched without a record, as after a restart, is judged by its first record.
        """
        record = row.record
        if before is not None and (before.record is not None or record is None):
            changed_at = before.changed_at if before.record == record else self.monotonic
        elif record is None or not record.has_ended:
            changed_at = self.monotonic
        else:
            # A record that tells no end time is as old as it can be.
            ended_ms = record.created_ms if record.ended_ms is None else record.ended_ms
            age = 0.0 if ended_ms is None else max(0.0, self.now - ended_ms / 1000)
            changed_at = self.monotonic - age
        may_settle = record is None or record.has_ended
        is_settled = may_settle and self.monotonic - changed_at >= self.settle_after
        if is_settled and not self._has_series(record):
            return None  # as nearly every row of a long history
        return Watched(record, changed_at, is_settled)

    def judge_all(self, rows: Iterable[Row], watched: dict[int, Watched]) -> None:
        """Judge rows that were read, and update `watched`."""
        for row in rows:
            after = self.judge(watched.pop(row.key, None), row)
            if after is not None:
                watched[row.key] = after

    def still_watched(self, known: Mapping[int, Watched]) -> dict[int, Watched]:
        """Return the watched rows that stay watched although they were not read."""
        return {
            key: watched
            for key, watched in known.items()
            if not watched.is_settled or self._has_series(watched.record)
        }

    def _has_series(self, record: LivySession | None) -> bool:
        if record is None:
            return False
        return not record.has_ended or record.session_id in self.recently_ended
