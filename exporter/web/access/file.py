"""Reads the web configuration file."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from exporter.errors import UsageError, WebConfigError
from exporter.settings.documents import dotted, read_yaml
from exporter.settings.registry import fields
from exporter.settings.validation_errors import advice
from exporter.web.access.file_schema import WebFile
from exporter.web.access.tls import TlsProblem, server_context
from exporter.web.access.token_bucket import TokenBucket

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The configuration in use; empty without a file."""

    tls: ssl.SSLContext | None = None
    users: Mapping[str, bytes] = field(default_factory=dict)
    """Their bcrypt hashes by name."""
    headers: Mapping[str, str] = field(default_factory=dict)
    bucket: TokenBucket | None = None


def read(path: Path, consulted: set[Path]) -> WebConfig:
    """Read the file and the certificates that it names; add each file to `consulted`.

    Relative names are looked up in the folder of the file. Raises `WebConfigError`.
    """
    consulted.add(path)
    parsed = _parse(path)
    section, limit = parsed.tls_server_config, parsed.rate_limit
    tls = None
    try:
        if section and section.model_fields_set:  # `tls_server_config: {}` asks for nothing
            tls = server_context(section, path.parent, consulted)
    except TlsProblem as problem:
        raise WebConfigError(f"{path}: tls_server_config: {problem}") from None
    return WebConfig(
        tls=tls,
        users={name: text.encode() for name, text in parsed.basic_auth_users.items()},
        headers={
            name: value
            for name, value in parsed.http_server_config.headers.items()
            if value and name != "X-Content-Type-Options"  # which every answer has
        },
        bucket=TokenBucket(limit.interval, limit.burst) if limit.interval else None,
    )


def _parse(path: Path) -> WebFile:
    try:
        document = read_yaml(path, "--web.config.file")
        return WebFile.model_validate({} if document.value is None else document.value)
    except UsageError as error:
        raise WebConfigError(*error.problems) from None
    except ValidationError as error:
        raise WebConfigError(
            *(f"{path}: {_line(details)}" for details in error.errors(include_url=False))
        ) from None


def _line(details: "ErrorDetails") -> str:
    """Return what is wrong, without the value: it may be a key or the hash of a password."""
    name = dotted(step for step in details["loc"] if step != "[key]")
    key = str(details["loc"][-1]) if details["type"] == "extra_forbidden" else ""
    reason = _NOT_HERE.get(key, "").format(key)
    names = [dotted(steps) for steps, _ in fields(WebFile)]
    return ": ".join(filter(None, (name, reason or advice(details, name, names))))


_NOT_HERE = {
    **dict.fromkeys(
        ("cert", "key", "client_ca"), "PEM in this file is not supported; name a file with {}_file"
    ),
    "cipher_suites": "cipher suites cannot be configured (all that are offered use AEAD); remove "
    "it",
    "curve_preferences": "curves cannot be configured; remove it",
    "client_allowed_sans": (
        "client names are not checked; sign the certificates of allowed clients with a CA of "
        "their own, and set client_ca_file to it"
    ),
    "basic_auth_excluded_paths": (
        "no released exporter-toolkit has this key; the health endpoints require no password "
        "unless web.health-auth is set"
    ),
}
