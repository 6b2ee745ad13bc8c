"""The vendor's credential providers, asked one by one in the order of the vendor's default chain.

Its own chain merges all failures into one text, reads files in the charset of the locale, and sends
requests that know neither `NO_PROXY` nor `SSL_CERT_FILE`. So its providers are built here, and two
of its internals are used: `_get_credentials_provider`, which makes a provider of a profile, and
`TeaCore.do_action`, through which all of its requests go.
"""

import configparser
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
from alibabacloud_credentials.provider import (
    CLIProfileCredentialsProvider,
    EcsRamRoleCredentialsProvider,
    EnvironmentVariableCredentialsProvider,
    OIDCRoleArnCredentialsProvider,
    ProfileCredentialsProvider,
    RamRoleArnCredentialsProvider,
    URLCredentialsProvider,
)
from alibabacloud_credentials.utils import auth_constant
from Tea.core import TeaCore
from Tea.request import TeaRequest
from Tea.response import TeaResponse

from exporter.api.body import refuse_encoding
from exporter.api.credential_errors import NONE_FOUND, UnusableError, describe
from exporter.errors import CredentialError

OpenHttp = Callable[[httpx.URL], httpx.Client]
"""Opens a client for one request to a URL."""

SESSION_NAME: Final = "emr-serverless-spark-exporter"
_MAX_ANSWER_BYTES: Final = 64 * 2**10

_PREFIX: Final = "ALIBABA_CLOUD_"
_OIDC_VARIABLES: Final = ("ROLE_ARN", "OIDC_PROVIDER_ARN", "OIDC_TOKEN_FILE")


class Chain:
    """Asks the providers that are configured, in order; the first that succeeds stays.

    It has the form of a provider of the library, so that a role can be assumed with it.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._provider: Any = None

    def get_credentials(self) -> Any:  # noqa: ANN401 (the library has no types)
        """Return the library's credential. Raises `CredentialError`, naming all that failed."""
        if self._provider is not None:
            return self._provider.get_credentials()
        problems = []
        for name, connect in self._configured():
            try:
                provider = connect()
                found = provider.get_credentials()
            except Exception as error:  # noqa: BLE001 (the library's errors have no common root)
                problems.append(f"{name}: {describe(error).removeprefix(f'{name}: ')}")
            else:
                self._provider = provider
                return found
        raise CredentialError(f"{NONE_FOUND} ({'; '.join(problems) or 'none is configured'})")

    def get_provider_name(self) -> str:
        """Return the name that credentials of a role bear."""
        return "default"

    def _configured(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Yield name and constructor of each provider that the environment configures."""
        if self._variable("ACCESS_KEY_ID") or self._variable("ACCESS_KEY_SECRET"):
            yield f"{_PREFIX}ACCESS_KEY_ID", EnvironmentVariableCredentialsProvider
        if self._variable("OIDC_PROVIDER_ARN") or self._variable("OIDC_TOKEN_FILE"):
            yield f"{_PREFIX}OIDC_TOKEN_FILE", self._oidc
        home, profile = Path(auth_constant.HOME), self._variable("PROFILE")
        path = home / ".aliyun" / "config.json"
        is_disabled = self._variable("CLI_PROFILE_DISABLED").lower() == "true"
        if not is_disabled and (profile or os.path.lexists(path)):
            yield str(path), lambda: _cli_provider(path, profile)
        given = self._variable("CREDENTIALS_FILE")
        ini = Path(given or home / ".alibabacloud" / "credentials.ini")
        if given or os.path.lexists(ini):
            yield str(ini), lambda: _ini_provider(ini, profile or "default")
        if self._variable("ECS_METADATA_DISABLED").lower() != "true":
            yield "ECS RAM role", EcsRamRoleCredentialsProvider
        if self._variable("CREDENTIALS_URI"):
            yield f"{_PREFIX}CREDENTIALS_URI", URLCredentialsProvider

    def _variable(self, name: str) -> str:
        return self._environ.get(f"{_PREFIX}{name}", "")

    def _oidc(self) -> Any:  # noqa: ANN401 (the library has no types)
        for name in _OIDC_VARIABLES:
            if not self._variable(name):
                raise UnusableError(f"{_PREFIX}{name} is not set")
        if not _read(Path(self._variable("OIDC_TOKEN_FILE"))).strip():
            raise UnusableError("the token file is empty")
        return OIDCRoleArnCredentialsProvider()


def assume(chain: Chain, role_arn: str) -> Any:  # noqa: ANN401 (the library has no types)
    """Return a provider that assumes a role with what the chain finds."""
    return RamRoleArnCredentialsProvider(
        credentials_provider=chain, role_arn=role_arn, role_session_name=SESSION_NAME
    )


def send_through(open_http: OpenHttp) -> None:
    """Let all requests of the library go through clients of ours.

    They obey the same proxies and certificates as calls of the API, and refuse compressed answers.
    """

    def do_action(request: TeaRequest, options: Mapping[str, Any] | None = None) -> TeaResponse:
        request.port = request.port or 80  # the library's mark for "none"
        url = httpx.URL(TeaCore.compose_url(request))
        seconds = {name: (options or {}).get(f"{name}Timeout", 5000) / 1000 for name in _TIMEOUTS}
        with (
            open_http(url) as http,
            http.stream(
                request.method,
                url,
                headers={**request.headers, "accept-encoding": "identity"},
                content=request.body,
                timeout=httpx.Timeout(seconds["read"], connect=seconds["connect"]),
                follow_redirects=False,
            ) as response,
        ):
            refuse_encoding("STS", response)
            answer = TeaResponse()
            answer.status_code = response.status_code
            answer.headers = dict(response.headers)
            answer.body = _body(response)
            return answer

    TeaCore.do_action = staticmethod(do_action)


_TIMEOUTS: Final = ("connect", "read")


def _body(response: httpx.Response) -> bytes:
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise UnusableError("the service's answer is too large")
    return body


def _cli_provider(path: Path, profile: str) -> Any:  # noqa: ANN401 (the library has no types)
    try:
        config = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise UnusableError(f"it is not JSON, or is cut off (line {error.lineno})") from None
    if not isinstance(config, dict):
        raise UnusableError("it is not a configuration of the Alibaba Cloud CLI")
    library = CLIProfileCredentialsProvider(profile_file=str(path))
    return library._get_credentials_provider(config, profile or config.get("current"))  # noqa: SLF001


def _ini_provider(path: Path, profile: str) -> Any:  # noqa: ANN401 (the library has no types)
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(_read(path))
        section = {key: value.partition("#")[0].strip() for key, value in parser.items(profile)}
    except configparser.NoSectionError:
        raise UnusableError(f"it has no profile {profile}") from None
    except configparser.Error:
        raise UnusableError("it is not an INI file") from None
    library = ProfileCredentialsProvider(profile_file=str(path), profile_name=profile)
    return library._get_credentials_provider(section)  # noqa: SLF001


def _read(path: Path) -> str:
    """Read a text file, with a byte order mark or without."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise UnusableError("it is not UTF-8") from None
