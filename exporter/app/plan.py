"""From settings to what is polled, and where: a pure function."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exporter.errors import SettingsError
from exporter.model import Source, Target
from exporter.settings import Settings, TargetSettings


@dataclass(frozen=True, slots=True)
class PlannedTarget:
    """A target, the URL of its region's API, and the role to assume for it (or `""`)."""

    target: Target
    endpoint: str
    role_arn: str


def plan(settings: Settings) -> Sequence[PlannedTarget]:
    """Give the targets that the settings name. Raises `SettingsError` where there is none."""
    planned = [each for entry in settings.effective_targets() for each in _of(settings, entry)]
    if not planned:
        raise SettingsError(
            "there is nothing to poll: name workspaces (workspace-ids) for session clusters,"
            " gateways (livy-compute-ids) for Livy sessions, and leave"
            " session-clusters.enabled or livy.enabled on"
        )
    return planned


def _of(settings: Settings, entry: TargetSettings) -> Iterator[PlannedTarget]:
    if not entry.workspace_id:
        return
    region_id = entry.region_id or ""
    where = (entry.account_name, region_id, entry.workspace_id)
    url, role_arn = endpoint(settings, region_id), entry.role_arn or ""
    if settings.session_clusters.enabled:
        yield PlannedTarget(Target(Source.SESSION_CLUSTERS, *where), url, role_arn)
    if settings.livy.enabled:
        for livy_compute_id in entry.livy_compute_ids:
            target = Target(Source.LIVY_SESSIONS, *where, livy_compute_id)
            yield PlannedTarget(target, url, role_arn)


def endpoint(settings: Settings, region_id: str) -> str:
    """Give the URL of the API in a region: as set, or the vendor's for the network."""
    if settings.api.endpoint:
        return settings.api.endpoint.replace("{region}", region_id)
    network = "-vpc" if settings.api.network == "vpc" else ""
    return f"https://emr-serverless-spark{network}.{region_id}.aliyuncs.com"
