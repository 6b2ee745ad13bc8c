"""What went wrong with a call: an HTTP answer or a foreign exception → one of our errors.

This is the only place that classifies, and the only one that says what may be retried. Classified
is by the service's code first, then by the HTTP status, because throttling comes as a 400.
The service's message is shown only where it cannot quote a credential: with signature errors it
echoes the string to sign and the key id.
"""

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx

from exporter.api.values import text
from exporter.errors import (
    ApiError,
    ClockSkewError,
    CredentialError,
    MalformedError,
    PermissionDeniedError,
    ServerError,
    ThrottledError,
    TimedOutError,
    UnreachableError,
)

RAM_PRODUCT: Final = "emr-serverless-spark"

FOREIGN_ERRORS: Final = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.CookieConflict,
    httpx.StreamError,
    OSError,  # TimeoutError and ssl.SSLError are among them
)
"""Everything that sending a request and reading its answer may raise, but for bugs."""

_MESSAGE_LENGTH: Final = 200
_WORD_LENGTH: Final = 64

_BY_CODE: Final[tuple[tuple[re.Pattern[str], type[ApiError]], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (r"(Rejected\.)?Throttling", ThrottledError),
        (r"Invalid_?Time_?Stamp|IllegalTimestamp", ClockSkewError),
        (r"InvalidSecurityToken|InvalidAccessKey|SignatureDoesNotMatch", CredentialError),
        (r"IncompleteSignature|MissingSecurityToken|InvalidCredential", CredentialError),
        (r"Forbidden|NoPermission", PermissionDeniedError),
    )
)
_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    HTTPStatus.UNAUTHORIZED: CredentialError,
    HTTPStatus.FORBIDDEN: PermissionDeniedError,
    HTTPStatus.REQUEST_TIMEOUT: TimedOutError,
    HTTPStatus.TOO_MANY_REQUESTS: ThrottledError,
}
_ADVICE: Final[Mapping[type[ApiError], str]] = {
    ThrottledError: "Lower api.max-requests-per-second, or raise poll.interval.",
    CredentialError: "Check the access key and its secret, whether the key is enabled, and "
    "whether a temporary credential has expired.",
    ClockSkewError: "Synchronise this machine's clock (NTP).",
}
_NONCE_USED: Final = "signaturenonceused"
_RETRYABLE_CODE: Final = re.compile(
    r"ServiceUnavailable|InternalError|InternalServerError", re.IGNORECASE
)
_QUOTES_CREDENTIALS: Final = re.compile(
    r"Signature|AccessKey|SecurityToken|Credential", re.IGNORECASE
)
_KEY_ID: Final = re.compile(r"\b(LTAI|STS\.|TMP\.)[A-Za-z0-9]+")
_LONG_WORD: Final = re.compile(r"[A-Za-z0-9+/=_%-]{40,}")
_NOT_A_WORD: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the service that says failure. `headers` looks up in any case."""

    action: str
    status: int
    headers: Mapping[str, str]
    code: str = ""
    message: str = ""
    request_id: str = ""


def parse_answer(action: str, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Read an error body: camel or Pascal case, or HTML, or nothing at all."""
    try:
        loaded = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        loaded = None
    fields = loaded if isinstance(loaded, dict) else {}

    def find(name: str) -> str:
        return text(fields.get(name)) or text(fields.get(name[0].lower() + name[1:]))

    return Answer(action, status, headers, find("Code"), find("Message"), find("RequestId"))


def classify(answer: Answer, *, now: float) -> ApiError:
    """Make our error of the service's; `now` is this machine's clock, seconds since 1970."""
    kind = _kind(answer)
    message, advice = _explain(answer, kind, now)
    return kind(
        message,
        advice=advice,
        status=answer.status,
        code=_word(answer.code),
        request_id=_word(answer.request_id),
        retry_after=retry_after(answer.headers, now=now),
    )


def classify_foreign(action: str, error: Exception, *, timeout: float) -> ApiError:
    """Make our error of a foreign one, which must be one of `FOREIGN_ERRORS`.

    The foreign text is left out where it may quote a header: the signature is one.
    """
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        return TimedOutError(
            f"{action}: no complete answer within {timeout:g} s ({type(error).__name__})",
            advice="Check the network to the endpoint, or raise api.timeout.",
        )
    if isinstance(error, httpx.DecodingError):
        return MalformedError(f"{action}: the answer's content encoding is broken")
    if isinstance(error, (httpx.TransportError, OSError)) and not isinstance(
        error, (httpx.LocalProtocolError, httpx.UnsupportedProtocol)
    ):
        return UnreachableError(
            f"{action}: the service cannot be reached: {_describe(error)}",
            advice="Check the endpoint, DNS, HTTPS_PROXY and SSL_CERT_FILE; "
            "inside a VPC set api.network to vpc.",
        )
    return ServerError(
        f"{action}: the request could not be made or followed ({type(error).__name__})",
        advice="Check api.endpoint, and the ids of workspace and gateway.",
    )


def is_retryable(error: BaseException | None) -> bool:
    """Tell whether the same request may succeed a little later."""
    if isinstance(error, ThrottledError):
        return error.status > 0  # without an answer it was our own budget that refused
    if isinstance(error, (TimedOutError, UnreachableError)):
        return True
    return isinstance(error, ServerError) and (
        error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or _RETRYABLE_CODE.match(error.code) is not None
    )


def is_nonce_used(error: BaseException | None) -> bool:
    """Tell whether a new nonce may help: a retry of a proxy may have used ours."""
    return isinstance(error, ApiError) and error.code.lower() == _NONCE_USED


def is_token_refused(error: BaseException | None) -> bool:
    """Tell whether a newer temporary credential may help."""
    return isinstance(error, ApiError) and error.code.lower().startswith("invalidsecuritytoken")


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Give the seconds that the service asks us to wait, or `None`.

    `x-acs-retry-after` is in milliseconds, `Retry-After` in seconds or an HTTP date.
    """
    ours = _positive(headers.get("x-acs-retry-after"))
    if ours is not None:
        return ours / 1000
    standard = headers.get("retry-after")
    seconds = _positive(standard)
    if seconds is not None:
        return seconds
    moment = _date(standard)
    # The service's own clock is the one that the date is meant by.
    reference = _date(headers.get("date")) or now
    return None if moment is None else max(0.0, moment - reference)


def _kind(answer: Answer) -> type[ApiError]:
    for pattern, kind in _BY_CODE:
        if pattern.match(answer.code):
            return kind
    if answer.code and answer.status not in _BY_STATUS:
        return ServerError
    return _BY_STATUS.get(answer.status, ServerError)


def _explain(answer: Answer, kind: type[ApiError], now: float) -> tuple[str, str]:
    """Say what happened, and what to do."""
    said = f"{answer.action}: {_said(answer)}"
    if kind is PermissionDeniedError:
        return f"{said}; {RAM_PRODUCT}:{answer.action} is not allowed", (
            f"Grant the RAM action {RAM_PRODUCT}:{answer.action} to the credential in use."
        )
    if kind is ClockSkewError:
        said = f"{said}; {_skew(answer.headers, now)}"
    if kind is ServerError:
        return said, _advise_on_status(answer)
    return said, _ADVICE.get(kind, "")


def _advise_on_status(answer: Answer) -> str:
    if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
        return (
            "A redirect is not followed, because a signed request is never sent elsewhere. "
            "Check api.endpoint: it must be the API itself, not a login page or a gateway."
        )
    if answer.code.lower() == _NONCE_USED:
        return "Check that nothing between here and the service sends requests twice."
    if answer.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}:
        return "Check the ids of workspace and gateway, and that they are in this region."
    return ""


def _said(answer: Answer) -> str:
    parts = [f"the service answered HTTP {answer.status}"]
    if answer.code:
        parts.append(_word(answer.code))
    if answer.message and not _QUOTES_CREDENTIALS.search(answer.code):
        parts.append(f"({scrub(answer.message)})")
    return " ".join(parts)


def scrub(message: str) -> str:
    """Make one short line of a service's message, without what might be a key or a token."""
    line = " ".join(message.split())
    return _LONG_WORD.sub("…", _KEY_ID.sub("…", line))[:_MESSAGE_LENGTH]


def _skew(headers: Mapping[str, str], now: float) -> str:
    theirs = _date(headers.get("date"))
    if theirs is None:
        return "this clock is too far from the service's"
    direction = "behind" if now < theirs else "ahead of"
    return f"this clock is {abs(now - theirs):.0f} s {direction} the service"


def _describe(error: Exception) -> str:
    """Say why a connection failed. None of these texts holds what was sent."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return f"its certificate is not trusted: {scrub(cause.verify_message)}"
    return scrub(str(error)) or type(error).__name__


def _word(value: str) -> str:
    return _NOT_A_WORD.sub("", value)[:_WORD_LENGTH]


def _positive(value: str | None) -> float | None:
    return float(value) if value and re.fullmatch(r"\d{1,12}(\.\d{1,9})?", value.strip()) else None


def _date(value: str | None) -> float | None:
    try:
        moment = parsedate_to_datetime(value or "")
        # One of the three forms of HTTP dates names no zone: all are in UTC.
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None
