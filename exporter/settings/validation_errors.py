"""Errors of single values, one line each, for the operator."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from exporter.settings.documents import dotted, quoted_unless_plain
from exporter.settings.fields import Settings
from exporter.settings.registry import all_settings, fields, path_of, suggest
from exporter.settings.sources import SourceValues, first_source_with
from exporter.settings.targets import TargetSettings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_LONGEST = 60
"""Characters of a wrong value that are repeated."""

_MAY_HOLD_A_SECRET = re.compile(r"[{}@]|://.*\?|passw|pwd|secret|token|-----BEGIN", re.IGNORECASE)
"""An object with keys of any name; a URL with or without scheme; a connection string of libpq."""

_ADVICE = {
    "bool_": "give true or false",
    "int_": "give a whole number",
    "float_": "give a number",
    "greater_than_equal": "give at least {ge}",
    "greater_than": "give more than {gt}",
    "less_than_equal": "give at most {le}",
    "string_type": "give a text",
    "string_unicode": "give a text in UTF-8",
    "string_too_long": "give at most {max_length} characters",
    "tuple_type": "give a list",
    "path_type": "give the path of a file",
    "dict_": "give a mapping of keys",
    "value_error": "{error}",
}
"""By the beginning of pydantic's error type; the rest is said in pydantic's own words."""

_PATTERN_ADVICE = {
    "account": "give a name in one line, without control characters",
    "region_id": "give a region such as cn-hangzhou",
    "role_arn": "give a role such as acs:ram::1234567890123456:role/name",
}


def advice(
    details: "ErrorDetails",
    name: str,
    names: Sequence[str],
    write: Callable[[Any], str] = "{:g}".format,
) -> str:
    """Return what to give for the key `name`, where `names` are known; `write` writes a bound."""
    kind = details["type"]
    if kind == "extra_forbidden":
        dotted_key = name.replace("-", "_")
        if "." in str(details["loc"][-1]) and dotted_key in names:
            return f"unknown key; nest it: {_nested(dotted_key)}"
        return f"unknown key; {suggest(name, names) or 'remove it'}"
    if kind == "string_pattern_mismatch":
        return _PATTERN_ADVICE.get(str(details["loc"][-1]), "give an id of letters, digits, - _ .")
    if kind.startswith("model_"):
        example = next((known for known in names if known.startswith(f"{name}.")), names[0])
        return f"give a mapping of keys such as {example}"
    if kind == "literal_error":
        return f"give {details['ctx']['expected']}".replace("'", "")
    text = next((text for begin, text in _ADVICE.items() if kind.startswith(begin)), "{msg}")
    context: dict[str, Any] = {"msg": details["msg"], **details.get("ctx", {})}
    context |= {bound: write(context[bound]) for bound in ("ge", "gt", "le") if bound in context}
    return text.format_map(context)


def _nested(name: str) -> str:
    """Write a key with dots as YAML has it: `web: {config: {file: ...}}`."""
    groups = name.count(".")
    return f"{name.replace('.', ': {')}: ...{'}' * groups}"


def lines(source: SourceValues, stronger: Sequence[SourceValues]) -> Iterator[str]:
    """Write each error of a source in one line, except for values that a stronger one replaces."""
    try:
        Settings.model_validate(source.values)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            path = path_of(details["loc"])
            if not path or not first_source_with(stronger, path):
                yield _line(source, path, details)


def _line(source: SourceValues, path: tuple[str, ...], details: "ErrorDetails") -> str:
    location = details["loc"]
    must_hide = details["type"] == "extra_forbidden" or (
        path and not all_settings()[path].notation.is_quoted
    )
    shown = "" if must_hide else safely_shown(details["input"])
    if path == ("targets",):
        name, names = str(location[-1]), [*TargetSettings.model_fields]
    else:
        name, names = dotted(location), [dotted(known) for known, _ in fields(Settings)]
    write = all_settings()[path].notation.write if path else str
    return f"{source.quote(location, shown)}: {advice(details, name, names, write)}"


def safely_shown(value: object) -> str:
    """Repeat a wrong value on one line, unless it is of a kind that may hold a secret."""
    if isinstance(value, dict | list | tuple):
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if _MAY_HOLD_A_SECRET.search(text):
        return ""
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return quoted_unless_plain(text)
