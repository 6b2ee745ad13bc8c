"""The answers as they come over the wire: only the fields that are wanted.

What is not named here is never decoded, above all `connectionToken` and `applicationConfigs`,
which hold secrets. Fields are named as the service names them, in snake_case. They are `object`
because any of them can be of any type; `values` reads them. JSON has no cycles, so the garbage
collector need not look at records (`gc=False`).
Source: the vendor's API pages for version 2023-08-08.
"""

import msgspec
from msgspec import field


class _Wire(msgspec.Struct, rename="camel", gc=False):
    """A part of an answer."""


class RawCluster(_Wire):
    """One of `sessionClusters`."""

    session_cluster_id: object = None
    name: object = None
    kind: object = None
    queue_name: object = None
    user_name: object = None
    state: object = None
    state_change_reason: object = None
    release_version: object = None
    display_release_version: object = None
    fusion: object = None
    auto_start_configuration: object = None
    auto_stop_configuration: object = None
    public_endpoint_enabled: object = None
    web_ui: object = field(default=None, name="webUI")
    gmt_create: object = None
    start_time: object = None


class RawSession(_Wire):
    """One of `sessions`."""

    session_id: object = None
    name: object = None
    queue: object = None
    state: object = None
    info: object = None
    spark_conf: object = None
    web_ui: object = field(default=None, name="webUI")
    create_time: object = None
    end_time: object = None
    cu_hours: object = None
    vcore_seconds: object = None
    mb_seconds: object = None


class RawWorkspace(_Wire):
    """One of `workspaces`."""

    workspace_id: object = None
    workspace_name: object = None


class RawGateway(_Wire):
    """One of `data.livyComputes`."""

    compute_id: object = None
    name: object = None
    queue_name: object = None
    status: object = None
    gmt_create: object = None


class ClusterResponse(_Wire):
    """The answer of `ListSessionClusters`."""

    records: list[RawCluster] = field(name="sessionClusters")
    total_count: object = None
    next_token: object = None


class SessionResponse(_Wire):
    """The answer of `ListLivyComputeSessions`: numbered pages, hence no token."""

    records: list[RawSession] = field(name="sessions")
    total_count: object = None


class WorkspaceResponse(_Wire):
    """The answer of `ListWorkspaces`."""

    records: list[RawWorkspace] = field(name="workspaces")
    total_count: object = None
    next_token: object = None


class GatewayData(_Wire):
    """What `ListLivyCompute` wraps in `data`."""

    records: list[RawGateway] = field(name="livyComputes")


class GatewayResponse(_Wire):
    """The answer of `ListLivyCompute`."""

    data: GatewayData


class RawEnvelope(_Wire):
    """What any answer may say about itself besides its rows, in either spelling."""

    code: object = None
    message: object = None
    request_id: object = None
    success: object = None
    pascal_code: object = field(default=None, name="Code")
    pascal_message: object = field(default=None, name="Message")
    pascal_request_id: object = field(default=None, name="RequestId")
    pascal_success: object = field(default=None, name="Success")


class Impersonation(_Wire):
    """The one thing that is wanted of a `sparkConf`."""

    proxy_user: object = None
