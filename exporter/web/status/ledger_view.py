"""CU-hours by queue, user and time, from the ledger's exact integers: pure functions."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from exporter import catalog
from exporter.ledger import LedgerState
from exporter.model import NANO, Ownership
from exporter.web.status.display_names import Names
from exporter.web.status.recorder import BUCKETS, Recorder, Tally
from exporter.web.status.view import Bucket, Coverage, HistoryView, LedgerView, UsageRow, UsageView

TOP: Final = 10

_Owner = tuple[str, str]
"""A workspace id and a queue, or `""` and a user."""
_Sums = dict[_Owner, tuple[int, int]]
"""What each has burned since the start, and in total, in nano-CU-hours."""


def usage(state: LedgerState, recorder: Recorder, names: Names, coverage: Coverage) -> UsageView:
    """Return the totals, and who has used most since the start.

    `coverage` is that of the Livy sessions: where none was read, nothing is known to be 0.
    """
    queues = _summed(state, recorder, catalog.LIVY_CU_HOURS, lambda labels: (labels[0], labels[-1]))
    users = _summed(
        state, recorder, catalog.LIVY_PROXY_USER_CU_HOURS, lambda labels: ("", labels[-1])
    )
    counters = state.counters.items()
    held = sum(
        value.actual - value.published
        for key, value in counters
        if key.metric is catalog.LIVY_CU_HOURS
    )
    over = sum(value.actual for key, value in counters if key.metric is catalog.LIVY_OVERCOUNTED)
    since_start = sum(since for since, _ in queues.values())
    total = sum(total for _, total in queues.values())
    is_unread = coverage == "no_poll_yet" and not since_start
    return UsageView(
        cu_hours_since_start=None if is_unread else since_start / NANO,
        cu_hours=total / NANO if queues or not is_unread else None,
        held_back=held / NANO,
        overcounted=over / NANO,
        queues=_top(queues, names, is_unread=is_unread),
        queues_not_shown=max(0, len(queues) - TOP),
        users=_top(users, names, is_unread=is_unread),
        users_not_shown=max(0, len(users) - TOP),
    )


def ledger(state: LedgerState, ownership: Ownership | None) -> LedgerView:
    """Return the facts of the ledger, and who owns it where that may be another replica."""
    facts = LedgerView(state.created_at, state.sessions, state.size_bytes, state.held_series)
    if ownership is None:
        return facts
    return replace(
        facts,
        standing=ownership.standing.value,
        holder=ownership.holder,
        held_since=ownership.since,
    )


def history(recorder: Recorder, *, monotonic: float, now: float) -> HistoryView:
    """Return the near past without gaps: a bucket in which nothing happened is empty."""
    tallies = {tally.number: tally for tally in recorder.tallies}
    width = recorder.width
    last, first = int(monotonic // width), int(recorder.started_monotonic // width)
    numbers = range(max(first, last - BUCKETS + 1), last + 1)
    began = now - monotonic
    return HistoryView(
        width, tuple(_bucket(tallies, number, began + number * width) for number in numbers)
    )


def _bucket(tallies: dict[int, Tally], number: int, start: float) -> Bucket:
    tally = tallies.get(number, Tally(number))
    return Bucket(start, tally.polls, tally.failures, tally.nano_cu_hours / NANO)


def _summed(
    state: LedgerState,
    recorder: Recorder,
    metric: catalog.Metric,
    owner_of: Callable[[tuple[str, ...]], _Owner],
) -> _Sums:
    sums: defaultdict[_Owner, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for key, amount in state.counters.items():
        if key.metric is metric:
            owner = owner_of(key.labels)
            since, total = sums[owner]
            sums[owner] = since + amount.actual - recorder.start_of(key), total + amount.actual
    return dict(sums)


def _top(sums: _Sums, names: Names, *, is_unread: bool) -> tuple[UsageRow, ...]:
    ranked = sorted(sums.items(), key=lambda item: (-item[1][0], -item[1][1], item[0]))
    return tuple(
        UsageRow(
            name=name,
            workspace_id=workspace_id,
            workspace_name=names.workspace(workspace_id) if workspace_id else "",
            cu_hours_since_start=None if is_unread else since / NANO,
            cu_hours=total / NANO,
        )
        for (workspace_id, name), (since, total) in ranked[:TOP]
    )
