"""What no single setting can tell: settings that do not fit together."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from exporter.settings.given import Given, strongest
from exporter.settings.names import known
from exporter.settings.schema import Settings
from exporter.settings.targets import TargetSettings

_Name = Callable[[str], str]
"""Gives how the operator named a setting, by its key."""


def problems(settings: Settings, givens: Sequence[Given], *, needs_region: bool) -> Iterator[str]:
    """Give one line for each combination that cannot be meant."""

    def written(key: str) -> str:
        given = strongest(givens, (key,))
        return given.spellings[key,].quote() if given else known()[key,].name

    yield from _exclusive(settings, written)
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
            yield f"{written(key)}: not together with {written('targets')}; name it there"


def _gateways(settings: Settings, written: _Name) -> Iterator[str]:
    if settings.livy_compute_ids and not settings.targets and len(settings.workspace_ids) != 1:
        yield (
            f"{written('livy_compute_ids')}: name exactly one workspace with "
            f"{known()['workspace_ids',].flag}, or use {known()['targets',].flag} for several"
        )
    for index, target in enumerate(settings.targets):
        if target.livy_compute_ids and not target.workspace_id:
            yield f"{written('targets')}[{index}].livy_compute_ids: name their workspace_id too"


def _duplicates(settings: Settings, written: _Name) -> Iterator[str]:
    """Find what would be counted twice: a workspace counts once, whichever credential sees it."""
    named = Counter(_polled_by(target) for target in settings.effective_targets())
    for name, times in named.items():
        if times > 1:
            yield f"{written('targets')}: {name} is named {times} times; name it once"


def _polled_by(target: TargetSettings) -> str:
    account = f" of account {target.account_name}" if target.account_name else ""
    return target.workspace_id or f"region {target.region_id or '(none)'}{account}"


def _regions(settings: Settings, written: _Name) -> Iterator[str]:
    if settings.region_id:
        return
    if not settings.targets:
        region = known()["region_id",]
        yield f"region-id: no region is set; give {region.flag}=cn-hangzhou or {region.variable}"
    for index, target in enumerate(settings.targets):
        if not target.region_id:
            yield f"{written('targets')}[{index}]: give it a region_id, or set --region-id for all"
