"""Gathers the settings from flags, environment and file, the strongest first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic_settings import InitSettingsSource

from exporter.errors import SettingsError, UsageError
from exporter.settings import validation_errors
from exporter.settings.checks import cross_check
from exporter.settings.fields import Settings
from exporter.settings.notation import check_file_path
from exporter.settings.registry import all_settings
from exporter.settings.sources import (
    Origin,
    SourceValues,
    first_source_with,
    from_environment,
    from_file,
    from_flags,
)

_FILE = ("config", "file")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and where each came from."""

    settings: Settings
    origins: Mapping[str, Origin]
    """By the setting's name, such as `api.max-attempts`; every setting is in it."""


def load(
    flags: Mapping[tuple[str, ...], object],
    environ: Mapping[str, str],
    *,
    needs_region: bool = True,
    problems: Iterable[str] = (),
) -> Loaded:
    """Gather the settings; `flags` are by the path of their setting.

    Raises `SettingsError` with one line for each thing that is wrong, after `problems`.
    """
    found = list(problems)
    sources = [from_flags(flags), from_environment(environ, found)]
    sources += _from_file(sources, found)
    for strength, source in enumerate(sources):
        found += validation_errors.lines(source, sources[:strength])
    if found:
        raise SettingsError(*found)
    settings = _merged(sources)
    found += cross_check(settings, sources, needs_region=needs_region)
    if found:
        raise SettingsError(*found)
    origins: dict[str, Origin] = {}
    for path, setting in all_settings().items():
        strongest = first_source_with(sources, path)
        origins[setting.name] = strongest.origin if strongest else "default"
    return Loaded(settings, origins)


def _from_file(sources: Iterable[SourceValues], problems: list[str]) -> list[SourceValues]:
    named = first_source_with(sources, _FILE)
    if named is None:
        return []
    name = str(named.values["config"]["file"])
    try:
        check_file_path(name)
        return [from_file(Path(name))]
    except ValueError:  # which the errors of the source that names it repeat
        return []
    except UsageError as error:
        problems += error.problems
        return []


def _merged(sources: Iterable[SourceValues]) -> Settings:
    values = (InitSettingsSource(Settings, dict(source.values)) for source in sources)
    return Settings(_build_sources=(tuple(values), {}))
