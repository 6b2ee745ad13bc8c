"""What is wrong with a value, in one line for the operator."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from exporter.settings.given import Given, Spelling, strongest
from exporter.settings.names import known, nearest
from exporter.settings.targets import TargetSettings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_LONGEST = 60
"""Characters of a wrong value that are repeated."""

_MAY_HOLD_A_SECRET = re.compile(r"[{}]|://.*@")
"""An object with keys of any name; a URL with a password."""

_ADVICE = {
    "bool_": "give true or false",
    "float_": "give a number",
    "greater_than_equal": "give at least {ge:g}",
    "greater_than": "give more than {gt:g}",
    "less_than_equal": "give at most {le:g}",
    "string_type": "give a text; in JSON, put it in quotes",
    "string_unicode": "give a text in UTF-8",
    "string_too_long": "give at most {max_length} characters",
    "tuple_type": "give a list",
    "path_type": "give the path of a file",
    "model_": "give an object with keys such as workspace_id",
}
"""By the beginning of pydantic's error type; the rest is said in pydantic's own words."""

_PATTERN_ADVICE = {
    "region_id": "give a region such as cn-hangzhou",
    "role_arn": "give a role such as acs:ram::1234567890123456:role/name",
}


def from_validation(error: ValidationError, givens: Sequence[Given]) -> list[str]:
    """Write each error of the schema in one line, naming the setting as it was written."""
    return [_line(details, givens) for details in error.errors(include_url=False)]


def _line(details: "ErrorDetails", givens: Sequence[Given]) -> str:
    location = tuple(str(step) for step in details["loc"])
    path = next(path for path in known() if location[: len(path)] == path)
    inside = _inside(details["loc"][len(path) :])
    given = strongest(givens, path)
    spelling = given.spellings[path] if given else Spelling(known()[path].name)
    value = details["input"] if inside or given is None else given.value(path)
    must_hide = known()[path].is_secret or details["type"] == "extra_forbidden"
    shown = "" if must_hide else _shown(value)
    return f"{spelling.quote(inside, shown)}: {_advice(details)}"


def _inside(steps: Sequence[int | str]) -> str:
    """Name a place inside a list, as `[0].region_id`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _shown(value: object) -> str:
    """Repeat a wrong value on one line, unless it is of a kind that may hold a secret."""
    if isinstance(value, dict | list | tuple):
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if _MAY_HOLD_A_SECRET.search(text):
        return ""
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return text if text.isprintable() and text else repr(text)


def _advice(details: "ErrorDetails") -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        advice = nearest(str(details["loc"][-1]), TargetSettings.model_fields)
        return f"unknown key; {advice or 'remove it'}"
    if kind == "literal_error":
        return f"give {str(context['expected']).replace(chr(39), '')}"
    if kind == "string_pattern_mismatch":
        return _PATTERN_ADVICE.get(str(details["loc"][-1]), "give an id of letters, digits, - _ .")
    known_kind = next((begin for begin in _ADVICE if kind.startswith(begin)), None)
    return _ADVICE[known_kind].format_map(context) if known_kind else details["msg"]
