"""A call as the service understands it: which action, on what, which page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from exporter.demo.paging import MAX_PAGE, read_token, write_token
from exporter.demo.refusals import invalid_api, invalid_parameter, missing_parameter
from exporter.demo.signature import Request

VERSION: Final = "2023-08-08"

_SEGMENT = r"([^/]+)"
_PATHS: Final = {
    "ListWorkspaces": re.compile(r"/api/v1/workspaces"),
    "ListSessionClusters": re.compile(rf"/api/v1/workspaces/{_SEGMENT}/sessionClusters"),
    "ListLivyComputeSessions": re.compile(
        rf"/api/v1/workspaces/{_SEGMENT}/livycompute/{_SEGMENT}/session"
    ),
    "ListLivyCompute": re.compile(rf"/api/interactive/v1/workspace/{_SEGMENT}/livycompute"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, and how it was answered."""

    action: str
    workspace_id: str = ""
    compute_id: str = ""
    page: int = 1
    """From 1, in either way of paging."""
    token: str | None = None
    """`nextToken` as sent."""
    own_token: str = ""
    """A token that would lead to this very page."""
    time: float = 0.0
    """Seconds since the epoch, by the service's clock."""
    status: int = 0
    """HTTP status; 0 = not answered yet, or never."""
    code: str = ""
    """`OK`, the vendor's error code (`null` where that is null), or the name of a fault."""
    rows: int = 0
    """Rows on the served page."""


def route(path: str) -> tuple[str, tuple[str, ...]]:
    """Find the action of a raw path and the ids in it, decoded."""
    for action, pattern in _PATHS.items():
        if match := pattern.fullmatch(path):
            return action, tuple(unquote(segment) for segment in match.groups())
    raise invalid_api("The path is not one of this API.")


def check_headers(request: Request, action: str) -> None:
    """Refuse a method, an action or a version that does not fit the path."""
    if request.method != "GET":
        raise invalid_api(f"The method {request.method} is not supported.")
    if request.headers.get("x-acs-action") != action:
        raise invalid_api("x-acs-action does not fit the path.")
    if request.headers.get("x-acs-version") != VERSION:
        raise invalid_api("x-acs-version is not a version of this product.")


def parse_query(query: str) -> dict[str, str]:
    """Decode a query in canonical form."""
    pairs = (piece.partition("=") for piece in query.split("&") if piece)
    return {unquote(key): unquote(value) for key, _, value in pairs}


def whole_number(query: Mapping[str, str], name: str, default: int, maximum: int) -> int:
    """Read a number from 1 to the maximum, or refuse."""
    text = query.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) or not 1 <= int(text) <= maximum:
        raise invalid_parameter(name)
    return int(text)


def page_size(query: Mapping[str, str], name: str) -> int:
    """Read how many rows are asked for: 20 by default, 100 at most."""
    return whole_number(query, name, 20, MAX_PAGE)


def describe(path: str, query: Mapping[str, str], time: float) -> Call:
    """Return what a request asks for; refuse a page that cannot exist."""
    action, ids = route(path)
    workspace_id, compute_id = (*ids, "", "")[:2]
    token = query.get("nextToken")
    position = read_token(token)
    page = position.page
    if action == "ListLivyComputeSessions":
        page = whole_number(query, "pageNum", 1, 10**9)
    return Call(
        action=action,
        workspace_id=workspace_id,
        compute_id=compute_id,
        page=page,
        token=token,
        own_token=write_token(position),
        time=time,
    )


def region(query: Mapping[str, str]) -> str:
    """Read the region, which the service has been seen to insist on."""
    if not query.get("regionId"):
        raise missing_parameter("regionId")
    return query["regionId"]
