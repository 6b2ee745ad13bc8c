"""From settings to what is polled, and where: pure functions."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import SettingsError
from exporter.ledger import Postgres
from exporter.model import Source
from exporter.settings import Settings, TargetSettings
from exporter.sources import Inventory, Selection, by_patterns


@dataclass(frozen=True, slots=True)
class Shard:
    """One account in one region: the URL of its API, and the role to assume (or `""`)."""

    endpoint: str
    role_arn: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What the settings name: the shards by account and region, and what to poll there."""

    shards: Mapping[tuple[str, str], Shard]
    inventory: Inventory
    sources: frozenset[Source]


def plan(settings: Settings) -> Plan:
    """Work out what to poll. Raises `SettingsError` if that is nothing, or ambiguous."""
    entries = settings.effective_targets()
    sources = frozenset(_sources(settings))
    if not sources:
        raise SettingsError(
            "there is nothing to poll: set session-clusters.enabled or livy.enabled to true"
        )
    is_wanted = by_patterns(settings.discovery.include, settings.discovery.exclude)
    inventory = Inventory(map(_selection, entries), sources, is_wanted)
    return Plan(_shards(settings, entries), inventory, sources)


def ledger_location(settings: Settings, *, is_patient: bool = False) -> Path | Postgres:
    """Return where the ledger is; in PostgreSQL, a daemon `is_patient` from its start on."""
    ledger = settings.ledger
    if not ledger.url:
        return ledger.path
    duration = settings.lease.duration
    return Postgres(ledger.url, ledger.schema, duration, is_patient, _digest(settings))


def _digest(settings: Settings) -> str:
    """Return what is the same for settings by which the same is polled and counted."""
    counted = (
        *(settings.region_id, settings.workspace_ids, settings.livy_compute_ids, settings.targets),
        *(settings.session_clusters.enabled, settings.livy.enabled),
        *(settings.discovery.include, settings.discovery.exclude, settings.usage),
        *(settings.ledger.birth_hold, settings.ledger.forget_after, settings.lease),
    )
    return hashlib.sha256(repr(counted).encode()).hexdigest()[:16]


def _sources(settings: Settings) -> Iterator[Source]:
    if settings.session_clusters.enabled:
        yield Source.SESSION_CLUSTERS
    if settings.livy.enabled:
        yield Source.LIVY_SESSIONS


def _selection(entry: TargetSettings) -> Selection:
    return Selection(
        entry.account_name, entry.region_id or "", entry.workspace_id or "", entry.livy_compute_ids
    )


def _shards(
    settings: Settings, entries: tuple[TargetSettings, ...]
) -> Mapping[tuple[str, str], Shard]:
    shards: dict[tuple[str, str], Shard] = {}
    for entry in entries:
        where = (entry.account_name, entry.region_id or "")
        shard = Shard(_endpoint(settings, where[1]), entry.role_arn or "")
        if shards.setdefault(where, shard) != shard:
            raise SettingsError(
                f"targets: account {where[0] or '(unnamed)'} in region {where[1]} is reached "
                f"through different roles; set a different account for each role"
            )
    return shards


def _endpoint(settings: Settings, region_id: str) -> str:
    if settings.api.endpoint:
        return settings.api.endpoint.replace("{region}", region_id)
    network = "-vpc" if settings.api.network == "vpc" else ""
    return f"https://emr-serverless-spark{network}.{region_id}.aliyuncs.com"
