"""ACS3-HMAC-SHA256 as its receiver sees it, written from the vendor's description.

Source: the vendor's page "V3 request structure and signature"; the vectors in
`tests/fixtures/api/signing_vectors.json`. Nothing here is shared with the exporter's own signer.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from exporter.demo.refusals import Refusal, Refused, bad_signature

ALGORITHM = "ACS3-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{{64}})"
)


@dataclass(frozen=True, slots=True)
class Request:
    """What came over the wire: raw path and raw query as received, header names lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Authorization:
    """The parts of an `Authorization` header."""

    access_key_id: str
    signed_headers: tuple[str, ...]
    signature: str


def parse_authorization(text: str) -> Authorization:
    """Take an `Authorization` header apart, or refuse."""
    match = _AUTHORIZATION.fullmatch(text)
    if match is None:
        message = "The Authorization header is missing or malformed."
        raise Refused(Refusal(400, "IncompleteSignature", message))
    return Authorization(match[1], tuple(match[2].split(";")), match[3])


def percent_encode(value: bytes) -> str:
    """Encode after RFC 3986: only `A-Za-z0-9-_.~` stay."""
    return quote(value, safe="~")


def canonical_path(path: str) -> str:
    """Decode and encode every segment again."""
    return "/".join(percent_encode(unquote_to_bytes(segment)) for segment in path.split("/"))


def canonical_query(query: str) -> str:
    """Sort by key, decode and encode again; `+` is a plus, and an empty value keeps its `=`."""
    if not query:
        return ""
    pairs = [piece.partition("=")[::2] for piece in query.split("&")]
    decoded = sorted((unquote_to_bytes(key), unquote_to_bytes(value)) for key, value in pairs)
    return "&".join(f"{percent_encode(key)}={percent_encode(value)}" for key, value in decoded)


def canonical_request(request: Request, signed_headers: tuple[str, ...]) -> str:
    """Write the canonical request over what came over the wire."""
    lines = "".join(f"{name}:{request.headers[name].strip()}\n" for name in signed_headers)
    digest = hashlib.sha256(request.body).hexdigest()
    parts = (request.method, request.path, request.query, lines, ";".join(signed_headers), digest)
    return "\n".join(parts)


def sign(text: str, secret: str) -> str:
    """Sign a canonical request."""
    hashed = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    to_sign = f"{ALGORITHM}\n{hashed}".encode()
    return hmac.new(secret.encode(), to_sign, hashlib.sha256).hexdigest()


def check_wire_form(request: Request) -> None:
    """Refuse a path or query that is not in canonical form on the wire.

    The real service may be more tolerant; here a client must send what it has signed.
    """
    if canonical_path(request.path) != request.path:
        raise bad_signature("The path on the wire is not in canonical form.")
    if canonical_query(request.query) != request.query:
        raise bad_signature("The query on the wire is not in canonical form.")


def check_signed_headers(request: Request, names: tuple[str, ...]) -> None:
    """Refuse unless all named headers are there, sorted, and none that matters is left out."""
    if list(names) != sorted(set(names)):
        raise bad_signature("SignedHeaders is not a sorted list of lower-case names.")
    if missing := [name for name in names if name not in request.headers]:
        raise bad_signature(f"Signed but not sent: {missing}.")
    due = {name for name in request.headers if name.startswith("x-acs-")} | {"host"}
    if unsigned := sorted(due - set(names)):
        raise bad_signature(f"Sent but not signed: {unsigned}.")


def check_signature(request: Request, authorization: Authorization, secret: str) -> None:
    """Refuse unless the signature is the one that this secret gives for these very bytes."""
    check_wire_form(request)
    check_signed_headers(request, authorization.signed_headers)
    if request.headers.get("x-acs-content-sha256") != hashlib.sha256(request.body).hexdigest():
        raise bad_signature("x-acs-content-sha256 is not the hash of the body.")
    text = canonical_request(request, authorization.signed_headers)
    if not hmac.compare_digest(sign(text, secret), authorization.signature):
        raise bad_signature(f"The server's canonical request is {text!r}.")
