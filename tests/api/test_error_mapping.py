import json
import ssl
import time
from collections.abc import Iterator, Mapping

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.decode import decode_envelope
from exporter.api.error_mapping import (
    TRANSPORT_ERRORS,
    Answer,
    classify,
    from_transport_error,
    is_retryable,
    retry_after,
)
from exporter.errors import ApiError, Reason, ThrottledError

NOW = 1_700_000_000.0


def judge(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, now: float = NOW
) -> ApiError:
    """Make our error of an answer."""
    envelope = decode_envelope(body)
    answer = Answer("ListSessionClusters", status, httpx.Headers(headers), envelope)
    return classify(answer, now=now)


@pytest.mark.parametrize(
    ("code", "status", "reason", "retryable"),
    [
        ("Throttling", 400, Reason.THROTTLED, True),
        ("Throttling.User", 403, Reason.THROTTLED, True),
        ("Rejected.Throttling", 400, Reason.THROTTLED, True),
        ("ServiceUnavailable", 503, Reason.SERVER, True),
        ("ServiceUnavailable", 400, Reason.SERVER, True),
        ("InternalError", 500, Reason.SERVER, True),
        ("Whatever", 502, Reason.SERVER, True),
        ("SignatureNonceUsed", 400, Reason.SERVER, False),
        ("InvalidSecurityToken.Expired", 403, Reason.CREDENTIAL, False),
        ("InvalidTimeStamp.Expired", 400, Reason.CLOCK, False),
        ("Invalid_Time_Stamp", 400, Reason.CLOCK, False),
        ("IllegalTimestamp", 400, Reason.CLOCK, False),
        ("InvalidCredential", 400, Reason.CREDENTIAL, False),
        ("SignatureDoesNotMatch", 400, Reason.CREDENTIAL, False),
        ("InvalidAccessKeyId.NotFound", 404, Reason.CREDENTIAL, False),
        ("InvalidAccessKeyId.Inactive", 403, Reason.CREDENTIAL, False),
        ("Forbidden.RAM", 403, Reason.PERMISSION, False),
        ("NoPermission", 403, Reason.PERMISSION, False),
        ("NoPermission.List", 400, Reason.PERMISSION, False),
        ("MissingParameter.regionId", 400, Reason.SERVER, False),
        ("InvalidParameter", 400, Reason.SERVER, False),
        ("InvalidApi.NotFound", 404, Reason.SERVER, False),
        ("InternalError", 403, Reason.SERVER, True),
        ("InternalError", 200, Reason.SERVER, True),
        ("ServiceUnavailable", 401, Reason.SERVER, True),
        ("Throttling.User", 200, Reason.THROTTLED, True),
        ("NoPermission", 200, Reason.PERMISSION, False),
        ("503", 200, Reason.SERVER, True),
        ("429", 200, Reason.THROTTLED, True),
        ("403", 200, Reason.PERMISSION, False),
        ("", 400, Reason.SERVER, False),
        ("", 401, Reason.CREDENTIAL, False),
        ("", 403, Reason.PERMISSION, False),
        ("", 404, Reason.SERVER, False),
        ("", 408, Reason.TIMEOUT, True),
        ("", 429, Reason.THROTTLED, True),
        ("", 500, Reason.SERVER, True),
        ("", 302, Reason.SERVER, False),
    ],
)
def test_classified_by_code_then_by_status(
    code: str,
    status: int,
    reason: Reason,
    retryable: bool,  # noqa: FBT001
) -> None:
    """The code decides, the status only where no code says more."""
    for name in ("Code", "code"):
        error = judge(status, f'{{"{name}": "{code}"}}'.encode())

        assert (error.reason, is_retryable(error)) == (reason, retryable)
        assert error.status == (int(code) if code.isdigit() else status)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"null", b"[]", b'{"Code": null}', b"\xff\xfe", b"[" * 100_000],
    ids=lambda body: repr(body[:20]),
)
def test_any_error_body_will_do(body: bytes) -> None:
    """Where the body says nothing, the status speaks."""
    error = judge(503, body)

    assert str(error) == "ListSessionClusters: the service answered HTTP 503"
    assert error.code == ""


def test_a_permission_names_the_ram_action() -> None:
    """A refusal says which action to grant."""
    error = judge(403, b'{"Code": "Forbidden", "Message": "no", "RequestId": "R"}')

    assert "emr-serverless-spark:ListSessionClusters" in str(error)
    assert "emr-serverless-spark:ListSessionClusters" in error.advice
    assert "[request R]" in str(error)


@pytest.mark.parametrize(
    ("offset", "said"),
    [(932, "932 s behind the service's"), (-40, "40 s ahead of the service's")],
)
def test_a_clock_error_says_the_difference(offset: float, said: str) -> None:
    """The size and direction of the difference come from the `Date` header."""
    headers = {"date": "Tue, 14 Nov 2023 22:13:20 GMT"}

    error = judge(400, b'{"Code": "InvalidTimeStamp.Expired"}', headers, now=NOW - offset)

    assert f"this machine's clock is {said}" in str(error)


@pytest.mark.parametrize("date", ["", "yesterday", "Tue, 99 Nov 2023 22:13:20 GMT"])
def test_a_clock_without_a_date(date: str) -> None:
    """Without a usable date, the size stays open."""
    error = judge(400, b'{"Code": "InvalidTimeStamp.Expired"}', {"date": date})

    assert "too far from the service's" in str(error)


@pytest.mark.parametrize(
    "code",
    [
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "SignatureNonceUsed",
        "InvalidAccessKeyId.NotFound",
        "InvalidSecurityToken.Expired",
    ],
)
def test_a_message_that_may_quote_the_credential_is_dropped(code: str) -> None:
    """With signature errors the service echoes what was signed: none of it is shown."""
    error = judge(400, f'{{"Code": "{code}", "Message": "sentinel"}}'.encode())

    assert "sentinel" not in str(error) + error.advice
    assert code in str(error)


def test_a_message_is_short_and_redacted() -> None:
    """Of a message, one line is shown, without key ids and what looks like a token."""
    message = "bad LTAI5tSentinel and STS.NSentinel\n  for " + "A1b2" * 20 + " ok" * 200

    error = judge(400, json.dumps({"Code": "InvalidParameter", "Message": message}).encode())

    assert "InvalidParameter (bad \u2026 and \u2026 for \u2026 ok ok" in str(error)
    assert len(str(error)) < 300


@given(st.integers(100, 599), st.binary(max_size=50), st.text(), st.text())
def test_any_answer_is_classified(status: int, body: bytes, date: str, after: str) -> None:
    """No answer, however odd, gets anything but our error out of the classification."""
    headers = {"date": date, "retry-after": after, "x-acs-retry-after": after}
    answer = Answer("A", status, headers, decode_envelope(body))

    assert isinstance(classify(answer, now=NOW), ApiError)


@pytest.fixture
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the zone of this process."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_far_from_greenwich")
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x-acs-retry-after": "1500"}, 1.5),
        ({"x-acs-retry-after": "1500", "retry-after": "9"}, 1.5),
        ({"x-acs-retry-after": "", "retry-after": "9"}, 9.0),
        ({"retry-after": "-9"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "3\x1d"}, 3.0),
        ({"retry-after": "3\u00a0"}, 3.0),
        ({"x-acs-retry-after": "1500\x85"}, 1.5),
        ({"retry-after": "\u0663"}, None),
        ({"retry-after": "\u00b2"}, None),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT"}, 10.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:10 GMT"}, 0.0),
        ({"retry-after": "Tuesday, 14-Nov-23 22:13:30 GMT"}, 10.0),
        ({"retry-after": "Tue Nov 14 22:13:30 2023"}, 10.0),
    ],
)
def test_the_wait_that_is_asked_for(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds, seconds and dates are understood; anything else is no wish."""
    sent = httpx.Headers([(name.encode(), value.encode()) for name, value in headers.items()])

    assert retry_after(sent, now=NOW) == seconds


def every_httpx_error() -> Iterator[type[Exception]]:
    """Yield every exception that httpx exports, and thereby all that it documents."""
    for name in httpx.__all__:
        found = getattr(httpx, name)
        if isinstance(found, type) and issubclass(found, Exception):
            yield found


def make(kind: type[Exception]) -> Exception:
    """Make an exception without knowing how it is built."""
    error = kind.__new__(kind)
    error.args = ("what happened",)
    return error


def test_every_error_of_httpx_is_one_of_ours() -> None:
    """The mapping is complete: each error of httpx has its reason."""
    reasons = {
        kind.__name__: from_transport_error("A", make(kind), timeout=10.0).reason
        for kind in every_httpx_error()
        if issubclass(kind, TRANSPORT_ERRORS)
    }

    assert set(reasons) == {kind.__name__ for kind in every_httpx_error()}
    assert {name for name, reason in reasons.items() if reason is Reason.TIMEOUT} == {
        *("TimeoutException", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout")
    }
    assert {name for name, reason in reasons.items() if reason is Reason.NETWORK} == {
        *("TransportError", "NetworkError", "ConnectError", "ReadError", "WriteError"),
        *("CloseError", "ProtocolError", "RemoteProtocolError", "ProxyError"),
    }


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_untrusted_certificate_is_named(link: str) -> None:
    """The reason of the refusal is behind the TLS error, whether raised from it or not."""
    cause = ssl.SSLCertVerificationError()
    cause.verify_message = "self-signed certificate"
    error = httpx.ConnectError("x")
    setattr(error, link, cause)

    found = from_transport_error("A", error, timeout=1.0)

    assert "its certificate is not trusted: self-signed certificate" in str(found)
    assert "SSL_CERT_FILE" in found.advice


@pytest.mark.parametrize(
    ("text", "said"),
    [("", ": ConnectError"), ("no route to http://ann:sentinel@proxy/", "no route to http://")],
)
def test_failed_connection_is_described_without_secrets(text: str, said: str) -> None:
    """An error without a text is named by its type; a password in a text is masked."""
    found = str(from_transport_error("A", httpx.ConnectError(text), timeout=1.0))

    assert said in found
    assert "sentinel" not in found


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (407, "set it in HTTPS_PROXY"),
        (304, "The API never returns this status"),
        (100, "The API never"),
    ],
)
def test_status_that_the_api_never_sends_names_the_proxy(status: int, advice: str) -> None:
    """Something on the way to the API has answered."""
    assert advice in judge(status).advice


def test_refusal_by_the_own_rate_limit_is_not_retried() -> None:
    """Its request was not sent, and the budget of the poll is used up."""
    assert not is_retryable(ThrottledError("no request was sent"))
