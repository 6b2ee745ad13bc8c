"""What the counters have to be, by section 6 of the design and nothing else.

Shares no code with the ledger: it knows by itself which session is which, where the ledger has
to conclude it from ids and create times, and it adds up whole numbers in a dictionary.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from exporter.model import LivySession

Series = tuple[str, tuple[str, ...]]
"""Name, without the prefix, and label values."""

Uid = int
"""Which session it really is."""


@dataclass(frozen=True)
class Known:
    """What has to be remembered of a session."""

    session_id: str
    created: int | None = None
    queue: str = ""
    user: str = ""
    highest: tuple[int, int, int] = (0, 0, 0)
    latest: int = 0
    ended: str = ""
    left_at: float | None = None

    def _end(self, record: LivySession) -> str:
        if self.ended in {"terminated", "error"} or record.state not in {"terminated", "error"}:
            return self.ended
        return record.state

    def read(self, record: LivySession) -> "Known":
        """Take up one reading."""
        usage = record.usage
        now = (usage.nano_cu_hours, usage.vcore_seconds, usage.mb_seconds)
        high = [max(had, seen or 0) for had, seen in zip(self.highest, now, strict=True)]
        return replace(
            self,
            created=self.created if self.created is not None else record.created_ms,
            queue=self.queue or record.queue,
            user=self.user or record.proxy_user,
            highest=(high[0], high[1], high[2]),
            latest=self.latest if now[0] is None else now[0],
            ended=self._end(record),
            left_at=None,
        )


@dataclass
class GatewayOracle:
    """The true counters of one gateway. An operation gives a new oracle; this one stays."""

    labels: tuple[str, str]
    has_contact: bool = False
    sessions: dict[Uid, Known] = field(default_factory=dict)
    dropped: int | None = None
    totals: Counter[Series] = field(default_factory=Counter)
    ever: dict[Uid, int] = field(default_factory=dict)
    """The highest CU-hours that were ever read, of sessions that were counted."""
    forgotten: dict[Uid, int] = field(default_factory=dict)
    """The create times of sessions that were dropped."""

    def copy(self) -> "GatewayOracle":
        """Return one that can be changed."""
        return replace(
            self,
            sessions=dict(self.sessions),
            totals=Counter(self.totals),
            ever=dict(self.ever),
            forgotten=dict(self.forgotten),
        )

    def start_at_zero(self) -> "GatewayOracle":
        """Learn that the gateway is new."""
        after = self.copy()
        if not after.has_contact:
            after.count_all()
        return after

    def read(
        self,
        readings: Iterable[tuple[Uid, LivySession]],
        *,
        is_complete: bool,
        unreadable: frozenset[str],
        now: float,
        forget_after: float,
        seen: Collection[Uid] = (),
        earlier: Iterable[tuple[Uid, LivySession]] = (),
    ) -> "GatewayOracle":
        """Learn what a listing says, or the last part of one whose rest has `seen` sessions.

        Readings that are `earlier` than those of the same session count no more than what is
        higher in them.
        """
        after = self.copy()
        grouped: dict[Uid, list[LivySession]] = {}
        for uid, record in readings:
            grouped.setdefault(uid, []).append(record)
        for uid, records in grouped.items():
            after.take_up(uid, records)
        for uid, record in earlier:
            latest = after.sessions[uid].latest
            after.take_up(uid, [record], latest=latest)
        if is_complete:
            after.miss({*grouped, *seen}, unreadable, now)
            if after.has_contact:
                after.forget(now - forget_after)
            else:
                after.count_all()
        return after

    def has_to_wait(
        self, record: LivySession, seen: Collection[Uid], added: Collection[Uid]
    ) -> bool:
        """Tell whether the rest of a scan decides of which session a record is.

        It is older than the newest session of its id that was known before the scan `added` any,
        as far as anybody can tell, and that one was not `seen` so far.
        """
        same = {u: s for u, s in self.sessions.items() if s.session_id == record.session_id}
        known = {u: s for u, s in same.items() if u not in added}
        created = [each.created for each in same.values()]
        if record.created_ms is None or not known or record.created_ms in created:
            return False
        uid = max(known, key=lambda each: (known[each].created is None, known[each].created or 0))
        newest = known[uid].created
        return uid not in seen and (newest is None or record.created_ms < newest)

    def take_up(self, uid: Uid, records: list[LivySession], *, latest: int | None = None) -> None:
        """Take up the readings of one session; `latest` is what was read of it later, if it was."""
        before = self.sessions.get(uid)
        after = before or Known(records[0].session_id)
        for record in records:
            after = after.read(record)
        if latest is not None:
            after = replace(after, latest=latest)
        if before is None and (uid in self.forgotten or self._may_be_dropped(after)):
            created = self.forgotten.get(uid) if after.created is None else after.created
            self.sessions[uid] = replace(after, created=created, ended=after.ended or "unknown")
            self.totals["exporter_sessions_readmitted_total", self.labels] += 1
            return
        self.sessions[uid] = after
        self.ever[uid] = max(self.ever.get(uid, 0), after.highest[0])
        if self.has_contact:
            self._count(before, after)

    def _may_be_dropped(self, session: Known) -> bool:
        return (
            self.dropped is not None
            and session.created is not None
            and session.created <= self.dropped
        )

    def miss(self, listed: set[Uid], unreadable: frozenset[str], now: float) -> None:
        """Note what a complete listing lacks."""
        for uid, before in list(self.sessions.items()):
            if uid in listed or before.left_at is not None or before.session_id in unreadable:
                continue
            after = replace(before, left_at=now, ended=before.ended or "unknown")
            self.sessions[uid] = after
            if self.has_contact:
                self._count(before, after)

    def forget(self, left_before: float) -> None:
        """Drop who left before then."""
        for uid, session in list(self.sessions.items()):
            has_left = session.left_at is not None and session.left_at < left_before
            if has_left and session.created is not None:
                del self.sessions[uid]
                self.forgotten[uid] = session.created
                self.dropped = max(self.dropped or 0, session.created)

    def count_all(self) -> None:
        """Begin to count, with all that is known so far."""
        self.has_contact = True
        for session in self.sessions.values():
            self._count(None, session)

    def _count(self, before: Known | None, after: Known) -> None:
        by_queue, by_user = (*self.labels, after.queue), (*self.labels, after.user)
        had = before.highest if before else (0, 0, 0)
        names = ("cu_hours", "vcore_seconds", "mb_seconds")
        for name, then, now in zip(names, had, after.highest, strict=True):
            self.totals[f"livy_{name}_total", by_queue] += now - then
            self.totals[f"livy_proxy_user_{name}_total", by_user] += now - then
        over = before.highest[0] - before.latest if before else 0
        self.totals["livy_cu_hours_overcounted", by_queue] += after.highest[0] - after.latest - over
        if before is None:
            self.totals["livy_sessions_started_total", by_queue] += 1
        had_ended = before.ended if before else ""
        if after.ended and (not had_ended or (had_ended, after.ended) == ("unknown", "error")):
            self.totals["livy_sessions_ended_total", (*by_queue, after.ended)] += 1
        if before and after.latest < before.latest:
            self.totals["exporter_usage_revisions_total", self.labels] += 1
