"""The rows that the service holds, with every field that the vendor documents.

Fields: the pages of ListWorkspaces, ListLivyCompute, ListSessionClusters and
ListLivyComputeSessions, version 2023-08-08, and the vendor's SDK 2.3.0. All times are
milliseconds since the epoch.

A row can be made to lie. `raw` as a mapping is laid over the documented fields (the value
`ABSENT` takes a field away); `raw` as a string replaces the row's JSON text altogether.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Final, NamedTuple, TypeAlias

from exporter.demo.jsontext import dump

CONNECTION_TOKEN: Final = "SENTINEL-connection-token-6d1f0b"  # noqa: S105  planted on purpose
APPLICATION_CONFIG_SECRET: Final = "SENTINEL-application-config-93ae42"  # noqa: S105  planted
SPARK_CONF_SECRET: Final = "SENTINEL-spark-conf-57c80e"  # noqa: S105  planted on purpose

NANO: Final = 10**9
"""One CU-hour, in the nano-CU-hours in which usage is held."""

ABSENT: Final = object()
"""As a value in `raw`: the field is not served at all."""

Raw: TypeAlias = Mapping[str, object] | str | None

_SERVED_FIGURES: Final = frozenset(
    {"sessionId", "createTime", "cuHours", "vcoreSeconds", "mbSeconds"}
)


@dataclass(frozen=True, slots=True)
class SimulatedUsage:
    """What a Livy session has used, exactly: nano-CU-hours, vcore-seconds, MB-seconds."""

    nano_cu_hours: int = 0
    vcore_seconds: int = 0
    mb_seconds: int = 0

    def __add__(self, other: "SimulatedUsage") -> "SimulatedUsage":
        """Add figure by figure."""
        return SimulatedUsage(
            self.nano_cu_hours + other.nano_cu_hours,
            self.vcore_seconds + other.vcore_seconds,
            self.mb_seconds + other.mb_seconds,
        )

    def highest(self, other: "SimulatedUsage") -> "SimulatedUsage":
        """Take the higher one of each figure."""
        return SimulatedUsage(
            max(self.nano_cu_hours, other.nano_cu_hours),
            max(self.vcore_seconds, other.vcore_seconds),
            max(self.mb_seconds, other.mb_seconds),
        )


class GatewayKey(NamedTuple):
    """What makes a Livy gateway one."""

    workspace_id: str
    compute_id: str


class SessionKey(NamedTuple):
    """What makes a Livy session one: its id may come back with a later create time."""

    workspace_id: str
    compute_id: str
    session_id: str
    create_time_ms: int


@lru_cache(maxsize=1024)
def _spark_conf(proxy_user: str | None) -> str:
    user = {} if proxy_user is None else {"proxyUser": proxy_user}
    conf = {"spark.driver.cores": 1, "spark.demo.password": SPARK_CONF_SECRET}
    return json.dumps({**user, "conf": conf}, indent=4, ensure_ascii=False)


@dataclass(frozen=True)
class Record(ABC):
    """A row of the service."""

    raw: Raw = field(default=None, kw_only=True)

    @abstractmethod
    def as_json(self) -> dict[str, object]:
        """Return the vendor's fields."""

    @cached_property
    def text(self) -> str:
        """The row as JSON text; cached, because a history of 100,000 rows is served often."""
        if isinstance(self.raw, str):
            return self.raw
        merged = {**self.as_json(), **(self.raw or {})}
        return dump({name: value for name, value in merged.items() if value is not ABSENT})


@dataclass(frozen=True)
class SimulatedWorkspace(Record):
    """A workspace."""

    workspace_id: str
    name: str = "workspace"
    region_id: str = "cn-hangzhou"
    status: str = "RUNNING"
    create_time_ms: int = 1_700_000_000_000

    @property
    def sort_key(self) -> tuple[int, str]:
        """Order of listing."""
        return (self.create_time_ms, self.workspace_id)

    def as_json(self) -> dict[str, object]:
        """Return the vendor's fields."""
        return {
            "workspaceId": self.workspace_id,
            "workspaceName": self.name,
            "regionId": self.region_id,
            "workspaceStatus": self.status,
            "createTime": self.create_time_ms,
            "endTime": None,
            "paymentType": "Pay",
            "paymentStatus": "NORMAL",
            "resourceSpec": "100CU",
            "storage": "oss://demo-bucket/",
            "dlfCatalogId": "default",
            "dlfType": "1.0",
            "resourceGroupId": "rg-acfmxyz",
            "autoRenew": False,
            "failReason": None,
            "releaseType": None,
            "stateChangeReason": {"code": "", "message": ""},
            "tags": [],
        }


@dataclass(frozen=True)
class SimulatedGateway(Record):
    """A Livy gateway ("Livy compute")."""

    workspace_id: str
    compute_id: str
    name: str = "gateway"
    queue: str = "root_queue"
    status: str = "Running"
    created_by: str = "demo"
    create_time_ms: int = 1_700_000_000_000

    @property
    def key(self) -> GatewayKey:
        """What makes this gateway one."""
        return GatewayKey(self.workspace_id, self.compute_id)

    @property
    def sort_key(self) -> tuple[int, str]:
        """Order of listing."""
        return (self.create_time_ms, self.compute_id)

    def as_json(self) -> dict[str, object]:
        """Return the vendor's fields."""
        host = f"emr-spark-livy-gateway-{self.compute_id}"
        return {
            "computeId": self.compute_id,
            "name": self.name,
            "queueName": self.queue,
            "status": self.status,
            "createdBy": self.created_by,
            "endpoint": f"{host}.data.aliyun.com",
            "endpointInner": f"{host}-internal.data.aliyuncs.com",
            "gmtCreate": self.create_time_ms,
            "startTime": self.create_time_ms,
        }


@dataclass(frozen=True)
class SimulatedCluster(Record):
    """A session cluster."""

    workspace_id: str
    session_cluster_id: str
    name: str = "cluster"
    kind: str = "SQL"
    queue: str = "root_queue"
    state: str = "Running"
    user_name: str = "demo"
    create_time_ms: int = 1_700_000_000_000
    start_time_ms: int | None = 1_700_000_000_000
    reason_code: str = ""
    reason_message: str = ""
    release_version: str = "esr-4.0.0 (Spark 3.5.2, Scala 2.12)"
    fusion: bool = False
    auto_start: bool = True
    auto_stop_minutes: int | None = 45
    """Minutes of idleness after which it stops by itself; None = it does not."""
    public_endpoint: bool = False

    @property
    def sort_key(self) -> tuple[int, str]:
        """Order of listing."""
        return (self.create_time_ms, self.session_cluster_id)

    def as_json(self) -> dict[str, object]:
        """Return the vendor's fields, the secret-bearing ones among them."""
        return {
            "workspaceId": self.workspace_id,
            "sessionClusterId": self.session_cluster_id,
            "userId": "1509789347011222",
            "userName": self.user_name,
            "name": self.name,
            "queueName": self.queue,
            "kind": self.kind,
            "state": self.state,
            "stateChangeReason": {"code": self.reason_code, "message": self.reason_message},
            "autoStartConfiguration": {"enable": self.auto_start},
            "autoStopConfiguration": {
                "enable": self.auto_stop_minutes is not None,
                "idleTimeoutMinutes": self.auto_stop_minutes or 45,
            },
            "applicationConfigs": [
                {
                    "configFileName": "spark-defaults.conf",
                    "configItemKey": "spark.hadoop.fs.oss.accessKeySecret",
                    "configItemValue": APPLICATION_CONFIG_SECRET,
                }
            ],
            "webUI": f"http://spark-ui-{self.session_cluster_id}.data.aliyun.com",
            "releaseVersion": self.release_version,
            "displayReleaseVersion": self.release_version,
            "fusion": self.fusion,
            "draftId": "TSK-demo\n",
            "domain": "emr-spark-gateway-cn-hangzhou.data.aliyun.com",
            "domainInner": "emr-spark-gateway-cn-hangzhou-internal.data.aliyuncs.com",
            "gmtCreate": self.create_time_ms,
            "startTime": self.start_time_ms,
            "extra": '{"extraInfoKey":"extraInfoValue"}',
            "publicEndpointEnabled": self.public_endpoint,
            "connectionToken": CONNECTION_TOKEN,
        }


@dataclass(frozen=True)
class SimulatedSession(Record):
    """A Livy session, alive or a row of history."""

    workspace_id: str
    compute_id: str
    session_id: str
    create_time_ms: int
    name: str = "session"
    queue: str = "root_queue"
    state: str = "running"
    proxy_user: str | None = "demo"
    """None: `sparkConf` names no user."""
    end_time_ms: int | None = None
    usage: SimulatedUsage = SimulatedUsage()
    info: str = "null"
    """The vendor's sample holds this word, as text."""
    spark_conf: str | None = None
    """None: a JSON text with the proxy user and a planted secret; else served as it is."""

    @cached_property
    def key(self) -> SessionKey:
        """What makes this session one."""
        return SessionKey(self.workspace_id, self.compute_id, self.session_id, self.create_time_ms)

    @property
    def shows_figures(self) -> bool:
        """Whether the row is served with the identity and usage held here."""
        return self.raw is None or (
            not isinstance(self.raw, str) and _SERVED_FIGURES.isdisjoint(self.raw)
        )

    def as_json(self) -> dict[str, object]:
        """Return the vendor's fields; `cuHours` is exactly the nano-CU-hours over 10^9."""
        return {
            "name": self.name,
            "computeId": self.compute_id,
            "sessionId": self.session_id,
            "sparkConf": _spark_conf(self.proxy_user)
            if self.spark_conf is None
            else self.spark_conf,
            "state": self.state,
            "info": self.info,
            "createTime": self.create_time_ms,
            "endTime": self.end_time_ms,
            "webUI": f"http://emr-spark-ui-{self.session_id}.data.aliyun.com",
            "queue": self.queue,
            "cuHours": Decimal(self.usage.nano_cu_hours).scaleb(-9),
            "vcoreSeconds": self.usage.vcore_seconds,
            "mbSeconds": self.usage.mb_seconds,
        }
