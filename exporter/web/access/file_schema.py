"""The keys of the web configuration file, as the toolkit documents them."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from exporter.settings import durations
from exporter.settings.notation import WholeNumber

ClientAuth = Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"]
Version = Literal["TLS12", "TLS13"]

_HASH = re.compile(r"\$2[abxy]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")
_LEAST_COST, _HIGHEST_COST = 4, 16
"""The highest takes some seconds to check; each step doubles that."""

_HEADER_VALUES = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that the toolkit lets one set, and the values where they are a closed list."""
HEADERS = tuple(_HEADER_VALUES)


def _bcrypt(value: str) -> str:
    match = _HASH.fullmatch(value)
    if match is None:
        raise ValueError("give a bcrypt hash, such as `htpasswd -nBC 10 NAME` prints")
    if not _LEAST_COST <= int(match["cost"]) <= _HIGHEST_COST:
        raise ValueError(f"give a hash of a cost from {_LEAST_COST} to {_HIGHEST_COST}")
    return value


def _same_cost(users: dict[str, str]) -> dict[str, str]:
    """Refuse hashes of mixed cost: the time of a refusal would tell which users there are."""
    if len({hashed[4:6] for hashed in users.values()}) > 1:
        raise ValueError("give all hashes the same cost, such as `htpasswd -nBC 10 NAME` does")
    return users


def _headers(values: dict[str, str]) -> dict[str, str]:
    for name, value in values.items():
        if name not in _HEADER_VALUES:
            raise ValueError(f"{name} cannot be set; there are {', '.join(HEADERS)}")
        known = _HEADER_VALUES[name]
        if value and known and value not in known:
            raise ValueError(f"{name}: give {' or '.join(known)}")
        if not value.isprintable() or not value.isascii():
            raise ValueError(f"{name}: give printable ASCII on one line")
    return values


def _interval(value: object) -> float:
    return 0.0 if value in (0, "0", "0s") else durations.parse(value)


class Section(BaseModel):
    """A part of the file. A key without value counts as not given, as in the toolkit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: Any) -> Any:  # noqa: ANN401  whatever stands in the file
        if isinstance(values, dict):
            return {key: value for key, value in values.items() if value is not None}
        return values


class TlsSection(Section):
    """`tls_server_config`; an empty text counts as not given."""

    cert_file: str = ""
    key_file: str = ""
    client_auth_type: ClientAuth = "NoClientCert"
    client_ca_file: str = ""
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    prefer_server_cipher_suites: bool = True
    """Has no effect, as in the toolkit."""


class HttpSection(Section):
    """`http_server_config`. `http2` may stand there: this server speaks HTTP/1.1 only."""

    http2: bool = True
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = {}


class RateLimitSection(Section):
    """`rate_limit`: a bucket of `burst` requests, one more each `interval` (seconds, 0 = off)."""

    interval: Annotated[float, BeforeValidator(_interval)] = 0.0
    burst: Annotated[WholeNumber, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _lets_somebody_in(self) -> "RateLimitSection":
        if self.interval and not self.burst:
            raise ValueError("with an interval, give a burst of at least 1, or nothing gets in")
        return self


class WebFile(Section):
    """The whole file."""

    tls_server_config: TlsSection | None = None
    http_server_config: HttpSection = HttpSection()
    basic_auth_users: Annotated[
        dict[str, Annotated[str, AfterValidator(_bcrypt)]], AfterValidator(_same_cost)
    ] = {}
    rate_limit: RateLimitSection = RateLimitSection()
