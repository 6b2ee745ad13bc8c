"""Maps what went wrong with a call, an HTTP answer or an exception of a library, to our errors.

No other place classifies failures or says what may be retried. The service's code decides before
the HTTP status does, because throttling comes as a 400, and failures come as a 200. The service's
message is left out where it may quote a credential: with signature errors it echoes the string to
sign and the key id.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx

from exporter.api.decode import Envelope
from exporter.api.redaction import redact
from exporter.errors import (
    ApiError,
    ClockSkewError,
    CredentialError,
    PermissionDeniedError,
    ServerError,
    ThrottledError,
    TimedOutError,
    UnreachableError,
)

RAM_PRODUCT: Final = "emr-serverless-spark"

TRANSPORT_ERRORS: Final = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.CookieConflict,
    httpx.StreamError,
    OSError,  # TimeoutError and ssl.SSLError are among them
)
"""Everything that sending a request and reading its answer may raise, but for bugs."""

_MESSAGE_LENGTH: Final = 200
_WORD_LENGTH: Final = 64

_UNAVAILABLE: Final = r"ServiceUnavailable|Internal(Server)?Error"
_BY_CODE: Final[tuple[tuple[re.Pattern[str], type[ApiError]], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (r"(Rejected\.)?Throttling", ThrottledError),
        (r"Invalid_?Time_?Stamp|IllegalTimestamp", ClockSkewError),
        (r"InvalidSecurityToken|InvalidAccessKey|SignatureDoesNotMatch", CredentialError),
        (r"IncompleteSignature|MissingSecurityToken|InvalidCredential", CredentialError),
        (r"Forbidden|NoPermission", PermissionDeniedError),
        (_UNAVAILABLE, ServerError),
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
_RETRYABLE_CODE: Final = re.compile(_UNAVAILABLE, re.IGNORECASE)
_QUOTES_CREDENTIALS: Final = re.compile(
    r"Signature|AccessKey|SecurityToken|Credential", re.IGNORECASE
)
_STATUS_AS_CODE: Final = re.compile(r"[45]\d\d", re.ASCII)
_SECONDS: Final = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
_NOT_A_WORD: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the service, success or failure. `headers` ignores case.

    `note` says why its body could not be read, where the status of a failure says enough.
    """

    action: str
    status: int
    headers: Mapping[str, str]
    envelope: Envelope = field(default_factory=Envelope)
    note: str = ""

    @property
    def code(self) -> str:
        """The service's code; a bare HTTP status as code says nothing more."""
        return "" if self._status_as_code else self.envelope.code

    @property
    def true_status(self) -> int:
        """The HTTP status that is meant: a failure may come as 200, with its status as code."""
        return self._status_as_code or self.status

    @property
    def _status_as_code(self) -> int:
        is_status = _STATUS_AS_CODE.fullmatch(self.envelope.code)
        return int(self.envelope.code) if is_status else 0


def classify(answer: Answer, *, now: float) -> ApiError:
    """Return our error for the service's; `now` is this machine's clock, seconds since 1970."""
    kind = _kind(answer)
    message, advice = _explain(answer, kind, now)
    return kind(
        message,
        advice=advice,
        status=answer.true_status,
        code=_word(answer.envelope.code),
        retry_after=retry_after(answer.headers, now=now),
    )


def from_transport_error(
    action: str, error: Exception, *, timeout: float, hint: str = ""
) -> ApiError:
    """Return our error for one of `TRANSPORT_ERRORS`.

    Its text is left out where it may quote a header: the signature is one. `hint` ends the advice
    where the service cannot be reached.
    """
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        return TimedOutError(
            f"{action}: no complete answer within {timeout:g} s ({type(error).__name__})",
            advice="Check the network to the endpoint, or raise api.timeout.",
        )
    if isinstance(error, (httpx.TransportError, OSError)) and not isinstance(
        error, (httpx.LocalProtocolError, httpx.UnsupportedProtocol)
    ):
        return UnreachableError(
            f"{action}: the service cannot be reached: {_describe(error)}",
            advice="Check the endpoint, DNS, HTTPS_PROXY and SSL_CERT_FILE; "
            f"inside a VPC set api.network to vpc. {hint}".rstrip(),
        )
    return ServerError(
        f"{action}: the request could not be sent ({type(error).__name__})",
        advice="Check api.endpoint, and the ids of workspace and gateway.",
    )


def is_retryable(error: ApiError) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, ThrottledError):
        return error.status > 0  # without an answer it was our own budget that refused
    if isinstance(error, (TimedOutError, UnreachableError)):
        return True
    return isinstance(error, ServerError) and (
        error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or _RETRYABLE_CODE.match(error.code) is not None
    )


def is_nonce_used(error: ApiError) -> bool:
    """Whether a new nonce may help: a retry of a proxy may have used ours."""
    return error.code.lower() == _NONCE_USED


def is_token_refused(error: ApiError) -> bool:
    """Whether a newer temporary credential may help."""
    return error.code.lower().startswith("invalidsecuritytoken")


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds that the service asks us to wait, or `None`.

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
    return _BY_STATUS.get(answer.true_status, ServerError)


def _explain(answer: Answer, kind: type[ApiError], now: float) -> tuple[str, str]:
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
    status = answer.true_status
    if "location" in answer.headers and httpx.codes.is_redirect(status):
        return (
            "Redirects are not followed, so that signed requests only go to the API. Check "
            "api.endpoint: it must be the API itself, not a login page or a gateway."
        )
    if httpx.codes.is_informational(status) or httpx.codes.is_redirect(status):
        return "The API never returns this status. Check api.endpoint, and any proxy on the way."
    if answer.code.lower() == _NONCE_USED:
        return "Check that no proxy between the exporter and the API sends requests twice."
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return "The proxy requires a password: set it in HTTPS_PROXY."
    if status in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}:
        return "Check the ids of workspace and gateway, and that they are in this region."
    return ""


def _said(answer: Answer) -> str:
    envelope = answer.envelope
    parts = [f"the service answered HTTP {answer.status}"]
    if envelope.code:
        parts.append(_word(envelope.code))
    elif not envelope.is_success:
        parts.append("with success=false")
    if envelope.message and not _QUOTES_CREDENTIALS.search(envelope.code):
        parts.append(f"({envelope.message[:_MESSAGE_LENGTH]})")
    if answer.note:
        parts.append(f"({answer.note})")
    if envelope.request_id:
        parts.append(f"[request {_word(envelope.request_id)}]")
    return " ".join(parts)


def _skew(headers: Mapping[str, str], now: float) -> str:
    theirs = _date(headers.get("date"))
    if theirs is None:
        return "this machine's clock is too far from the service's"
    direction = "behind" if now < theirs else "ahead of"
    return f"this machine's clock is {abs(now - theirs):.0f} s {direction} the service's"


def _describe(error: Exception) -> str:
    """Return why a connection failed. None of these texts holds what was sent."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return f"its certificate is not trusted: {redact(cause.verify_message)}"
    return redact(str(error))[:_MESSAGE_LENGTH] or type(error).__name__


def _word(value: str) -> str:
    return _NOT_A_WORD.sub("", value)[:_WORD_LENGTH]


def _positive(value: str | None) -> float | None:
    number = (value or "").strip()
    return float(number) if _SECONDS.fullmatch(number) else None


def _date(value: str | None) -> float | None:
    try:
        moment = parsedate_to_datetime(value or "")
        # One of the three forms of HTTP dates names no zone: all are in UTC.
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None
