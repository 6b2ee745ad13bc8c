"""The client: signed GET requests for the four actions that the exporter needs.

Requests go to the endpoint only: redirects are errors, and cookies are not sent. An attempt, from
connecting to the last byte of the body, has `timeout` seconds in all, so neither a silent nor a
dripping server can hold a poll. Defaults of the httpx client (headers, cookies, redirects) are
not used, only its connections.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final, TypeVar

import httpx

from exporter import __version__
from exporter.api import decode
from exporter.api.body import read_body
from exporter.api.credentials import CredentialSource
from exporter.api.error_mapping import (
    TRANSPORT_ERRORS,
    Answer,
    classify,
    from_transport_error,
)
from exporter.api.meter import Meter
from exporter.api.rate_limiter import OnQueued, RateLimiter, ignore_queueing
from exporter.api.regions import region_hint
from exporter.api.retry import Retry
from exporter.api.signing import Credential, Signer, canonical_query, encode_path
from exporter.clock import Clock
from exporter.errors import ApiError, MalformedError, ServerError, TooLargeError
from exporter.model import Action, Gateway, LivySession, Page, SessionCluster, Workspace

T = TypeVar("T")

PAGE_SIZE: Final = 100
"""Rows asked for: the documented maximum of Livy sessions; clusters document none."""

CONNECT_TIMEOUT: Final = 5.0
USER_AGENT: Final = f"emr-serverless-spark-exporter/{__version__}"
_ERROR_BODY_BYTES: Final = 64 * 2**10


@dataclass(frozen=True, slots=True)
class _Call:
    """One request to make: what it is, where it goes."""

    action: Action
    segments: Sequence[str]
    params: Mapping[str, str]
    on_queued: OnQueued
    low_priority: bool = False


class Client:
    """Calls the API of one account and region. Every method raises `ApiError` only.

    `timeout` is in seconds and per attempt; `total_timeout` is in seconds and for a call with all
    its attempts, but without the time in the queue of `limiter`. `on_queued` is called
    periodically while a request is queued, so that the caller can extend its deadline.
    `endpoint` is a URL without a path.
    """

    def __init__(  # noqa: PLR0913 (what a client is made of; all but the first by name)
        self,
        http: httpx.AsyncClient,
        *,
        region_id: str,
        endpoint: str,
        credentials: CredentialSource,
        limiter: RateLimiter,
        meter: Meter,
        clock: Clock,
        max_attempts: int,
        timeout: float,
        total_timeout: float,
        max_response_bytes: int,
    ) -> None:
        self._region_id = region_id
        self._http = http
        self._endpoint = endpoint.rstrip("/")
        self._credentials = credentials
        self._limiter = limiter
        self._meter = meter
        self._clock = clock
        self._max_attempts = max_attempts
        self._timeout = timeout
        self._total_timeout = total_timeout
        self._max_response_bytes = max_response_bytes

    async def session_clusters_page(
        self, workspace_id: str, token: str = "", *, on_queued: OnQueued = ignore_queueing
    ) -> Page[SessionCluster]:
        """Read one page of session clusters; `token` is the page before's `next_token`."""
        call = _Call(
            Action.LIST_SESSION_CLUSTERS,
            ("api", "v1", "workspaces", workspace_id, "sessionClusters"),
            _token_params(token),
            on_queued,
        )
        return await self._get(call, decode.decode_session_clusters)

    async def livy_sessions_page(
        self,
        workspace_id: str,
        livy_compute_id: str,
        page_num: int,
        *,
        low_priority: bool = False,
        on_queued: OnQueued = ignore_queueing,
    ) -> Page[LivySession]:
        """Read one page of a gateway's Livy sessions, running and ended; pages count from 1.

        With `low_priority` it is one of many: all such pages share half of the rate.
        """
        call = _Call(
            Action.LIST_LIVY_COMPUTE_SESSIONS,
            ("api", "v1", "workspaces", workspace_id, "livycompute", livy_compute_id, "session"),
            {"pageNum": str(page_num), "pageSize": str(PAGE_SIZE)},
            on_queued,
            low_priority,
        )
        return await self._get(call, decode.decode_livy_sessions)

    async def gateways(
        self, workspace_id: str, *, on_queued: OnQueued = ignore_queueing
    ) -> tuple[Gateway, ...]:
        """Read the Livy gateways of a workspace, which come in one piece; each is given once."""
        call = _Call(
            Action.LIST_LIVY_COMPUTE,
            ("api", "interactive", "v1", "workspace", workspace_id, "livycompute"),
            {},
            on_queued,
        )
        page = await self._get(call, decode.decode_gateways)
        return tuple({gateway.livy_compute_id: gateway for gateway in page.records}.values())

    async def workspaces_page(
        self, token: str = "", *, on_queued: OnQueued = ignore_queueing
    ) -> Page[Workspace]:
        """Read one page of the workspaces that the credential may list."""
        call = _Call(
            Action.LIST_WORKSPACES, ("api", "v1", "workspaces"), _token_params(token), on_queued
        )
        return await self._get(call, decode.decode_workspaces)

    async def _get(self, call: _Call, read: Callable[[bytes], T]) -> T:
        used: list[Credential] = []

        async def attempt() -> T:
            used[:] = [await self._credentials.get()]
            async with self._slot(call, retry), self._metered(call.action):
                return self._read(*await self._send(call, used[0]), read)

        async def renew() -> Credential:
            return await self._credentials.refresh(used[0])

        retry = Retry(
            call.action,
            self._clock,
            self._meter,
            max_attempts=self._max_attempts,
            # The last attempt, too, must end within the total.
            total_timeout=self._total_timeout - self._timeout,
            renew=renew,
        )
        return await retry.run(attempt)

    def _slot(self, call: _Call, retry: Retry) -> AbstractAsyncContextManager[None]:
        def wait() -> None:
            retry.note_queued()
            call.on_queued()

        return self._limiter.slot(low_priority=call.low_priority, on_queued=wait)

    @asynccontextmanager
    async def _metered(self, action: str) -> AsyncGenerator[None]:
        self._meter.attempted(action)
        start = self._clock.monotonic()
        try:
            yield
        except ApiError as error:
            self._meter.failed(action, error.reason)
            raise
        finally:
            self._meter.took(action, self._clock.monotonic() - start)

    def _read(self, answer: Answer, body: bytes, read: Callable[[bytes], T]) -> T:
        """Decode an answer, unless its status or its body says that the call failed."""
        if decode.holds_too_much(body):
            raise TooLargeError(
                f"{answer.action}: the answer holds more than {decode.MAX_VALUES} values",
                advice="No page of this API is so long; check what api.endpoint leads to.",
                status=answer.status,
            )
        answer = replace(answer, envelope=decode.decode_envelope(body))
        if not httpx.codes.is_success(answer.status) or not answer.envelope.is_success:
            raise classify(answer, now=self._clock.now())
        if answer.status != HTTPStatus.OK:
            raise MalformedError(
                f"{answer.action}: the service answered HTTP {answer.status}, which is no listing",
                advice="The API answers 200. Check api.endpoint, and the proxies on the way to it.",
                status=answer.status,
            )
        try:
            return read(body)
        except MalformedError as error:
            malformed = MalformedError(f"{answer.action}: {error}", advice=error.advice, status=200)
        raise malformed

    async def _send(self, call: _Call, credential: Credential) -> tuple[Answer, bytes]:
        """Send one signed request; return the answer, failed or not, with its body."""
        request = self._build(call)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(call.action, request, credential)
        except TRANSPORT_ERRORS as error:
            hint = region_hint(self._region_id) if self._region_id in self._endpoint else ""
            failure = from_transport_error(call.action, error, timeout=self._timeout, hint=hint)
        raise failure  # outside of `except`: a foreign text may quote a header

    def _build(self, call: _Call) -> httpx.Request:
        """Build the request with its URL already encoded: httpx sends that as it is."""
        failure: ApiError
        try:
            path = encode_path(call.segments)
            query = canonical_query({"regionId": self._region_id, **call.params})
            return httpx.Request(
                "GET",
                f"{self._endpoint}{path}?{query}",
                headers={
                    "accept": "application/json",
                    # A compressed answer could grow a thousandfold before its size is known.
                    "accept-encoding": "identity",
                    "user-agent": USER_AGENT,
                    "x-acs-action": call.action,
                },
                extensions={
                    "timeout": httpx.Timeout(
                        self._timeout, connect=min(CONNECT_TIMEOUT, self._timeout)
                    ).as_dict()
                },
            )
        except (httpx.InvalidURL, ValueError):
            failure = ServerError(
                f"{call.action}: an id or the endpoint is not valid in a URL",
                advice="Check api.endpoint, and the ids of workspace and gateway.",
            )
        raise failure

    async def _exchange(
        self, action: str, request: httpx.Request, credential: Credential
    ) -> tuple[Answer, bytes]:
        response = await self._http.send(
            request,
            stream=True,
            auth=Signer(credential, self._clock.now),
            follow_redirects=False,
        )
        answer = Answer(action, response.status_code, response.headers)
        limit = self._max_response_bytes if response.is_success else _ERROR_BODY_BYTES
        try:
            return answer, await read_body(action, response, limit)
        except (MalformedError, TooLargeError) as error:
            if response.is_success:
                raise
            # The status of a failure says enough.
            return replace(answer, note=str(error).removeprefix(f"{action}: ")), b""
        finally:
            await response.aclose()


def _token_params(token: str) -> dict[str, str]:
    params = {"maxResults": str(PAGE_SIZE)}
    if token:
        params["nextToken"] = token
    return params
