"""The frozen values of the domain, as every floor above sees them.

Field names follow the API's own words. Where a field may be missing in an answer it is
`None` (numbers) or `""` (texts) here; nothing here knows of JSON.
Times are milliseconds since 1970-01-01 UTC, as the API gives them, so that equal stays equal.
Source of the facts: the vendor's API pages for version 2023-08-08 of
`emr-serverless-spark`, and its Python SDK 2.3.0.

What a history holds a hundred thousand of is no dataclass, but a struct that the garbage
collector does not look at: to look at all of them stops everything else for a tenth of a second.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, NamedTuple, Self, TypeVar

import msgspec

T_co = TypeVar("T_co", covariant=True)

NANO = 10**9
"""Nano-CU-hours in a CU-hour: usage is counted in integers so that sums are exact."""

UNKNOWN_STATE = "unknown"
"""Stands for every state outside the documented vocabulary."""

SESSION_CLUSTER_STATES = (
    "starting",
    "running",
    "stopping",
    "stopped",
    "error",
    "not_started",
    UNKNOWN_STATE,
)
"""`NotStarted` is not in the API pages, but in the vendor's own tooling."""

LIVY_SESSION_STATES = (
    "starting",
    "running",
    "terminating",
    "terminated",
    "error",
    UNKNOWN_STATE,
)

LIVY_ENDED_STATES = frozenset({"terminated", "error"})
"""States that a Livy session never leaves. An end time alone does not mean an end."""

NAMELESS = "digest:"
"""Prefix of the name of a record without an id; no known id begins with it."""

SESSION_CLUSTER_KINDS = ("NOTEBOOK", "THRIFT", "SQL")


def seconds(milliseconds: int | None) -> float | None:
    """Return a time of the API in seconds; `None` if it is not known."""
    return None if milliseconds is None else milliseconds / 1000


class Action(StrEnum):
    """The actions of the API that are called, also the names of RAM actions; the `action` label."""

    LIST_WORKSPACES = "ListWorkspaces"
    LIST_LIVY_COMPUTE = "ListLivyCompute"
    LIST_SESSION_CLUSTERS = "ListSessionClusters"
    LIST_LIVY_COMPUTE_SESSIONS = "ListLivyComputeSessions"


class Source(StrEnum):
    """What can be polled; the `source` label."""

    SESSION_CLUSTERS = "session_clusters"
    LIVY_SESSIONS = "livy_sessions"


class Target(NamedTuple):
    """One thing that is polled on its own: a workspace's clusters, or a gateway's sessions.

    A tuple, because it is a key of many tables, and hashed much faster than a dataclass.
    """

    source: Source
    account: str
    region_id: str
    workspace_id: str
    livy_compute_id: str = ""

    @property
    def action(self) -> Action:
        """The action that lists it."""
        if self.source is Source.SESSION_CLUSTERS:
            return Action.LIST_SESSION_CLUSTERS
        return Action.LIST_LIVY_COMPUTE_SESSIONS

    def __str__(self) -> str:
        """Return the name used in logs and error texts."""
        return "/".join(filter(None, (self.source, self.workspace_id, self.livy_compute_id)))


class Scope(NamedTuple):
    """What one discovery lists: the workspaces of an account and region, or their gateways.

    With a `workspace_id` it is the gateways of that workspace.
    """

    account: str
    region_id: str
    workspace_id: str = ""

    @property
    def action(self) -> Action:
        """The action that lists it."""
        return Action.LIST_LIVY_COMPUTE if self.workspace_id else Action.LIST_WORKSPACES

    def __str__(self) -> str:
        """Return the name used in logs and error texts."""
        return "/".join(
            filter(None, ("discovery", self.account, self.region_id, self.workspace_id))
        )


Work = Target | Scope
"""What is done on an interval: a target is polled, a scope is discovered."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace, as `ListWorkspaces` lists it."""

    workspace_id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A Livy gateway (the API's "Livy compute"), as `ListLivyCompute` lists it."""

    livy_compute_id: str
    name: str = ""
    queue: str = ""
    status: str = ""
    created_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SessionCluster:
    """A session cluster, as `ListSessionClusters` lists it, without its secrets."""

    session_cluster_id: str
    state: str
    name: str = ""
    kind: str = ""
    queue: str = ""
    user_name: str = ""
    release_version: str = ""
    fusion: bool | None = None
    state_code: str = ""
    state_message: str = ""
    web_ui: str = ""
    created_ms: int | None = None
    started_ms: int | None = None
    auto_start: bool | None = None
    auto_stop: bool | None = None
    auto_stop_idle_minutes: int | None = None
    public_endpoint: bool | None = None
    strange_state: str = ""
    """What the service gave for a state outside the documented vocabulary."""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What a session has used so far, in the units of the bill but for nano-CU-hours.

    Whether the vendor's MB means 10^6 or 2^20 bytes is not documented. A figure that the
    answer does not hold is `None`, which is not 0.
    """

    nano_cu_hours: int | None = None
    vcore_seconds: int | None = None
    mb_seconds: int | None = None

    @property
    def cu_hours(self) -> float | None:
        """The CU-hours, rounded to a float: for showing, not for sums."""
        return None if self.nano_cu_hours is None else self.nano_cu_hours / NANO


class LivySession(msgspec.Struct, frozen=True, gc=False):
    """A Livy session, as `ListLivyComputeSessions` lists it, without its Spark configuration."""

    session_id: str
    state: str
    name: str = ""
    queue: str = ""
    proxy_user: str = ""
    web_ui: str = ""
    info: str = ""
    created_ms: int | None = None
    ended_ms: int | None = None
    usage: Usage = msgspec.field(default_factory=Usage)
    strange_state: str = ""
    """What the service gave for a state outside the documented vocabulary."""
    is_presumed_ended: bool = False
    """True where the state is unknown, and the end time is so long ago that it is believed."""

    @property
    def has_ended(self) -> bool:
        """Whether the session is in a state that it never leaves, or is presumed to be."""
        return self.state in LIVY_ENDED_STATES or self.is_presumed_ended

    def presumed_ended(self, before_ms: float) -> Self:
        """Return the session as ended if its state is unknown and its end time is that old."""
        if not self.strange_state or self.ended_ms is None or self.ended_ms > before_ms:
            return self
        return msgspec.structs.replace(self, is_presumed_ended=True)


@dataclass(frozen=True, slots=True)
class Page(Generic[T_co]):
    """One page of a listing, as far as its records could be read.

    `malformed` identifies each record that could not be read (its id, or a digest of it), so
    that it is still a row where rows are held against the service's own count. `malformed_at`
    are their places on the page, from 0.
    """

    records: tuple[T_co, ...] = ()
    malformed: tuple[str, ...] = ()
    malformed_at: tuple[int, ...] = field(default=(), compare=False)
    total_count: int | None = None
    next_token: str = ""


class Standing(StrEnum):
    """What this process is to a ledger that several replicas share."""

    OWNER = "owner"
    EXPIRED = "expired"
    """The owner as far as it knows, which could not renew its lease in time."""
    STANDBY = "standby"


class Loss(StrEnum):
    """How an owner ceased to be it: the label of `exporter_lease_losses_total`."""

    RESIGNED = "resigned"
    EXPIRED = "expired"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns a ledger that several replicas share, as far as this process knows.

    `holder` is the owner, `""` if there is none or it is unknown; `since` is when this process
    first saw that owner (seconds since 1970). The last look at the lease ended at `looked_at`, and
    the last successful one at `seen_at` (seconds of the boot-time clock); `failure` says why the
    last look failed, and what to do, and is `""` if it succeeded. An owner may show its totals
    until `may_show_until`, which moves on with each renewal.

    `acquisitions` counts how often this process became the owner, so it is the number of the term
    of an owner; `losses` and `rewinds` count since the start as well. `settings_differ` tells
    whether another replica polls or counts with different settings.
    """

    standing: Standing
    may_show_until: float
    holder: str
    since: float | None
    looked_at: float
    seen_at: float
    failure: str
    acquisitions: int
    losses: Mapping[Loss, int]
    rewinds: int
    settings_differ: bool
