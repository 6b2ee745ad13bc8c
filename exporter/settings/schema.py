"""Every setting: its type, default and meaning.

Times are seconds and sizes are bytes, whatever they were written in. Reading a `Settings`
reads nothing else: no environment, no file. That is `exporter.settings.load`'s part.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from exporter.settings import listen
from exporter.settings.notation import (
    Duration,
    Endpoint,
    FilePath,
    FromJson,
    Ids,
    Interval,
    ListenAddress,
    Notation,
    RegionId,
    Size,
    Texts,
    Unset,
    UrlPath,
    WholeNumber,
)
from exporter.settings.targets import TargetSettings

Targets = Annotated[
    tuple[TargetSettings, ...],
    NoDecode,
    FromJson,
    Notation("JSON", lambda targets: json.dumps([target.written() for target in targets])),
]


class Group(BaseModel):
    """Settings that share a prefix."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ConfigFile(Group):
    """Where settings come from."""

    file: Annotated[FilePath | None, Unset("none")] = Field(
        None, description="YAML file with settings, in snake_case"
    )


class SessionClustersSettings(Group):
    """How session clusters are polled."""

    enabled: bool = Field(default=True, description="poll session clusters")


class LivySettings(Group):
    """How Livy sessions are polled."""

    enabled: bool = Field(default=True, description="poll Livy sessions")
    full_walk_interval: Interval = Field(
        6 * 3600.0, description="complete re-reading of a Livy history"
    )
    settle_after: Duration = Field(
        1800.0,
        description="an ended session is re-read for so long in case its figures are revised",
    )


class ApiSettings(Group):
    """How the API is called."""

    endpoint: Annotated[Endpoint | None, Unset("by region")] = Field(
        None,
        description="URL override (may contain `{region}`); plain `http` is refused except to "
        "loopback",
    )
    network: Literal["public", "vpc"] = Field("public", description="`public` or `vpc`")
    timeout: Duration = Field(10.0, description="per request; connect 5 s")
    max_attempts: WholeNumber = Field(
        4, ge=1, le=20, description="per request, the only place that retries"
    )
    max_requests_per_second: float = Field(
        10.0,
        gt=0,
        le=1000,
        description="one budget per account and region, every HTTP attempt counts",
    )
    max_response_bytes: Size = Field(
        16 * 2**20, description="larger answers are refused while reading"
    )


class PollSettings(Group):
    """When targets are polled."""

    interval: Interval = Field(30.0, description="session clusters and Livy sessions")
    timeout: Interval = Field(60.0, description="a poll fails when nothing arrived for so long")
    stale_after: Interval = Field(
        300.0,
        description="gauges of a target are withdrawn when its last good poll is older than this, "
        "or than 3 of its own intervals, or twice its last poll's duration, whichever is longest",
    )


class DiscoverySettings(Group):
    """How workspaces and gateways are found."""

    interval: Interval = Field(600.0, description="workspaces and gateways")
    include: Texts = Field(
        (), description="patterns on workspace id or name; only these workspaces are polled"
    )
    exclude: Texts = Field(
        (), description="patterns on workspace id or name; these workspaces are not polled"
    )


class SessionsSettings(Group):
    """Which sessions have series of their own."""

    ended_retention: Duration = Field(
        900.0,
        description="how long an ended Livy session keeps its own series, from the moment its "
        "end was first seen",
    )
    max_series_sessions: WholeNumber = Field(
        5000,
        ge=0,
        description="Livy sessions with own series; over it: failed ones first, then live ones by "
        "newest, then ended ones; session clusters are never cut",
    )


class UsageSettings(Group):
    """How usage is split."""

    by_proxy_user: bool = Field(default=True, description="the `livy_proxy_user_*` counters")
    max_proxy_users: WholeNumber = Field(
        200, ge=0, description="per gateway, in order of first sight; the rest is `_other`"
    )


class LedgerSettings(Group):
    """The file that remembers what was counted."""

    path: FilePath = Field(
        Path("emr-exporter.db"), description="SQLite file on a local or block disk (not NFS)"
    )
    birth_hold: Duration = Field(
        90.0,
        description="how long a new series shows its first value before increases show; longer "
        "than the longest scrape interval",
    )
    forget_after: Duration = Field(
        400 * 86400.0, description="how long a session that is no longer listed is remembered"
    )

    @property
    def is_given(self) -> bool:
        """Tell whether somebody set `ledger.path`: without it `once` uses no ledger."""
        return "path" in self.model_fields_set


class WebConfig(Group):
    """What the exporter-toolkit calls its web configuration."""

    file: Annotated[FilePath | None, Unset("none")] = Field(
        None, description="Prometheus exporter-toolkit file: TLS, basic auth, headers"
    )


class WebSettings(Group):
    """How the page is served."""

    listen_address: ListenAddress = Field(
        "127.0.0.1:9825",
        description="`:9825` for all interfaces (the container image sets this)",
    )
    config: WebConfig = WebConfig()
    telemetry_path: UrlPath = Field("/metrics", description="where the metrics are served")
    health_auth: bool = Field(
        default=False, description="ask a password for the health endpoints too"
    )

    @property
    def listen(self) -> listen.ListenAddress:
        """Give host and port of `listen_address`."""
        return listen.parse(self.listen_address)


class LogSettings(Group):
    """What is logged, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="`debug`, `info`, `warning` or `error`"
    )
    format: Annotated[
        Literal["logfmt", "json", "console"] | None, Unset("logfmt; console on a TTY")
    ] = Field(None, description="`logfmt`, `json` or `console`")


class DemoSettings(Group):
    """The simulated cloud."""

    speed: float = Field(
        60.0, gt=0, le=100_000, description="how much faster sessions of the demo live and burn"
    )


class Settings(BaseSettings):
    """What the operator decides. `None` means that nobody did."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    region_id: Annotated[RegionId | None, Unset("required where a target names none")] = Field(
        None, description="the region to poll, such as `cn-hangzhou`"
    )
    workspace_ids: Ids = Field(
        (), description="workspaces; empty = discover all that the credential may list"
    )
    livy_compute_ids: Ids = Field(
        (),
        description="gateways, only with exactly one workspace (else use `targets`); "
        "empty = discover",
    )
    targets: Targets = Field(
        (),
        description="list of `{region_id, workspace_id, livy_compute_ids, role_arn, account}` for "
        "many regions and accounts, as YAML or JSON",
    )
    config: ConfigFile = ConfigFile()
    session_clusters: SessionClustersSettings = SessionClustersSettings()
    livy: LivySettings = LivySettings()
    api: ApiSettings = ApiSettings()
    poll: PollSettings = PollSettings()
    discovery: DiscoverySettings = DiscoverySettings()
    sessions: SessionsSettings = SessionsSettings()
    usage: UsageSettings = UsageSettings()
    ledger: LedgerSettings = LedgerSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    demo: DemoSettings = DemoSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read only what is handed over: `load` gathers it from its arguments."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def effective_targets(self) -> tuple[TargetSettings, ...]:
        """Give what to poll in one form, each entry with its region.

        An entry without workspace stands for all that the credential may list.
        """
        if self.targets:
            return tuple(
                target.model_copy(update={"region_id": target.region_id or self.region_id})
                for target in self.targets
            )
        return tuple(
            TargetSettings(
                region_id=self.region_id,
                workspace_id=workspace_id,
                livy_compute_ids=self.livy_compute_ids,
            )
            for workspace_id in self.workspace_ids or (None,)
        )
