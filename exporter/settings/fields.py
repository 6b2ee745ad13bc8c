"""Every setting: its type, default and meaning.

Times are seconds and sizes are bytes, whatever unit they were written in.
"""

import json
from pathlib import Path
from typing import Annotated, Literal
from warnings import catch_warnings, filterwarnings

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from exporter.settings import listen
from exporter.settings.notation import (
    DatabaseUrl,
    Duration,
    Endpoint,
    FilePath,
    FromJson,
    Ids,
    Interval,
    ListenAddress,
    Notation,
    Number,
    RegionId,
    SchemaName,
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


class SettingsGroup(BaseModel):
    """Settings that share a prefix."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ConfigFileSettings(SettingsGroup):
    """Where settings come from."""

    file: Annotated[FilePath | None, Unset("none")] = Field(
        None, description="YAML file with settings; its keys are in snake_case"
    )


class SessionClustersSettings(SettingsGroup):
    """How session clusters are polled."""

    enabled: bool = Field(default=True, description="poll session clusters")


class LivySettings(SettingsGroup):
    """How Livy sessions are polled."""

    enabled: bool = Field(default=True, description="poll Livy sessions")
    full_walk_interval: Interval = Field(
        6 * 3600.0, description="how often the complete history of a Livy gateway is read again"
    )
    settle_after: Duration = Field(
        1800.0,
        description="how long after its end a session is still read, because its figures may be "
        "revised",
    )


class ApiSettings(SettingsGroup):
    """How the API is called."""

    endpoint: Annotated[Endpoint | None, Unset("by region")] = Field(
        None,
        description="URL of the API, which may contain `{region}`; plain `http` is allowed for "
        "loopback only",
    )
    network: Literal["public", "vpc"] = Field(
        "public", description="network of the API if `api.endpoint` is not set: `public` or `vpc`"
    )
    timeout: Duration = Field(
        10.0,
        description="time limit of one attempt of an API request, of which connecting may take 5 s",
    )
    max_attempts: WholeNumber = Field(
        4,
        ge=1,
        le=20,
        description="attempts per API request, including the first; failures are repeated only "
        "while `api.timeout` fits into what is left of `poll.timeout`",
    )
    max_requests_per_second: Number = Field(
        10.0,
        gt=0,
        le=1000,
        description="rate limit for each account and region; every attempt counts",
    )
    max_response_bytes: Size = Field(
        16 * 2**20, description="largest API response that is accepted"
    )


class PollSettings(SettingsGroup):
    """When targets are polled."""

    interval: Interval = Field(30.0, description="how often each target is polled")
    timeout: Interval = Field(
        60.0, description="a poll fails if no page of its listing arrives for this long"
    )
    stale_after: Interval = Field(
        300.0,
        description="the gauges of a target are withdrawn when its last successful poll is older "
        "than the longest of this, 3 poll intervals, and twice the duration of its last poll",
    )


class DiscoverySettings(SettingsGroup):
    """How workspaces and gateways are found."""

    interval: Interval = Field(
        600.0, description="how often workspaces and gateways are discovered"
    )
    include: Texts = Field(
        (),
        description="shell patterns for ids or names of workspaces; only workspaces that "
        "match are polled",
    )
    exclude: Texts = Field(
        (),
        description="shell patterns for ids or names of workspaces; workspaces that match are "
        "not polled",
    )


class SessionsSettings(SettingsGroup):
    """Which sessions have series of their own."""

    ended_retention: Duration = Field(
        900.0,
        description="how long a Livy session keeps series of its own after the poll that first "
        "saw it ended",
    )
    max_series_sessions: WholeNumber = Field(
        5000,
        ge=0,
        description="maximum number of Livy sessions with series of their own; failed ones come "
        "first, then the newest live ones, then ended ones; session clusters are not limited",
    )


class UsageSettings(SettingsGroup):
    """How usage is split up."""

    by_proxy_user: bool = Field(default=True, description="export the `livy_proxy_user_*` counters")
    max_proxy_users: WholeNumber = Field(
        200,
        ge=0,
        description="maximum number of proxy users per gateway with counters of their own, in the "
        "order in which they are first seen; all others are counted as `_other`",
    )


with catch_warnings():
    # pydantic warns of a field that hides its deprecated method `schema`, which nothing calls.
    filterwarnings("ignore", message='Field name "schema"')

    class LedgerSettings(SettingsGroup):
        """Where the counters are kept: in a file, or in PostgreSQL."""

        path: FilePath = Field(
            Path("emr-exporter.db"),
            description="SQLite file of the counters, on a local or block disk (not NFS)",
        )
        url: Annotated[DatabaseUrl | None, Unset("none")] = Field(
            None,
            description="URL of a PostgreSQL database that holds the counters instead of a file, "
            "such as `postgresql://user@host/database?sslmode=verify-full`; put the password "
            "in `PGPASSWORD`, the file of `PGPASSFILE` or a service file",
        )
        schema: SchemaName = Field(  # type: ignore[assignment]  # pydantic's method of this name
            "emr_exporter",
            description="schema in the database of `ledger.url`, one per installation",
        )
        birth_hold: Duration = Field(
            90.0,
            description="how long a new counter series keeps its first value before it shows "
            "increases; must be longer than the longest scrape interval",
        )
        forget_after: Duration = Field(
            400 * 86400.0, description="how long a session that is no longer listed is remembered"
        )

        @property
        def is_given(self) -> bool:
            """Whether a ledger was named: without one `once` uses none."""
            return not {"path", "url"}.isdisjoint(self.model_fields_set)


class LeaseSettings(SettingsGroup):
    """How replicas that share a ledger in PostgreSQL take turns."""

    duration: Duration = Field(
        30.0,
        ge=10,
        description="with `ledger.url`: how long a standby replica waits before it takes over "
        "from an owner that is gone; must be the same for all replicas",
    )


class WebConfigSettings(SettingsGroup):
    """What the exporter-toolkit calls its web configuration."""

    file: Annotated[FilePath | None, Unset("none")] = Field(
        None,
        description="web configuration file of the Prometheus exporter-toolkit: TLS, passwords, "
        "headers",
    )


class WebSettings(SettingsGroup):
    """How the page is served."""

    listen_address: ListenAddress = Field(
        "127.0.0.1:9825",
        description="address to listen on; `:9825` is all interfaces, as in the container image",
    )
    config: WebConfigSettings = WebConfigSettings()
    telemetry_path: UrlPath = Field("/metrics", description="path of the metrics")
    health_auth: bool = Field(
        default=False, description="require a password for the health endpoints too"
    )

    @property
    def listen(self) -> listen.ListenAddress:
        """Host and port of `listen_address`."""
        return listen.parse(self.listen_address)


class LogSettings(SettingsGroup):
    """The log on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="lowest level that is logged: `debug`, `info`, `warning` or `error`"
    )
    format: Annotated[
        Literal["logfmt", "json", "console"] | None, Unset("logfmt; console on a TTY")
    ] = Field(None, description="format of the log on stderr: `logfmt`, `json` or `console`")


class DemoSettings(SettingsGroup):
    """The simulated cloud."""

    speed: Number = Field(
        60.0,
        ge=0.001,  # below, its history would begin before 1970
        le=100_000,
        description="how many times faster than in reality simulated sessions run and use CU-hours",
    )


class Settings(BaseSettings):
    """All settings. `None` means that a setting without default was not given."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", case_sensitive=True)

    region_id: Annotated[RegionId | None, Unset("required where a target names none")] = Field(
        None, description="region to poll, such as `cn-hangzhou`"
    )
    workspace_ids: Ids = Field(
        (), description="workspaces to poll; empty = all that the credential may list"
    )
    livy_compute_ids: Ids = Field(
        (),
        description="Livy gateways to poll, with exactly one workspace (otherwise use `targets`); "
        "empty = all",
    )
    targets: Targets = Field(
        (),
        description="list of `{region_id, workspace_id, livy_compute_ids, role_arn, account}`, as "
        "YAML or JSON, for several regions or accounts",
    )
    config: ConfigFileSettings = ConfigFileSettings()
    session_clusters: SessionClustersSettings = SessionClustersSettings()
    livy: LivySettings = LivySettings()
    api: ApiSettings = ApiSettings()
    poll: PollSettings = PollSettings()
    discovery: DiscoverySettings = DiscoverySettings()
    sessions: SessionsSettings = SessionsSettings()
    usage: UsageSettings = UsageSettings()
    ledger: LedgerSettings = LedgerSettings()
    lease: LeaseSettings = LeaseSettings()
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
        """Read nothing by itself: `load` builds the sources from its arguments."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def effective_targets(self) -> tuple[TargetSettings, ...]:
        """Return the targets in one form, each with its region.

        A target without workspace stands for all that the credential may list.
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
