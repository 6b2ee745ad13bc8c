"""The answers as they come over the wire: only the fields that are wanted.

What is not named here is never decoded, above all `connectionToken` and `applicationConfigs`,
which hold secrets. Fields are `object` because any of them can be of any type; `values` reads
them. JSON has no cycles, so the garbage collector need not look at records (`gc=False`).
Source: the vendor's API pages for version 2023-08-08.
"""

import msgspec


class RawCluster(
    msgspec.Struct,
    gc=False,
    rename={
        "session_cluster_id": "sessionClusterId",
        "queue_name": "queueName",
        "user_name": "userName",
        "release_version": "releaseVersion",
        "display_release_version": "displayReleaseVersion",
        "reason": "stateChangeReason",
        "auto_start": "autoStartConfiguration",
        "auto_stop": "autoStopConfiguration",
        "public_endpoint": "publicEndpointEnabled",
        "web_ui": "webUI",
        "created": "gmtCreate",
        "started": "startTime",
    },
):
    """One of `sessionClusters`."""

    session_cluster_id: object = None
    name: object = None
    kind: object = None
    queue_name: object = None
    user_name: object = None
    state: object = None
    reason: object = None
    release_version: object = None
    display_release_version: object = None
    fusion: object = None
    auto_start: object = None
    auto_stop: object = None
    public_endpoint: object = None
    web_ui: object = None
    created: object = None
    started: object = None


class RawSession(
    msgspec.Struct,
    gc=False,
    rename={
        "session_id": "sessionId",
        "spark_conf": "sparkConf",
        "web_ui": "webUI",
        "created": "createTime",
        "ended": "endTime",
        "cu_hours": "cuHours",
        "vcore_seconds": "vcoreSeconds",
        "mb_seconds": "mbSeconds",
    },
):
    """One of `sessions`."""

    session_id: object = None
    name: object = None
    queue: object = None
    state: object = None
    info: object = None
    spark_conf: object = None
    web_ui: object = None
    created: object = None
    ended: object = None
    cu_hours: object = None
    vcore_seconds: object = None
    mb_seconds: object = None


class RawWorkspace(
    msgspec.Struct, gc=False, rename={"workspace_id": "workspaceId", "name": "workspaceName"}
):
    """One of `workspaces`."""

    workspace_id: object = None
    name: object = None


class RawGateway(
    msgspec.Struct,
    gc=False,
    rename={"livy_compute_id": "computeId", "queue_name": "queueName", "created": "gmtCreate"},
):
    """One of `data.livyComputes`."""

    livy_compute_id: object = None
    name: object = None
    queue_name: object = None
    status: object = None
    created: object = None


class ClusterResponse(
    msgspec.Struct,
    rename={
        "records": "sessionClusters",
        "total_count": "totalCount",
        "next_token": "nextToken",
    },
):
    """The answer of `ListSessionClusters`."""

    records: list[RawCluster]
    total_count: object = None
    next_token: object = None


class SessionResponse(msgspec.Struct, rename={"records": "sessions", "total_count": "totalCount"}):
    """The answer of `ListLivyComputeSessions`: numbered pages, hence no token."""

    records: list[RawSession]
    total_count: object = None


class WorkspaceResponse(
    msgspec.Struct,
    rename={"records": "workspaces", "total_count": "totalCount", "next_token": "nextToken"},
):
    """The answer of `ListWorkspaces`."""

    records: list[RawWorkspace]
    total_count: object = None
    next_token: object = None


class GatewayData(msgspec.Struct, rename={"records": "livyComputes"}):
    """What `ListLivyCompute` wraps in `data`."""

    records: list[RawGateway]


class GatewayResponse(msgspec.Struct):
    """The answer of `ListLivyCompute`."""

    data: GatewayData


class RawEnvelope(
    msgspec.Struct,
    rename={
        "request_id": "requestId",
        "pascal_code": "Code",
        "pascal_message": "Message",
        "pascal_request_id": "RequestId",
        "pascal_success": "Success",
    },
):
    """What any answer may say about itself besides its rows, in either spelling."""

    code: object = None
    message: object = None
    request_id: object = None
    success: object = None
    pascal_code: object = None
    pascal_message: object = None
    pascal_request_id: object = None
    pascal_success: object = None


class Impersonation(msgspec.Struct, rename={"proxy_user": "proxyUser"}):
    """The one thing that is wanted of a `sparkConf`."""

    proxy_user: object = None
