"""From the file to what is in force."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from exporter.errors import UsageError, WebConfigError
from exporter.settings.documents import dotted, read_yaml
from exporter.settings.names import nearest
from exporter.web.access.limit import Bucket
from exporter.web.access.schema import HttpSection, RateLimitSection, TlsSection, WebFile
from exporter.web.access.tls import Tls, TlsProblem, tls

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What is in force: all of it empty where there is no file."""

    tls: Tls | None = None
    users: Mapping[str, bytes] = field(default_factory=dict)
    """Their bcrypt hashes by name."""
    headers: Headers = ()
    bucket: Bucket | None = None


def read(path: Path, consulted: set[Path]) -> WebConfig:
    """Read the file and the certificates that it names; add each file to `consulted`.

    Relative names are looked up in the folder of the file. Raises `WebConfigError`.
    """
    consulted.add(path)
    parsed = _parse(path)
    section, limit = parsed.tls_server_config, parsed.rate_limit
    try:
        secured = tls(section, path.parent, consulted) if section and _is_given(section) else None
    except TlsProblem as problem:
        raise WebConfigError(f"{path}: tls_server_config: {problem}") from None
    return WebConfig(
        tls=secured,
        users={name: text.encode() for name, text in parsed.basic_auth_users.items()},
        headers=tuple(
            (name.lower().encode(), value.encode())
            for name, value in parsed.http_server_config.headers.items()
            if value
        ),
        bucket=Bucket(limit.interval, limit.burst) if limit.interval else None,
    )


def _is_given(section: TlsSection) -> bool:
    """Tell whether the section asks for anything: `tls_server_config: {}` is no TLS."""
    return bool(section.model_dump(exclude_defaults=True))


def _parse(path: Path) -> WebFile:
    try:
        document = read_yaml(path, "--web.config.file")
    except UsageError as error:
        raise WebConfigError(*error.problems) from None
    if document.problems:
        raise WebConfigError(
            *(
                f"{path}, line {problem.line}: {dotted(problem.steps)}: {problem.advice}"
                for problem in document.problems
            )
        )
    try:
        return WebFile.model_validate({} if document.value is None else document.value)
    except ValidationError as error:
        raise WebConfigError(
            *(f"{path}: {_line(each)}" for each in error.errors(include_url=False))
        ) from None


def _line(details: "ErrorDetails") -> str:
    """Say what is wrong, without repeating a value: it may be a key or the hash of a password."""
    steps = [str(step) for step in details["loc"] if step != "[key]"]
    return ": ".join(filter(None, (".".join(steps), _advice(details, steps))))


def _advice(details: "ErrorDetails", steps: list[str]) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        reason = _NOT_HERE.get(steps[-1])
        return reason or f"unknown key; {_nearest(steps) or 'remove it'}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"give {str(context['expected']).replace(chr(39), '')}"
    return _ADVICE.get(kind, details["msg"])


_ADVICE = {
    "model_type": "give a mapping of keys",
    "dict_type": "give a mapping of keys",
    "tuple_type": "give a list",
    "string_type": "give a text",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
    "int_parsing": "give a whole number",
}

_NOT_HERE = {
    "basic_auth_excluded_paths": (
        "this key is of an unpublished toolkit; the health endpoints ask for no password"
        " unless web.health-auth is set"
    ),
}


def _nearest(steps: list[str]) -> str:
    model = _SECTIONS.get(steps[0] if len(steps) > 1 else "", WebFile)
    return nearest(steps[-1], _fields(model))


def _fields(model: type[BaseModel]) -> Iterator[str]:
    yield from model.model_fields


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "tls_server_config": TlsSection,
    "http_server_config": HttpSection,
    "rate_limit": RateLimitSection,
}
