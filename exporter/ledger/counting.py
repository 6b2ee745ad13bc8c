"""What a reading of a session adds to which counter: pure functions, no file, no clock.

Every counter is a sum over sessions, and every increment is the difference between two rows
of one session. So the totals follow from the rows alone, and a row that is written twice
adds nothing the second time.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from exporter import catalog
from exporter.catalog import Metric
from exporter.model import UNKNOWN_STATE, Gateway, LivySession, SessionCluster

GatewayKey = tuple[str, str]
"""Workspace id and Livy compute id."""

ENDED_STATES = ("terminated", "error", UNKNOWN_STATE)
"""How a session can end; `unknown` is one that vanished while it was open."""

_OF_GATEWAY = ("workspace_id", "livy_compute_id")


class Key(NamedTuple):
    """One time series: a metric and its label values."""

    metric: Metric
    labels: tuple[str, ...]

    @property
    def group(self) -> tuple[str, ...]:
        """Workspace and gateway, or the workspace alone: the series that change together."""
        return self.labels[:2] if self.metric.labels[:2] == _OF_GATEWAY else self.labels[:1]


class SessionRow(NamedTuple):
    """What is remembered of one session.

    The three figures are the highest ever seen; `latest_nano_cu_hours` is the last one seen,
    lower where the service revised its estimate down. `ended` is the first ended state seen,
    `""` while open, `unknown` where it vanished while open. `ended_at` is when that was seen,
    `None` if the session had ended before the first contact, or is listed again and open.
    `unlisted_at` is when a complete listing first lacked the session, `None` while it is listed.
    Both are wall-clock seconds.
    """

    session_id: str
    serial: int
    created_ms: int | None
    queue: str
    proxy_user: str
    nano_cu_hours: int
    vcore_seconds: int
    mb_seconds: int
    latest_nano_cu_hours: int
    ended: str
    ended_at: float | None
    unlisted_at: float | None

    @property
    def overcounted(self) -> int:
        """How far the estimate has fallen below its highest, in nano-CU-hours."""
        return self.nano_cu_hours - self.latest_nano_cu_hours

    @property
    def figures(self) -> tuple[int, int, int]:
        """The usage that is counted, in the order of the counters."""
        return self.nano_cu_hours, self.vcore_seconds, self.mb_seconds


class SessionSum(NamedTuple):
    """What the sessions of one queue, proxy user and end (see `SessionRow`) add up to."""

    queue: str
    proxy_user: str
    ended: str
    sessions: int
    nano_cu_hours: int
    vcore_seconds: int
    mb_seconds: int
    overcounted: int


def new_row(record: LivySession, serial: int, at: float | None) -> SessionRow:
    """Return the row of a new session, read at `at` (`None` before the first contact)."""
    usage = record.usage
    cu_hours = usage.nano_cu_hours or 0
    return SessionRow(
        record.session_id,
        serial,
        record.created_ms,
        record.queue,
        record.proxy_user,
        cu_hours,
        usage.vcore_seconds or 0,
        usage.mb_seconds or 0,
        cu_hours,
        record.state if record.has_ended else "",
        at if record.has_ended else None,
        None,
    )


def updated_row(row: SessionRow, record: LivySession, at: float | None) -> SessionRow:
    """Return the row after one more reading, at `at` (`None` before the first contact).

    Queue, proxy user and create time are those of the first record that names them.
    """
    usage = record.usage
    latest = row.latest_nano_cu_hours if usage.nano_cu_hours is None else usage.nano_cu_hours
    return SessionRow(
        row.session_id,
        row.serial,
        record.created_ms if row.created_ms is None else row.created_ms,
        row.queue or record.queue,
        row.proxy_user or record.proxy_user,
        max(row.nano_cu_hours, latest),
        max(row.vcore_seconds, usage.vcore_seconds or 0),
        max(row.mb_seconds, usage.mb_seconds or 0),
        latest,
        *_end(row, record, at),
        None,
    )


def _end(row: SessionRow, record: LivySession, at: float | None) -> tuple[str, float | None]:
    """Return how and when the session ended, by one more reading of it at `at`.

    An end that was only concluded, because the session was missing from a listing, has no time
    while the session runs on, and gives way to the end that is seen later.
    """
    if row.ended not in ("", UNKNOWN_STATE):
        return row.ended, row.ended_at
    if not record.has_ended:
        return row.ended, None
    is_news = row.ended != record.state or row.ended_at is None or row.unlisted_at is not None
    return record.state, at if is_news else row.ended_at


def unlisted_row(row: SessionRow, at: float) -> SessionRow:
    """Return the row of a session that a complete listing lacks; an open one has ended unseen."""
    if row.ended:
        return row._replace(unlisted_at=at)
    return row._replace(unlisted_at=at, ended=UNKNOWN_STATE, ended_at=at)


def is_created_after(
    listed: Gateway | LivySession | SessionCluster | SessionRow, at: float
) -> bool:
    """Whether what is listed was created after `at` (seconds since 1970), as far as is known."""
    return listed.created_ms is not None and listed.created_ms > at * 1000


def increments(
    gateway: GatewayKey, before: SessionRow | None, after: SessionRow
) -> Iterator[tuple[Key, int]]:
    """Yield what the change from `before` to `after` adds to the counters of `gateway`.

    Usage goes to the queue and the proxy user that are known by now.
    """
    had = before.figures if before else (0, 0, 0)
    figures = [now - then for now, then in zip(after.figures, had, strict=True)]
    overcounted = after.overcounted - (before.overcounted if before else 0)
    has_ended_now = _has_ended_now(before.ended if before else "", after.ended)
    is_revision = before is not None and after.latest_nano_cu_hours < before.latest_nano_cu_hours
    yield from _by_queue(gateway, after.queue, figures, overcounted)
    yield from _by_proxy_user(gateway, after.proxy_user, figures)
    yield from _by_life(
        (*gateway, after.queue), 0 if before else 1, {after.ended: 1} if has_ended_now else {}
    )
    yield Key(catalog.USAGE_REVISIONS, gateway), int(is_revision)


def _has_ended_now(before: str, after: str) -> bool:
    """Whether an end is to be counted: the first one, and a failure that a conclusion preceded.

    An alert on failed sessions must see the failure of one that was missing for a while; any
    other end of such a session was counted as `unknown` already.
    """
    return bool(after) and (not before or (before == UNKNOWN_STATE and after == "error"))


def zeros(gateway: GatewayKey, queue: str) -> Iterator[tuple[Key, int]]:
    """Yield the series of a queue that has used nothing yet."""
    yield Key(catalog.USAGE_REVISIONS, gateway), 0
    yield Key(catalog.SESSIONS_READMITTED, gateway), 0
    yield from _by_queue(gateway, queue, (0, 0, 0), 0)
    yield from _by_life((*gateway, queue), 0, {})


def readmission(gateway: GatewayKey) -> Iterator[tuple[Key, int]]:
    """Yield what a session adds that was counted before its row was forgotten."""
    yield Key(catalog.SESSIONS_READMITTED, gateway), 1


def starting_values(gateway: GatewayKey, sums: Iterable[SessionSum]) -> Iterator[tuple[Key, int]]:
    """Yield what all sessions together add to the counters of `gateway`: one item a series.

    The same as the sum of `increments(gateway, None, row)`, without ten items for each row.
    """
    yield Key(catalog.USAGE_REVISIONS, gateway), 0
    yield Key(catalog.SESSIONS_READMITTED, gateway), 0
    queues: dict[str, list[int]] = {}
    overcounted: Counter[str] = Counter()
    users: dict[str, list[int]] = {}
    endings: dict[str, Counter[str]] = {}
    for group in sums:
        for totals, name in ((queues, group.queue), (users, group.proxy_user)):
            total = totals.setdefault(name, [0, 0, 0])
            total[0] += group.nano_cu_hours
            total[1] += group.vcore_seconds
            total[2] += group.mb_seconds
        overcounted[group.queue] += group.overcounted
        endings.setdefault(group.queue, Counter())[group.ended] += group.sessions
    for queue, figures in queues.items():
        yield from _by_queue(gateway, queue, figures, overcounted[queue])
        yield from _by_life((*gateway, queue), endings[queue].total(), endings[queue])
    for user, figures in users.items():
        yield from _by_proxy_user(gateway, user, figures)


def _by_queue(
    gateway: GatewayKey, queue: str, figures: Sequence[int], overcounted: int
) -> Iterator[tuple[Key, int]]:
    labels = (*gateway, queue)
    yield Key(catalog.LIVY_OVERCOUNTED, labels), overcounted
    yield Key(catalog.LIVY_CU_HOURS, labels), figures[0]
    yield Key(catalog.LIVY_VCORE_SECONDS, labels), figures[1]
    yield Key(catalog.LIVY_MB_SECONDS, labels), figures[2]


def _by_proxy_user(
    gateway: GatewayKey, proxy_user: str, figures: Sequence[int]
) -> Iterator[tuple[Key, int]]:
    labels = (*gateway, proxy_user)
    yield Key(catalog.LIVY_PROXY_USER_CU_HOURS, labels), figures[0]
    yield Key(catalog.LIVY_PROXY_USER_VCORE_SECONDS, labels), figures[1]
    yield Key(catalog.LIVY_PROXY_USER_MB_SECONDS, labels), figures[2]


def _by_life(
    labels: tuple[str, ...], started: int, ended: Mapping[str, int]
) -> Iterator[tuple[Key, int]]:
    yield Key(catalog.LIVY_SESSIONS_STARTED, labels), started
    for state in ENDED_STATES:
        yield Key(catalog.LIVY_SESSIONS_ENDED, (*labels, state)), ended.get(state, 0)
