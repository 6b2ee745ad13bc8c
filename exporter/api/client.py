"""The client: signed GET requests for the four actions that the exporter needs.

Nothing is sent but to the endpoint: redirects are errors, and no cookie is kept. An attempt,
from connecting to the last byte of the body, has `timeout` seconds in all, so neither a silent
nor a dripping server can hold a poll. What an httpx client was given as defaults (headers,
cookies, redirects) is not used: only its connections are.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar

import httpx

from exporter import __version__
from exporter.api import decode
from exporter.api.budget import Budget, OnWait, ignore_waiting
from exporter.api.credentials import CredentialSource
from exporter.api.failures import (
    FOREIGN_ERRORS,
    Answer,
    classify,
    classify_foreign,
    parse_answer,
)
from exporter.api.meter import Meter
from exporter.api.retry import PATIENCE, Retry
from exporter.api.signing import Credential, Signer, canonical_query, encode_path
from exporter.api.wire import SUCCESS
from exporter.clock import Clock
from exporter.errors import ApiError, MalformedError, ServerError, TooLargeError
from exporter.model import Gateway, LivySession, Page, SessionCluster, Workspace

T = TypeVar("T")

PAGE_SIZE: Final = 100
"""Rows asked for: the documented maximum of Livy sessions; clusters document none."""

CONNECT_TIMEOUT: Final = 5.0
USER_AGENT: Final = f"emr-serverless-spark-exporter/{__version__}"
_ERROR_BODY_BYTES: Final = 64 * 2**10


@dataclass(frozen=True, slots=True)
class _Call:
    """One request to make: what it is, where it goes."""

    action: str
    segments: Sequence[str]
    params: Mapping[str, str]
    on_wait: OnWait
    in_bulk: bool = False


class Client:
    """Calls the API of one account and region. Every method raises `ApiError` only.

    `timeout` is in seconds and per attempt; `patience` is in seconds and for a call with all its
    attempts, but without the wait for its turns: every attempt draws from `budget`, and `on_wait`
    is called now and then while it stands in line. `endpoint` is a URL without a path.
    """

    def __init__(  # noqa: PLR0913 (what a client is made of; all but the first by name)
        self,
        http: httpx.AsyncClient,
        *,
        account: str,
        region_id: str,
        endpoint: str,
        credentials: CredentialSource,
        budget: Budget,
        meter: Meter,
        clock: Clock,
        max_attempts: int = 4,
        timeout: float = 10.0,
        patience: float = PATIENCE,
        max_response_bytes: int = 16 * 2**20,
    ) -> None:
        self.account = account
        self.region_id = region_id
        self._http = http
        self._endpoint = endpoint.rstrip("/")
        self._credentials = credentials
        self._budget = budget
        self._meter = meter
        self._clock = clock
        self._max_attempts = max_attempts
        self._timeout = timeout
        self._patience = patience
        self._max_response_bytes = max_response_bytes

    async def session_clusters_page(
        self, workspace_id: str, token: str = "", *, on_wait: OnWait = ignore_waiting
    ) -> Page[SessionCluster]:
        """Read one page of session clusters; `token` is the page before's `next_token`."""
        call = _Call(
            "ListSessionClusters",
            ("api", "v1", "workspaces", workspace_id, "sessionClusters"),
            _token_params(token),
            on_wait,
        )
        return await self._get(call, decode.decode_session_clusters)

    async def livy_sessions_page(
        self,
        workspace_id: str,
        livy_compute_id: str,
        page_num: int,
        *,
        in_bulk: bool = False,
        on_wait: OnWait = ignore_waiting,
    ) -> Page[LivySession]:
        """Read one page of a gateway's Livy sessions, running and ended; pages count from 1.

        With `in_bulk` it is one of many: all such pages share half of the budget.
        """
        call = _Call(
            "ListLivyComputeSessions",
            ("api", "v1", "workspaces", workspace_id, "livycompute", livy_compute_id, "session"),
            {"pageNum": str(page_num), "pageSize": str(PAGE_SIZE)},
            on_wait,
            in_bulk,
        )
        return await self._get(call, decode.decode_livy_sessions)

    async def gateways(
        self, workspace_id: str, *, on_wait: OnWait = ignore_waiting
    ) -> tuple[Gateway, ...]:
        """Read the Livy gateways of a workspace, which come in one piece."""
        call = _Call(
            "ListLivyCompute",
            ("api", "interactive", "v1", "workspace", workspace_id, "livycompute"),
            {},
            on_wait,
        )
        page = await self._get(call, self._decode_gateways)
        return page.records

    async def workspaces_page(
        self, token: str = "", *, on_wait: OnWait = ignore_waiting
    ) -> Page[Workspace]:
        """Read one page of the workspaces that the credential may list."""
        call = _Call("ListWorkspaces", ("api", "v1", "workspaces"), _token_params(token), on_wait)
        return await self._get(call, decode.decode_workspaces)

    def _decode_gateways(self, body: bytes) -> Page[Gateway]:
        """Read the gateways; this action can say failure inside an HTTP 200."""
        code, message, request_id = decode.decode_verdict(body)
        if code and code != SUCCESS:
            answer = Answer("ListLivyCompute", HTTPStatus.OK, {}, code, message, request_id)
            raise classify(answer, now=self._clock.now())
        return decode.decode_gateways(body)

    async def _get(self, call: _Call, read: Callable[[bytes], T]) -> T:
        """Make a call, repeating it where that may help."""
        used: list[Credential] = []

        async def attempt() -> T:
            used[:] = [await self._credentials.get()]
            async with self._turn(call, retry), self._metered(call.action):
                return self._read(call.action, read, await self._send(call, used[0]))

        async def renew() -> Credential:
            return await self._credentials.refresh(used[0])

        retry = Retry(
            call.action,
            self._clock,
            self._meter,
            max_attempts=self._max_attempts,
            # The last attempt, too, must be over before the patience is.
            patience=self._patience - self._timeout,
            renew=renew,
        )
        return await retry.run(attempt)

    def _turn(self, call: _Call, retry: Retry) -> AbstractAsyncContextManager[None]:
        def wait() -> None:
            retry.note_waiting()
            call.on_wait()

        return self._budget.turn(in_bulk=call.in_bulk, on_wait=wait)

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

    def _read(self, action: str, read: Callable[[bytes], T], body: bytes) -> T:
        if decode.holds_too_much(body):
            raise TooLargeError(
                f"{action}: the answer holds more than {decode.MAX_VALUES} values",
                advice="No page of this API is so long; check what api.endpoint leads to.",
                status=HTTPStatus.OK,
            )
        try:
            return read(body)
        except MalformedError as error:
            malformed = MalformedError(f"{action}: {error}", advice=error.advice, status=200)
        raise malformed

    async def _send(self, call: _Call, credential: Credential) -> bytes:
        """Send one signed request; give the body of a success, raise our error otherwise."""
        request = self._build(call)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(call.action, request, credential)
        except FOREIGN_ERRORS as error:
            failure = classify_foreign(call.action, error, timeout=self._timeout)
        raise failure  # outside of `except`: a foreign text may quote a header

    def _build(self, call: _Call) -> httpx.Request:
        """Build the request with its URL already encoded: httpx sends that as it is."""
        failure: ApiError
        try:
            path = encode_path(call.segments)
            query = canonical_query({"regionId": self.region_id, **call.params})
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
                f"{call.action}: an id or the endpoint cannot stand in a URL",
                advice="Check api.endpoint, and the ids of workspace and gateway.",
            )
        raise failure

    async def _exchange(self, action: str, request: httpx.Request, credential: Credential) -> bytes:
        response = await self._http.send(
            request,
            stream=True,
            auth=Signer(credential, self._clock.now),
            follow_redirects=False,
        )
        try:
            if response.is_success:
                return await self._gather(action, response)
            body = await _gather_at_most(response, _ERROR_BODY_BYTES) or b""
        finally:
            await response.aclose()
        answer = parse_answer(action, response.status_code, response.headers, body)
        raise classify(answer, now=self._clock.now())

    async def _gather(self, action: str, response: httpx.Response) -> bytes:
        body = await _gather_at_most(response, self._max_response_bytes)
        if body is None:
            raise TooLargeError(
                f"{action}: the answer is larger than {self._max_response_bytes} bytes",
                advice="Raise api.max-response-bytes if the answer is meant to be so large.",
                status=response.status_code,
            )
        return body


def _token_params(token: str) -> dict[str, str]:
    params = {"maxResults": str(PAGE_SIZE)}
    if token:
        params["nextToken"] = token
    return params


async def _gather_at_most(response: httpx.Response, limit: int) -> bytes | None:
    """Read a body while it comes; `None`, without reading on, where it is over `limit` bytes."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)
