"""Every kind of fault, and the reason that the page gives for it."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.demo import Call, Refusal, faults
from exporter.demo.faults import (
    Alter,
    Canned,
    Cut,
    Delay,
    Effect,
    Flood,
    Hang,
    Page,
    Refuse,
    Truncate,
)

CLUSTERS = "session_clusters"
LIVY = "livy_sessions"
ACTIONS = {CLUSTERS: "ListSessionClusters", LIVY: "ListLivyComputeSessions"}

TIMEOUT = 0.5
"""Seconds for a request, in the tests of faults: long enough for a machine that is busy."""

MAX_BYTES = 2**19

SETTINGS = {"timeout": TIMEOUT, "max_attempts": 2, "max_response_bytes": MAX_BYTES}
"""Of the API, so that nothing takes long."""


@dataclass(frozen=True)
class Kind:
    """One kind of fault: what the service does, and what that is called."""

    effect: Effect
    reason: str
    sources: tuple[str, ...] = (CLUSTERS, LIVY)


def _endless(page: Page, call: Call) -> None:
    page["nextToken"] = call.token or call.own_token
    page.pop("totalCount", None)


def _long_token(page: Page, _call: Call) -> None:
    page["nextToken"] = "x" * 9000
    page.pop("totalCount", None)


def _emptied(page: Page, _call: Call) -> None:
    for rows in ("sessions", "sessionClusters"):
        if rows in page:
            page[rows] = []
    page["totalCount"] = 0
    page["nextToken"] = None


def _without_rows(page: Page, _call: Call) -> None:
    for rows in ("sessions", "sessionClusters"):
        page.pop(rows, None)


def _refusal(status: int, code: str | None) -> Refuse:
    return Refuse(Refusal(status, code, "No."))


def _said_in_200(**fields: object) -> Alter:
    """Serve an empty listing that says itself that it is none."""

    def change(page: Page, call: Call) -> None:
        _emptied(page, call)
        page.update(fields)

    return Alter(change)


def _failed(code: object) -> Alter:
    return _said_in_200(success=False, code=code, message="No.")


def _without_list(code: str) -> Canned:
    return Canned(b'{"code":"%b","message":"No."}' % code.encode())


def _encoded(encoding: str, status: int = 200) -> Canned:
    return Canned(b'{"sessions":[]}', status, headers=(("Content-Encoding", encoding),))


def _in_charset(charset: str, body: bytes = b"{}") -> Canned:
    return Canned(body, content_type=f"application/json; charset={charset}")


KINDS: Mapping[str, Kind] = {
    "failure_in_200": Kind(_failed("InternalError"), "server"),
    "failure_in_200_in_pascal_case": Kind(_said_in_200(Code="ServiceUnavailable"), "server"),
    "failure_in_200_without_code": Kind(_failed(None), "server"),
    "failure_in_200_with_a_strange_code": Kind(_said_in_200(code="Whatever"), "server"),
    "status_in_200": Kind(_failed(500), "server"),
    "throttled_in_200": Kind(_failed("Throttling.User"), "throttled"),
    "throttled_without_list": Kind(_without_list("Throttling.User"), "throttled"),
    "forbidden_in_200": Kind(_without_list("NoPermission"), "permission"),
    "clock_in_200": Kind(_failed("InvalidTimeStamp.Expired"), "clock"),
    "internal_error_in_403": Kind(_refusal(403, "InternalError"), "server"),
    "gzip_twice": Kind(_encoded("gzip, gzip"), "malformed"),
    "brotli": Kind(_encoded("br"), "malformed"),
    "brotli_503": Kind(_encoded("br", 503), "server"),
    "charset_unknown": Kind(_in_charset("x-none"), "malformed"),
    "charset_that_is_none": Kind(_in_charset("unicode_escape"), "malformed"),
    "charset_wrong": Kind(_in_charset("gbk", b'{"sessions":"\xff\xff'), "malformed"),
    "not_modified": Kind(Canned(b"", 304), "server"),
    "accepted": Kind(Canned(b'{"sessions":[],"sessionClusters":[]}', 202), "malformed"),
    "partial": Kind(Canned(b'{"sessions":[],"sessionClusters":[]}', 206), "malformed"),
    "throttled": Kind(faults.THROTTLED, "throttled"),
    "throttled_429": Kind(faults.THROTTLED_429, "throttled"),
    "throttled_without_code": Kind(_refusal(429, None), "throttled"),
    "unavailable": Kind(faults.UNAVAILABLE, "server"),
    "internal_error": Kind(faults.INTERNAL_ERROR, "server"),
    "nonce_used": Kind(faults.NONCE_USED, "server"),
    "invalid_parameter": Kind(_refusal(400, "InvalidParameter"), "server"),
    "null_code": Kind(_refusal(404, None), "server"),
    "forbidden": Kind(faults.FORBIDDEN, "permission"),
    "forbidden_without_code": Kind(_refusal(403, None), "permission"),
    "expired_token": Kind(faults.EXPIRED_TOKEN, "credential"),
    "bad_signature": Kind(_refusal(400, "SignatureDoesNotMatch"), "credential"),
    "clock": Kind(faults.CLOCK, "clock"),
    "redirect": Kind(faults.redirect("http://127.0.0.1:9/"), "server"),
    "html_502": Kind(faults.HTML, "server"),
    "html_200": Kind(faults.HTML_200, "malformed"),
    "empty": Kind(faults.EMPTY, "malformed"),
    "null": Kind(faults.NULL, "malformed"),
    "list": Kind(faults.LIST, "malformed"),
    "object_without_rows": Kind(Canned(b"{}"), "malformed"),
    "rows_missing": Kind(Alter(_without_rows), "malformed"),
    "nested": Kind(faults.deeply_nested(100_000), "malformed"),
    "not_utf8": Kind(Canned(b'{"sessions": "\xff'), "malformed"),
    "truncated": Kind(Truncate(), "malformed"),
    "cut": Kind(Cut(), "network"),
    "hanging": Kind(Hang(), "timeout"),
    "late": Kind(Delay(2 * TIMEOUT), "timeout"),
    "flood": Kind(Flood(4 * MAX_BYTES), "too_large"),
    "rows_held_back": Kind(faults.total_count(10_000), "incomplete", (LIVY,)),
    "endless_tokens": Kind(Alter(_endless), "paging", (CLUSTERS,)),
    "token_too_long": Kind(Alter(_long_token), "malformed", (CLUSTERS,)),
}

LATER_KINDS: Mapping[str, Kind] = {**KINDS, "falsely_empty": Kind(Alter(_emptied), "incomplete")}
"""Those too that are a fault only where something was listed before."""

ONE_OF_EACH_REASON: Mapping[str, Kind] = {
    name: KINDS[name]
    for name in (
        "failure_in_200",
        "throttled",
        "forbidden",
        "clock",
        "expired_token",
        "html_200",
        "cut",
        "hanging",
        "flood",
        "rows_held_back",
        "endless_tokens",
    )
}
"""For tests of what a failed request leads to, whatever the fault was."""
