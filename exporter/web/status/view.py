"""The content of the status page, as frozen values; page and JSON both render a `StatusView`.

This is a contract: `schema.json` beside this file is generated from it, and a test compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "starting", "attention", "failing"]
Coverage = Literal["complete", "partial", "no_poll_yet", "stale", "nothing_to_poll"]
"""How much has been listed recently.

With `no_poll_yet` and `stale` nothing is known: no poll has succeeded yet, or the last one that
did is too old.
"""
TargetState = Literal["pending", "up", "failing", "stale"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, since when, and what to do; `anchor` is the part of the page about it.

    `detail` has the words of the service or the system.
    """

    text: str
    anchor: str
    detail: str = ""
    advice: str = ""
    since: float | None = None
    age: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state in one line, and the problems."""

    level: Level
    summary: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class About:
    """The version, its start, and links to other pages (paths relative to the page)."""

    version: str
    revision: str
    started_at: float
    uptime: float
    poll_interval: float
    links: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Trouble:
    """The last failure, with what to do about it; `is_current` until a poll succeeds.

    `at` is when it was seen last, `since` when the first failure after a success was.
    """

    reason: str
    message: str
    advice: str
    at: float
    age: float
    since: float
    is_current: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """Progress of the full scan of a Livy history, in pages."""

    pages: int
    expected: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkStatus:
    """The common part of targets and discoveries: name, place, last success and last failure."""

    name: str
    account: str
    region_id: str
    workspace_id: str
    workspace_name: str
    last_success_at: float | None
    last_success_age: float | None
    trouble: Trouble | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus(WorkStatus):
    """One target; `stale` = failing for so long that its gauges were withdrawn."""

    source: str
    livy_compute_id: str
    gateway_name: str
    state: TargetState
    stale_after: float
    last_poll_duration: float | None
    last_poll_requests: int | None
    polls: int
    scan: Scan | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryStatus(WorkStatus):
    """One discovery: of the workspaces of an account and region, or of a workspace's gateways."""

    state: Literal["pending", "up", "failing"]


@dataclass(frozen=True, slots=True)
class FailedCluster:
    """A session cluster that is in error now; `since` as it was observed."""

    anchor: str
    workspace_id: str
    workspace_name: str
    session_cluster_id: str
    name: str
    kind: str
    queue: str
    user_name: str
    state_code: str
    state_message: str
    since: float | None
    age: float | None
    spark_ui: str


@dataclass(frozen=True, slots=True)
class Clusters:
    """The session clusters: how many are in which state, and those in error.

    Those of `workspaces_unknown` workspaces are not known at present, and not in here.
    """

    coverage: Coverage
    by_state: Mapping[str, int]
    workspaces_unknown: int
    in_error: tuple[FailedCluster, ...]
    errors_not_shown: int


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """A Livy session. `info` is what the service says of its end.

    Where the API does not tell when a failed one ended, `ended_at` is when that was first seen.
    """

    anchor: str
    workspace_id: str
    workspace_name: str
    livy_compute_id: str
    gateway_name: str
    session_id: str
    name: str
    queue: str
    proxy_user: str
    state: str
    info: str
    created_at: float | None
    age: float | None
    ended_at: float | None
    ended_age: float | None
    cu_hours: float | None
    vcore_seconds: int | None
    mb_seconds: int | None
    spark_ui: str


@dataclass(frozen=True, slots=True)
class QueueEnds:
    """How many sessions of a queue ended recently, and how many of these failed."""

    workspace_id: str
    workspace_name: str
    livy_compute_id: str
    gateway_name: str
    queue: str
    ended: int
    failed: int


@dataclass(frozen=True, slots=True)
class Sessions:
    """The Livy sessions: all that are listed by state, the live ones, and those that ended.

    Those of `gateways_unknown` gateways are not known at present, or not all of them. `failed`
    are the last that failed, also where they are no longer listed; `ended` are those that ended
    recently in another state. `ends` counts those that ended in the last `ends_seconds`.
    """

    coverage: Coverage
    by_state: Mapping[str, int]
    gateways_unknown: int
    live: tuple[SessionStatus, ...]
    live_not_shown: int
    failed: tuple[SessionStatus, ...]
    ended: tuple[SessionStatus, ...]
    ended_not_shown: int
    ends: tuple[QueueEnds, ...]
    ends_seconds: float


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The usage of a queue or a user; of a user, the workspace is empty."""

    name: str
    workspace_id: str
    workspace_name: str
    cu_hours_since_start: float | None
    cu_hours: float


@dataclass(frozen=True, slots=True)
class UsageView:
    """CU-hours of Livy sessions that the ledger holds, those held back included.

    `held_back` is counted, but not yet shown to Prometheus; `overcounted` is what estimates were
    revised down by afterwards. What was used since the start is not known before a poll succeeds.
    """

    cu_hours_since_start: float | None
    cu_hours: float | None
    held_back: float
    overcounted: float
    queues: tuple[UsageRow, ...]
    queues_not_shown: int
    users: tuple[UsageRow, ...]
    users_not_shown: int


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The state of the ledger. A held series does not show its increases to Prometheus yet.

    `standing` is what this replica is (owner, expired, standby), where several share a ledger;
    `holder` owns it (`""`: no replica), since `held_since` as far as this replica saw.
    """

    created_at: float | None
    sessions: int
    size_bytes: int
    held_series: int
    standing: Literal["owner", "expired", "standby"] | None = None
    holder: str = ""
    held_since: float | None = None


@dataclass(frozen=True, slots=True)
class Calls:
    """The requests to the API of one account in one region since the start.

    `rate_limit` (requests per second) is what is allowed at present: below `configured_rate`
    where the service has throttled calls.
    """

    account: str
    region_id: str
    rate_limit: float
    configured_rate: float
    requests: int
    retries: int
    failures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Polls:
    """The polls of one source since the start; the last two count readings of records."""

    source: str
    finished: int
    failed: int
    skipped: int
    malformed_records: int
    unknown_states: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """What happened in the interval that began at `start`; the last bucket is still open."""

    start: float
    polls: int
    failures: int
    cu_hours: float


@dataclass(frozen=True, slots=True)
class HistoryView:
    """The near past, oldest first, in buckets of `width` seconds; kept in memory only."""

    width: float
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class StatusView:
    """All of the status. `schema` increases when a field changes its meaning or is removed.

    Times are seconds since 1970-01-01 UTC, ages and durations are seconds; unknown is null.
    Texts of the API are unchanged: escape them before showing them.
    """

    schema: Literal[1]
    generated_at: float
    verdict: Verdict
    about: About
    targets: tuple[TargetStatus, ...]
    clusters: Clusters
    sessions: Sessions
    usage: UsageView
    history: HistoryView
    calls: tuple[Calls, ...]
    polls: tuple[Polls, ...]
    discoveries: tuple[DiscoveryStatus, ...]
    ledger: LedgerView
