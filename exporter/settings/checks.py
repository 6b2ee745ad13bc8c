"""Checks of settings that do not fit together."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec

from exporter.settings.fields import LedgerSettings, Settings
from exporter.settings.registry import all_settings, path_of
from exporter.settings.sources import SourceValues, first_source_with
from exporter.settings.targets import TargetSettings

_DISTRIBUTION = "emr-serverless-spark-exporter"

_Name = Callable[..., str]
"""Returns how the operator named a setting, or a place inside its value, by the steps to it."""


def cross_check(
    settings: Settings, sources: Sequence[SourceValues], *, needs_region: bool
) -> Iterator[str]:
    """Return one line for each combination of settings that is not valid."""

    def written(*steps: str | int) -> str:
        path = path_of(steps)
        source = first_source_with(sources, path)
        return source.quote(steps) if source else all_settings()[path].name

    yield from _exclusive(settings, written)
    yield from _ledger(settings.ledger, written)
    yield from _gateways(settings, written)
    yield from _duplicates(settings, written)
    if needs_region:
        yield from _regions(settings, written)


def _exclusive(settings: Settings, written: _Name) -> Iterator[str]:
    if not settings.targets:
        return
    for key, ids in (
        ("workspace_ids", settings.workspace_ids),
        ("livy_compute_ids", settings.livy_compute_ids),
    ):
        if ids:
            yield f"{written(key)}: cannot be combined with {written('targets')}; set it there"


def _ledger(ledger: LedgerSettings, written: _Name) -> Iterator[str]:
    url = written("ledger", "url")
    if not ledger.url:
        if ledger.schema != LedgerSettings().schema:
            yield f"{written('ledger', 'schema')}: has no effect without {url}; remove it"
        return
    if "path" in ledger.model_fields_set:
        yield f"{url}: cannot be combined with {written('ledger', 'path')}; remove one of them"
    if find_spec("psycopg") is None:
        yield f"{url}: PostgreSQL needs psycopg: pip install '{_DISTRIBUTION}[postgres]'"


def _gateways(settings: Settings, written: _Name) -> Iterator[str]:
    if settings.livy_compute_ids and not settings.targets and len(settings.workspace_ids) != 1:
        yield (
            f"{written('livy_compute_ids')}: name exactly one workspace with --workspace-ids, "
            "or use --targets for several"
        )
    for index, target in enumerate(settings.targets):
        if target.livy_compute_ids and not target.workspace_id:
            yield f"{written('targets', index, 'livy_compute_ids')}: set workspace_id too"


def _duplicates(settings: Settings, written: _Name) -> Iterator[str]:
    """Find what would be counted twice: a workspace counts once, whichever credential sees it."""
    named = Counter(_polled_by(target) for target in settings.effective_targets())
    for name, times in named.items():
        if times > 1:
            yield f"{written('targets')}: {name} is listed {times} times; list it once"


def _polled_by(target: TargetSettings) -> str:
    account = f" of account {target.account_name}" if target.account_name else ""
    return target.workspace_id or f"region {target.region_id or '(none)'}{account}"


def _regions(settings: Settings, written: _Name) -> Iterator[str]:
    if settings.region_id:
        return
    if not settings.targets:
        region = all_settings()["region_id",]
        yield f"region-id: no region is set; set {region.flag}=cn-hangzhou or {region.variable}"
    for index, target in enumerate(settings.targets):
        if not target.region_id:
            yield f"{written('targets', index)}: set region_id, or --region-id for all targets"
