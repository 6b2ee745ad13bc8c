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


KINDS: Mapping[str, Kind] = {
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
}

LATER_KINDS: Mapping[str, Kind] = {**KINDS, "falsely_empty": Kind(Alter(_emptied), "incomplete")}
"""Those too that are a fault only where something was listed before."""
