"""The parser: the bytes of an answer → frozen values. Pure functions.

A page is decoded typed first. Typed decoders refuse a whole page for one `Infinity`, `NaN`, lone
surrogate or record of a wrong type, so a page that they refuse is decoded again with the standard
library and converted record by record: one bad record costs only itself.

No exception of a decoder is passed on, not even as a cause: its text may quote the answer.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from exporter.api import wire
from exporter.api.values import (
    UnreadableError,
    figure,
    flag,
    free_text,
    identity,
    integer,
    nano_cu_hours,
    page_token,
    state,
    text,
    time_ms,
    url,
)
from exporter.errors import MalformedError
from exporter.model import (
    LIVY_SESSION_STATES,
    NAMELESS,
    SESSION_CLUSTER_KINDS,
    SESSION_CLUSTER_STATES,
    Gateway,
    LivySession,
    Page,
    SessionCluster,
    Usage,
    Workspace,
)

R = TypeVar("R", bound=msgspec.Struct)
T = TypeVar("T")

_TOKEN_LENGTH: Final = 8192
_LONG_INTEGER: Final = 100
"""Digits from which an integer is no longer made an `int`: Python refuses some, and is slow."""

MAX_VALUES: Final = 500_000
"""In one answer: a full page of clusters has some thousands, with all their configuration. Many
tiny values take twenty times the memory that they took on the wire."""

MAX_ROWS: Final = 10_000
"""On one page: a hundred times what is asked for."""

GATEWAY_SUCCESS: Final = "1000000"
"""The code by which `ListLivyCompute` says that it succeeded; the other actions document none."""

_SUCCESS_CODES: Final = frozenset({"", "null", "0", "200", "ok", "success", GATEWAY_SUCCESS})

_DECODING_ERRORS: Final = (msgspec.MsgspecError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What an answer says about itself; `""` for each text that it does not hold."""

    code: str = ""
    message: str = ""
    request_id: str = ""
    is_success: bool = True
    """Whether neither the code nor the field `success` says that the call failed."""


class _RawPage(msgspec.Struct, Generic[R]):
    """A page, decoded fast or slowly; a row that is not an object is a record without fields."""

    records: list[R]
    total_count: object = None
    next_token: object = None


class _Shape(Generic[R]):
    """How to decode one action's answer, fast or slowly."""

    def __init__(self, record: type[R], answer: type[msgspec.Struct], *path: str) -> None:
        self._record = record
        self._decoder = msgspec.json.Decoder(answer, float_hook=str)
        self._path = path

    def decode(self, body: bytes) -> _RawPage[R]:
        """Decode a page; raise `MalformedError` where it is not what the API documents."""
        try:
            found = self._decoder.decode(body)
        except _DECODING_ERRORS:
            found = None
        return self._slowly(body) if found is None else self._open(found)

    def _open(self, answer: msgspec.Struct) -> _RawPage[R]:
        inner: Any = getattr(answer, "data", answer)
        return _RawPage(
            records=inner.records,
            total_count=getattr(answer, "total_count", None),
            next_token=getattr(answer, "next_token", None),
        )

    def _slowly(self, body: bytes) -> _RawPage[R]:
        outer = inner = _load(body)
        for key in self._path[:-1]:
            inner = _child(inner, key)
        rows = _child(inner, self._path[-1])
        if rows is None and isinstance(inner, dict | None) and _says_nothing(outer):
            rows = []
        if not isinstance(outer, dict) or not isinstance(rows, list):
            raise MalformedError(
                f"The answer has no list {'.'.join(self._path)!r}",
                advice="Check that the endpoint is the API's, and not a proxy or a login page.",
            )
        page: _RawPage[R] = _RawPage(
            records=[
                msgspec.convert(row if isinstance(row, dict) else {}, self._record) for row in rows
            ],
            total_count=outer.get("totalCount"),
            next_token=outer.get("nextToken"),
        )
        return page


_CLUSTERS = _Shape(wire.RawCluster, wire.ClusterResponse, "sessionClusters")
_SESSIONS = _Shape(wire.RawSession, wire.SessionResponse, "sessions")
_WORKSPACES = _Shape(wire.RawWorkspace, wire.WorkspaceResponse, "workspaces")
_GATEWAYS = _Shape(wire.RawGateway, wire.GatewayResponse, "data", "livyComputes")
_ENVELOPE: Final = msgspec.json.Decoder(wire.RawEnvelope)
_IMPERSONATION: Final = msgspec.json.Decoder(wire.Impersonation)


def decode_session_clusters(body: bytes) -> Page[SessionCluster]:
    """Read an answer of `ListSessionClusters`; raise `MalformedError`."""
    return _page(_CLUSTERS.decode(body), _session_cluster, lambda row: row.session_cluster_id)


def decode_livy_sessions(body: bytes) -> Page[LivySession]:
    """Read an answer of `ListLivyComputeSessions`; raise `MalformedError`."""
    return _page(_SESSIONS.decode(body), _livy_session, lambda row: row.session_id)


def decode_workspaces(body: bytes) -> Page[Workspace]:
    """Read an answer of `ListWorkspaces`; raise `MalformedError`."""
    return _page(_WORKSPACES.decode(body), _workspace, lambda row: row.workspace_id)


def decode_gateways(body: bytes) -> Page[Gateway]:
    """Read an answer of `ListLivyCompute` that says success; raise `MalformedError`."""
    return _page(_GATEWAYS.decode(body), _gateway, lambda row: row.compute_id)


def holds_too_much(body: bytes) -> bool:
    """Whether an answer, which is not decoded for that, may hold more values than any page does."""
    if len(body) <= MAX_VALUES:  # each value takes a byte at least
        return False
    return sum(body.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES


def decode_envelope(body: bytes) -> Envelope:
    """Read what an answer says about itself; nothing where it is no JSON object."""
    try:
        raw = _ENVELOPE.decode(body)
    except _DECODING_ERRORS:
        raw = _slow_envelope(body)
    codes = [text(raw.code).strip(), text(raw.pascal_code).strip()]
    failed = [code for code in codes if code.lower() not in _SUCCESS_CODES]
    code = failed[0] if failed else codes[0] or codes[1]
    flags = {flag(raw.success), flag(raw.pascal_success)}
    return Envelope(
        code=code,
        message=free_text(raw.message) or free_text(raw.pascal_message),
        request_id=text(raw.request_id) or text(raw.pascal_request_id),
        is_success=not failed and False not in flags,
    )


def _slow_envelope(body: bytes) -> wire.RawEnvelope:
    try:
        loaded = _load_text(body.decode("utf-8", "replace"))
    except _DECODING_ERRORS:
        loaded = None
    fields = loaded if isinstance(loaded, dict) else {}
    return msgspec.convert(fields, wire.RawEnvelope)


def _page(raw: _RawPage[R], convert: Callable[[R], T], id_of: Callable[[R], object]) -> Page[T]:
    """Convert what can be; identify the rest by id, else by a digest that tells nothing else."""
    if len(raw.records) > MAX_ROWS:
        raise MalformedError(
            f"the page holds {len(raw.records)} rows, far more than were asked for"
        )
    records: list[T] = []
    malformed: list[str] = []
    places: list[int] = []
    for place, row in enumerate(raw.records):
        try:
            records.append(convert(row))
        except UnreadableError:
            malformed.append(_name(row, id_of(row)))
            places.append(place)
    token = page_token(raw.next_token)
    if len(token) > _TOKEN_LENGTH:
        raise MalformedError(f"the page token has {len(token)} characters")
    return Page(
        records=tuple(records),
        malformed=_numbered(malformed),
        malformed_at=tuple(places),
        total_count=integer(raw.total_count),
        next_token=token,
    )


def _name(row: object, found: object) -> str:
    try:
        return identity(found)
    except UnreadableError:
        shown = repr(row).encode("utf-8", "backslashreplace")
        return f"{NAMELESS}{hashlib.sha256(shown).hexdigest()[:16]}"


def _numbered(names: list[str]) -> tuple[str, ...]:
    """Keep equal names on one page apart, because each of them is a row."""
    seen: dict[str, int] = {}
    numbered = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        numbered.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(numbered)


def _session_cluster(row: wire.RawCluster) -> SessionCluster:
    name, strange = state(row.state, SESSION_CLUSTER_STATES)
    kind = text(row.kind)
    return SessionCluster(
        session_cluster_id=identity(row.session_cluster_id),
        state=name,
        strange_state=strange,
        name=text(row.name),
        kind=kind.upper() if kind.upper() in SESSION_CLUSTER_KINDS else kind,
        queue=text(row.queue_name),
        user_name=text(row.user_name),
        release_version=text(row.release_version) or text(row.display_release_version),
        fusion=flag(row.fusion),
        state_code=free_text(_child(row.state_change_reason, "code")),
        state_message=free_text(_child(row.state_change_reason, "message")),
        web_ui=url(row.web_ui),
        created_ms=time_ms(row.gmt_create),
        started_ms=time_ms(row.start_time),
        auto_start=flag(_child(row.auto_start_configuration, "enable")),
        auto_stop=flag(_child(row.auto_stop_configuration, "enable")),
        auto_stop_idle_minutes=integer(_child(row.auto_stop_configuration, "idleTimeoutMinutes")),
        public_endpoint=flag(row.public_endpoint_enabled),
    )


def _livy_session(row: wire.RawSession) -> LivySession:
    name, strange = state(row.state, LIVY_SESSION_STATES)
    return LivySession(
        session_id=identity(row.session_id),
        state=name,
        strange_state=strange,
        name=text(row.name),
        queue=text(row.queue),
        proxy_user=_proxy_user(row.spark_conf),
        web_ui=url(row.web_ui),
        info="" if row.info == "null" else free_text(row.info),  # as in the vendor's sample
        created_ms=time_ms(row.create_time),
        ended_ms=time_ms(row.end_time),
        usage=Usage(
            nano_cu_hours=nano_cu_hours(row.cu_hours),
            vcore_seconds=figure(row.vcore_seconds),
            mb_seconds=figure(row.mb_seconds),
        ),
    )


def _workspace(row: wire.RawWorkspace) -> Workspace:
    return Workspace(workspace_id=identity(row.workspace_id), name=text(row.workspace_name))


def _gateway(row: wire.RawGateway) -> Gateway:
    return Gateway(
        livy_compute_id=identity(row.compute_id),
        name=text(row.name),
        queue=text(row.queue_name),
        status=text(row.status),
        created_ms=time_ms(row.gmt_create),
    )


def _proxy_user(spark_conf: object) -> str:
    """Return the user of a `sparkConf`, which is JSON as text, or not.

    Nothing else of it is kept, nor is the text remembered to save time: it may hold secrets.
    """
    if not isinstance(spark_conf, str):
        return text(_child(spark_conf, "proxyUser"))
    try:
        return text(_IMPERSONATION.decode(spark_conf).proxy_user)
    except _DECODING_ERRORS:
        pass
    try:
        return text(_child(_load_text(spark_conf), "proxyUser"))
    except _DECODING_ERRORS:
        return ""


def _says_nothing(outer: object) -> bool:
    """Whether an answer without a list has an empty one, which Java may leave out."""
    is_success = text(_child(outer, "code")) == GATEWAY_SUCCESS
    return is_success or integer(_child(outer, "totalCount")) == 0


def _child(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _load(body: bytes) -> object:
    """Decode with the standard library; raise `MalformedError` where it is no JSON at all."""
    failure = ""
    try:
        return _load_text(body.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        failure = "it is not UTF-8, and names no other charset"
    except RecursionError:
        failure = "it is nested too deep"
    except ValueError:
        failure = "it is not JSON" if body.strip() else "it is empty"
    raise MalformedError(
        f"The answer cannot be read: {failure} ({len(body)} bytes)",
        advice="Check that the endpoint is the API's, and not a proxy or a login page.",
    )


def _load_text(document: str) -> object:
    loaded: object = json.loads(
        document.removeprefix("\ufeff"), parse_float=str, parse_int=_parse_integer
    )
    return loaded


def _parse_integer(digits: str) -> object:
    return int(digits) if len(digits) < _LONG_INTEGER else digits
