r"""Requests signed with ACS3-HMAC-SHA256, as an `httpx.Auth` that does no I/O.

    CanonicalRequest = METHOD \n path \n query \n headers \n SignedHeaders \n hex(sha256(body))
    StringToSign     = "ACS3-HMAC-SHA256\n" + hex(sha256(CanonicalRequest))
    Signature        = hex(hmac_sha256(secret, StringToSign))

Signed are `host` and every `x-acs-*`. `user-agent` and `accept` are not, so that a proxy may
change them. Source: the vendor's page "V3 request structure and signature"; its example and
vectors made by its SDK are reproduced in the tests.
"""

import hashlib
import hmac
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import httpx

from exporter.errors import CredentialError

ALGORITHM: Final = "ACS3-HMAC-SHA256"
API_VERSION: Final = "2023-08-08"


@dataclass(frozen=True, slots=True)
class Credential:
    """Who signs; its `repr` shows neither the secret nor the token."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)
    provider: str = ""
    """Where it comes from, in the vendor library's words, for the log."""

    def __post_init__(self) -> None:
        """Refuse what is not valid in a header, before a library quotes it in an error."""
        for name, value in (
            ("access key id", self.access_key_id),
            ("access key secret", self.access_key_secret),
            ("security token", self.security_token),
        ):
            if not all("!" <= character <= "~" for character in value):
                raise CredentialError(
                    f"The {name} holds a space, a line break or another character that no key has",
                    advice="Set it again without quotes or a line break at its end.",
                )
        if not self.access_key_id or not self.access_key_secret:
            raise CredentialError(
                "The credential lacks its access key id or its secret",
                advice="Set both ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET.",
            )


def encode_path(segments: Iterable[str]) -> str:
    """Join path segments, each percent-encoded (RFC 3986), so that "/" in an id stays in it.

    Raise `ValueError` for a segment that would address something else: "", "." and "..".
    """
    encoded = []
    for segment in segments:
        if segment in {"", ".", ".."}:
            raise ValueError(f"not a path segment: {segment!r}")
        encoded.append(quote(segment, safe="~"))
    return "/" + "/".join(encoded)


def canonical_query(params: Mapping[str, str]) -> str:
    """Encode and sort parameters; an empty value keeps its "=", and a space is %20, not "+"."""
    pairs = sorted((quote(key, safe="~"), quote(value, safe="~")) for key, value in params.items())
    return "&".join(f"{key}={value}" for key, value in pairs)


def make_nonce() -> str:
    """Make a nonce that was never used."""
    return uuid.uuid4().hex


class Signer(httpx.Auth):
    """Signs each attempt separately, with its own date and nonce.

    `now` gives seconds since 1970. The request must carry `x-acs-action` and have no body.
    """

    def __init__(
        self,
        credential: Credential,
        now: Callable[[], float],
        make_nonce: Callable[[], str] = make_nonce,
    ) -> None:
        self._credential = credential
        self._now = now
        self._make_nonce = make_nonce

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Yield the request, signed."""
        request.headers.update(self._fresh_headers(request))
        request.headers["authorization"] = self._authorization(request)
        yield request

    def _fresh_headers(self, request: httpx.Request) -> dict[str, str]:
        headers = {
            "x-acs-date": datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "x-acs-signature-nonce": self._make_nonce(),
            "x-acs-content-sha256": hashlib.sha256(request.content).hexdigest(),
        }
        request.headers.setdefault("x-acs-version", API_VERSION)
        if self._credential.security_token:
            headers["x-acs-accesskey-id"] = self._credential.access_key_id
            headers["x-acs-security-token"] = self._credential.security_token
        return headers

    def _authorization(self, request: httpx.Request) -> str:
        names, canonical = canonical_request(request)
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = hmac.new(
            self._credential.access_key_secret.encode(),
            f"{ALGORITHM}\n{digest}".encode(),
            hashlib.sha256,
        ).hexdigest()
        return (
            f"{ALGORITHM} Credential={self._credential.access_key_id},"
            f"SignedHeaders={names},Signature={signature}"
        )


def canonical_request(request: httpx.Request) -> tuple[str, str]:
    """Return the names of the signed headers, and the text that is signed.

    Path and query are those that go over the wire, byte for byte.
    """
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    signed = sorted(
        (name.lower(), value.strip())
        for name, value in request.headers.items()
        if name.lower() == "host" or name.lower().startswith("x-acs-")
    )
    names = ";".join(name for name, _ in signed)
    headers = "".join(f"{name}:{value}\n" for name, value in signed)
    digest = request.headers["x-acs-content-sha256"]
    return names, f"{request.method}\n{path}\n{query}\n{headers}\n{names}\n{digest}"
