"""Settings from the environment: `EMR_EXPORTER_API__MAX_ATTEMPTS`."""

import re
from collections.abc import Mapping

from pydantic_settings import EnvSettingsSource

from exporter.settings.given import Given, Path, Spelling
from exporter.settings.names import PREFIX, known, nearest
from exporter.settings.schema import Settings

_OF_A_SERVICE = re.compile(
    r"EMR_EXPORTER_(?:[A-Z0-9]+_)*?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)"
)
"""What Kubernetes injects for a Service named `emr-exporter` or `emr-exporter-…`."""

_PORT_OF_A_SERVICE = re.compile(r"EMR_EXPORTER_(?:[A-Z0-9]+_)*PORT")


def read(environ: Mapping[str, str], problems: list[str]) -> Given:
    """Read `EMR_EXPORTER_*` variables; unknown names are added to `problems`.

    An empty variable counts as unset. Values of unknown variables are never repeated.
    """
    by_variable = {setting.variable: setting for setting in known().values()}
    spellings: dict[Path, Spelling] = {}
    accepted = {}
    for variable, value in environ.items():
        if not variable.upper().startswith(PREFIX) or _is_of_kubernetes(variable, value):
            continue
        setting = by_variable.get(variable)
        if setting is None:
            problems.append(_unknown(variable, by_variable))
        elif value:
            spellings[setting.path] = Spelling(variable)
            accepted[variable.lower()] = value
    source = EnvSettingsSource(Settings, env_prefix=PREFIX, env_nested_delimiter="__")
    source.env_vars = accepted
    return Given("environment", source(), spellings)


def _is_of_kubernetes(variable: str, value: str) -> bool:
    if variable == f"{PREFIX}PORT" or _OF_A_SERVICE.fullmatch(variable):
        return True
    return "://" in value and _PORT_OF_A_SERVICE.fullmatch(variable) is not None


def _unknown(variable: str, known_variables: Mapping[str, object]) -> str:
    names = {name.removeprefix(PREFIX): name for name in known_variables}
    name = variable.upper().removeprefix(PREFIX)
    advice = nearest(name, names).replace("mean ", f"mean {PREFIX}")
    return f"{variable}: unknown variable; {advice or 'unset it'}"
