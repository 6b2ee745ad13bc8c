"""Gathers the settings from flags, environment and file, the strongest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exporter.errors import SettingsError, UsageError
from exporter.settings import checks, environment, file, flags
from exporter.settings.given import Given, Origin, strongest
from exporter.settings.names import known
from exporter.settings.problems import from_validation
from exporter.settings.schema import Settings

NEED_NO_REGION = frozenset({"demo", "config", "metrics", "ledger"})
"""Commands that call no API, or not the real one."""

_FILE = ("config", "file")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and where each came from."""

    settings: Settings
    origins: Mapping[str, Origin]
    """By the setting's name, such as `api.max-attempts`; every setting is in it."""


def load(command: str, argv: Sequence[str], environ: Mapping[str, str]) -> Loaded:
    """Gather the settings for `command`; `argv` holds flags only.

    Raises `SettingsError` with one line for each thing that is wrong.
    """
    problems: list[str] = []
    givens = [flags.read(argv, problems), environment.read(environ, problems)]
    givens += _from_file(givens, problems)
    settings = _validated(givens, problems)
    if settings and not problems:
        needs_region = command not in NEED_NO_REGION
        problems += checks.problems(settings, givens, needs_region=needs_region)
    if problems or settings is None:
        raise SettingsError(*problems)
    return Loaded(settings, _origins(givens))


def _from_file(givens: Sequence[Given], problems: list[str]) -> list[Given]:
    named = strongest(givens, _FILE)
    if named is None:
        return []
    try:
        return [file.read(Path(str(named.value(_FILE))), problems)]
    except UsageError as error:
        problems += error.problems
        return []


def _validated(givens: Sequence[Given], problems: list[str]) -> Settings | None:
    merged: dict[str, Any] = {}
    for given in reversed(givens):
        merged = _merge(merged, given.values)
    try:
        return Settings(**merged)
    except ValidationError as error:
        problems += from_validation(error, givens)
        return None


def _merge(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(weak)
    for key, value in strong.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


def _origins(givens: Sequence[Given]) -> Mapping[str, Origin]:
    origins: dict[str, Origin] = {}
    for path, setting in known().items():
        given = strongest(givens, path)
        origins[setting.name] = given.origin if given else "default"
    return origins
