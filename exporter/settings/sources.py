"""The sources of settings: flags, environment variables and the file."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic_settings import EnvSettingsSource

from exporter.errors import UsageError
from exporter.settings.documents import Document, Steps, dotted, quoted_unless_plain, read_yaml
from exporter.settings.fields import Settings
from exporter.settings.registry import PREFIX, all_settings, path_of, suggest

Origin = Literal["flag", "environment", "file", "default"]

_OF_A_SERVICE = re.compile(
    r"EMR_EXPORTER_(?:[A-Z0-9]+_)*?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)"
)
"""What Kubernetes injects for a Service named `emr-exporter` or `emr-exporter-…`."""

_PORT_OF_A_SERVICE = re.compile(r"EMR_EXPORTER_(?:[A-Z0-9]+_)*PORT")


@dataclass(frozen=True, slots=True)
class SourceValues:
    """The values of one source, nested as the schema is."""

    origin: Origin
    values: Mapping[str, Any]
    document: Document | None = None
    """What the values were read from, for a file."""

    def has(self, path: Sequence[str]) -> bool:
        """Whether the source gives the setting at `path`."""
        value: Any = self.values
        for step in path:
            if not isinstance(value, dict) or step not in value:
                return False
            value = value[step]
        return True

    def quote(self, steps: Steps, value: str = "") -> str:
        """Name a setting, or a place inside its value, as the operator wrote it."""
        shown = f"={value}" if value else ""
        if self.document:
            return f"{dotted(steps)}{shown} ({self.document.place(steps)})"
        path = path_of(steps)
        setting = all_settings()[path]
        name = setting.flag if self.origin == "flag" else setting.variable
        return f"{dotted((name, *steps[len(path) :]))}{shown}"


def first_source_with(sources: Iterable[SourceValues], path: Sequence[str]) -> SourceValues | None:
    """Return the strongest source that gives the setting at `path`."""
    return next((source for source in sources if source.has(path)), None)


def from_flags(flags: Mapping[tuple[str, ...], object]) -> SourceValues:
    """Take the values that flags gave, by the path of their settings."""
    nested: dict[str, Any] = {}
    for path, value in flags.items():
        group = nested
        for step in path[:-1]:
            group = group.setdefault(step, {})
        group[path[-1]] = value
    return SourceValues("flag", nested)


def from_environment(environ: Mapping[str, str], problems: list[str]) -> SourceValues:
    """Read `EMR_EXPORTER_*` variables; unknown names are added to `problems`.

    An empty variable counts as unset. Values of unknown variables are never repeated.
    """
    known = {setting.variable for setting in all_settings().values()}
    given = {}
    for variable, value in environ.items():
        if variable in known:
            given[variable.lower()] = value
        elif variable.upper().startswith(PREFIX) and not _is_of_kubernetes(variable, value):
            problems.append(_unknown_variable(variable, known))
    source = EnvSettingsSource(
        Settings, case_sensitive=False, env_prefix=PREFIX, env_nested_delimiter="__"
    )
    source.env_vars = {variable: value for variable, value in given.items() if value}
    return SourceValues("environment", source())


def from_file(path: Path) -> SourceValues:
    """Read the YAML file of `config.file`, in snake_case; a key without value counts as unset.

    pydantic-settings' own source would take `010` for 8, and a file that is missing for empty.
    Raises `UsageError`.
    """
    document = read_yaml(path, "--config.file")
    values = {} if document.value is None else _given(document.value)
    if not isinstance(values, dict):
        raise UsageError(f"{path}, line 1: give a mapping of settings, such as `poll:`")
    if "config" in values:
        raise UsageError(
            f"config ({document.place(('config',))}): only a flag or a variable names the file; "
            "remove it"
        )
    return SourceValues("file", values, document)


def _given(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    """Return a value without the keys that have none."""
    match value:
        case dict():
            return {key: _given(below) for key, below in value.items() if below is not None}
        case list():
            return [*map(_given, value)]
    return value


def _is_of_kubernetes(variable: str, value: str) -> bool:
    if variable == f"{PREFIX}PORT" or _OF_A_SERVICE.fullmatch(variable):
        return True
    return "://" in value and _PORT_OF_A_SERVICE.fullmatch(variable) is not None


def _unknown_variable(variable: str, known: Iterable[str]) -> str:
    names = [name.removeprefix(PREFIX) for name in known]
    advice = suggest(variable.upper().removeprefix(PREFIX), names)
    advice = advice.replace("mean ", f"mean {PREFIX}") or "unset it"
    return f"{quoted_unless_plain(variable)}: unknown variable; {advice}"
