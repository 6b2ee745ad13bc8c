import asyncio
import gc
import ssl
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from exporter import __version__
from exporter.api.client import Client
from exporter.api.credentials import StaticCredentials
from exporter.api.signing import Credential
from exporter.errors import (
    ApiError,
    ClockSkewError,
    CredentialError,
    MalformedError,
    PermissionDeniedError,
    ServerError,
    ThrottledError,
    TimedOutError,
    TooLargeError,
    UnreachableError,
)
from exporter.model import Gateway, Page, Workspace
from tests.api.fakes import CREDENTIAL, EMPTY, Bench, FakeClock, Service, bad, good


async def list_clusters(client: Client) -> object:
    """Make the call that stands for all."""
    return await client.session_clusters_page("w-1")


def fail(service: Service, kind: type[ApiError], **options: object) -> ApiError:
    """Make a call that must fail in a given way; nothing it raises may show a secret."""
    bench = Bench(service, **options)  # type: ignore[arg-type]
    with pytest.raises(kind) as caught:
        bench.ask(list_clusters)
    assert type(caught.value) is kind
    shown = "".join(traceback.format_exception(caught.value)) + caught.value.advice
    assert "sentinel" not in shown
    return caught.value


@pytest.mark.parametrize(
    ("call", "target"),
    [
        (
            lambda client: client.session_clusters_page("w/1"),
            "/api/v1/workspaces/w%2F1/sessionClusters?maxResults=100&regionId=cn-hangzhou",
        ),
        (
            lambda client: client.session_clusters_page("w", "a b+"),
            (
                "/api/v1/workspaces/w/sessionClusters"
                "?maxResults=100&nextToken=a%20b%2B&regionId=cn-hangzhou"
            ),
        ),
        (
            lambda client: client.livy_sessions_page("w", "lc", 3),
            (
                "/api/v1/workspaces/w/livycompute/lc/session"
                "?pageNum=3&pageSize=100&regionId=cn-hangzhou"
            ),
        ),
        (
            lambda client: client.gateways("w"),
            "/api/interactive/v1/workspace/w/livycompute?regionId=cn-hangzhou",
        ),
        (
            lambda client: client.workspaces_page("t"),
            "/api/v1/workspaces?maxResults=100&nextToken=t&regionId=cn-hangzhou",
        ),
    ],
)
def test_where_the_calls_go(call: Callable[[Client], Awaitable[object]], target: str) -> None:
    """Each action has its path and parameters, and always names the region."""
    body = {
        "sessions": [],
        "sessionClusters": [],
        "workspaces": [],
        "data": {"livyComputes": []},
    }
    service = Service([good(body)])

    Bench(service).ask(call)

    assert [request.url.raw_path.decode() for request in service.asked] == [target]


def test_what_a_request_says() -> None:
    """A request accepts JSON, names our version, and carries nothing of the HTTP client's."""
    service = Service([good()])

    Bench(service).ask(list_clusters)

    headers = service.asked[0].headers
    assert headers["accept"] == "application/json"
    assert headers["user-agent"] == f"emr-serverless-spark-exporter/{__version__}"
    assert headers["x-acs-action"] == "ListSessionClusters"
    assert headers["x-acs-version"] == "2023-08-08"
    assert headers["x-acs-security-token"] == CREDENTIAL.security_token
    assert service.asked[0].extensions["timeout"]["connect"] == 5.0


def test_cookies_are_not_kept() -> None:
    """What an answer sets as a cookie is not sent with the next request."""
    service = Service([httpx.Response(200, json=EMPTY, headers={"set-cookie": "a=b"})])

    async def twice(client: Client) -> None:
        await client.session_clusters_page("w")
        await client.session_clusters_page("w")

    Bench(service).ask(twice)

    assert "cookie" not in service.asked[1].headers


def test_workspaces_and_gateways_come_out() -> None:
    """Both kinds of discovery give values, with the token of the next page."""
    workspaces = Service([good({"workspaces": [{"workspaceId": "w"}], "nextToken": "n"})])
    rows = [{"computeId": "lc"}, {"computeId": "lc"}]  # what is listed twice is one gateway
    gateways = Service([good({"code": "1000000", "data": {"livyComputes": rows}})])

    assert Bench(workspaces).ask(lambda client: client.workspaces_page()) == Page(
        records=(Workspace("w"),), next_token="n"
    )
    assert Bench(gateways).ask(lambda client: client.gateways("w")) == (Gateway("lc"),)


def test_a_failure_inside_a_success() -> None:
    """A code other than success is a failure although HTTP says 200."""
    service = Service([good({"code": "NoPermission", "message": "no", "requestId": "R"})])

    with pytest.raises(PermissionDeniedError, match="emr-serverless-spark:ListLivyCompute"):
        Bench(service).ask(lambda client: client.gateways("w"))


@pytest.mark.parametrize(
    "passing",
    [
        bad(400, "Throttling.User"),
        bad(429, None),
        bad(503, "ServiceUnavailable"),
        bad(500, None),
        bad(400, "InternalError"),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
        ConnectionResetError("reset"),
        ssl.SSLError("broken"),
    ],
    ids=repr,
)
def test_what_may_pass_is_repeated(passing: httpx.Response | Exception) -> None:
    """Throttling, errors of the server and of the network are tried again, each time later."""
    service = Service([passing, passing, passing, good()])
    bench = Bench(service)

    assert bench.ask(list_clusters) == Page()

    assert len(bench.clock.slept) == 3
    ceilings = [0.5, 1.0, 2.0]
    assert all(0 <= wait <= top for wait, top in zip(bench.clock.slept, ceilings, strict=True))
    nonces = {request.headers["x-acs-signature-nonce"] for request in service.asked}
    assert len(nonces) == 4


def test_the_last_error_is_raised() -> None:
    """After the last attempt our own error of that attempt is raised, with the service's words."""
    service = Service([bad(503, None), bad(400, "Throttling.Api", "slow down")])

    error = fail(service, ThrottledError, max_attempts=3)

    assert len(service.asked) == 3
    assert (error.status, error.code) == (400, "Throttling.Api")
    assert str(error).endswith("[request R-1]")
    assert "slow down" in str(error)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (bad(403, "Forbidden.RAM"), PermissionDeniedError),
        (bad(404, "InvalidAccessKeyId.NotFound"), CredentialError),
        (
            bad(400, "SignatureDoesNotMatch", "sentinel-string-to-sign LTAIsentinel"),
            CredentialError,
        ),
        (bad(400, "InvalidTimeStamp.Expired"), ClockSkewError),
        (bad(400, "MissingParameter.regionId"), ServerError),
        (bad(404, None), ServerError),
        (bad(403, None), PermissionDeniedError),
        (bad(401, None), CredentialError),
        (httpx.Response(404, html="<html>sentinel</html>"), ServerError),
        (httpx.Response(200, html="<html>sentinel</html>"), MalformedError),
        (httpx.Response(204), MalformedError),
        (httpx.LocalProtocolError("Illegal header value b'sentinel-token'"), ServerError),
    ],
    ids=repr,
)
def test_what_will_not_pass_is_not_repeated(
    reply: httpx.Response | Exception, kind: type[ApiError]
) -> None:
    """A refusal is raised at once: nothing is gained by asking again."""
    service = Service([reply])
    clock = FakeClock()

    fail(service, kind, clock=clock)

    assert len(service.asked) == 1
    assert clock.slept == []


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"x_acs_retry_after": "2500"}, 2.5),
        ({"Retry_After": "7"}, 7.0),
        (
            {
                "Retry_After": "Thu, 01 Jan 1970 00:00:09 GMT",
                "Date": "Thu, 01 Jan 1970 00:00:05 GMT",
            },
            4,
        ),
        ({"Retry_After": "86400"}, 50.0),
        ({"x_acs_retry_after": "99999999"}, 50.0),
        ({"Retry_After": "soon"}, 0.0),
    ],
)
def test_the_wait_that_was_asked_for_is_kept(headers: dict[str, str], least: float) -> None:
    """The service's wish is a minimum, as far as another attempt is still in time after it."""
    bench = Bench(Service([bad(400, "Throttling", **headers), good()]))

    bench.ask(list_clusters)

    assert least <= bench.clock.slept[0] <= least + 0.5


def test_a_used_nonce_is_replaced_once() -> None:
    """A used nonce is replaced at once, and counts against no limit; twice is an error."""
    service = Service([bad(400, "SignatureNonceUsed"), good()])
    bench = Bench(service, max_attempts=1)

    assert bench.ask(list_clusters) == Page()
    assert bench.clock.slept == [0.0]

    service = Service([bad(400, "SignatureNonceUsed")])
    error = fail(service, ServerError)
    assert len(service.asked) == 2
    assert "sends requests twice" in error.advice


class Renewable:
    """Credentials of which each refused one is followed by another."""

    def __init__(self) -> None:
        self.refused: list[Credential] = []

    async def get(self) -> Credential:
        """Return a credential that tells how many were refused."""
        return Credential("LTAIsentinel", "sentinel", f"sentinel-token-{len(self.refused)}")

    async def refresh(self, rejected: Credential) -> Credential:
        """Note what was refused."""
        self.refused.append(rejected)
        return await self.get()


@pytest.mark.parametrize("total_timeout", [60.0, 10.0, 5.0])
def test_a_refused_token_is_renewed_once(total_timeout: float) -> None:
    """The next attempt signs with the new one, also where one attempt may take all the time."""
    service = Service([bad(404, "InvalidSecurityToken.Expired"), good()])
    bench = Bench(
        service, credentials=Renewable(), max_attempts=1, timeout=10.0, total_timeout=total_timeout
    )

    assert bench.ask(list_clusters) == Page()

    tokens = [request.headers["x-acs-security-token"] for request in service.asked]
    assert tokens == ["sentinel-token-0", "sentinel-token-1"]


def test_a_token_that_is_refused_again_is_an_error() -> None:
    """One renewal is all: the second refusal is raised."""
    service = Service([bad(400, "InvalidSecurityToken.Malformed")])

    fail(service, CredentialError, credentials=Renewable())

    assert len(service.asked) == 2


def test_a_token_that_cannot_be_renewed_is_an_error() -> None:
    """Where there is no other credential, that is said, and nothing is sent again."""
    service = Service([bad(400, "InvalidSecurityToken.Expired")])

    error = fail(service, CredentialError, credentials=StaticCredentials(CREDENTIAL))

    assert len(service.asked) == 1
    assert "no newer one" in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """A signed request is never sent elsewhere, whatever the HTTP client is set to."""
    service = Service([httpx.Response(status, headers={"location": "https://evil.example/"})])

    error = fail(service, ServerError)

    assert [request.url.host for request in service.asked] == ["spark.example"]
    assert "Redirects are not followed" in error.advice


@pytest.mark.parametrize("workspace_id", ["", ".", ".."])
def test_an_id_that_addresses_something_else_is_refused(workspace_id: str) -> None:
    """Nothing is sent for an id that is no path segment."""
    service = Service([good()])

    with pytest.raises(ServerError, match="is not valid in a URL"):
        Bench(service).ask(lambda client: client.session_clusters_page(workspace_id))

    assert service.asked == []


class Dripping(httpx.AsyncByteStream):
    """A body that comes in chunks, without an end."""

    def __init__(self, chunk: bytes, pause: float = 0.0) -> None:
        self.chunk = chunk
        self.pause = pause
        self.sent = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(self.pause)
            self.sent += len(self.chunk)
            yield self.chunk

    async def aclose(self) -> None:
        """Note that the body was left."""
        self.closed = True


@pytest.mark.parametrize("status", [200, 500])
def test_an_endless_answer_is_not_read_to_the_end(status: int) -> None:
    """An answer that is too large is left as soon as that is known; an error stays one."""
    body = Dripping(b"x" * 1000)

    async def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, stream=body)

    kind = TooLargeError if status == 200 else ServerError
    with pytest.raises(kind):
        Bench(answer, max_response_bytes=10_000, max_attempts=1).ask(list_clusters)

    assert body.sent <= 70_000
    assert body.closed


def test_a_large_answer_is_held_once_and_given_back_with_its_failure() -> None:
    """Nothing but the error is left of it, also before the garbage collector runs."""
    size, chunk = 8 * 2**20, b"{}," * 20_000

    async def body() -> AsyncIterator[bytes]:
        for _ in range(size // len(chunk)):
            yield chunk

    async def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=body())

    async def refused(client: Client) -> TooLargeError:
        with pytest.raises(TooLargeError) as caught:
            await list_clusters(client)
        return caught.value

    async def measured(client: Client) -> tuple[list[int], list[TooLargeError]]:
        errors = [await refused(client)]  # imports what only a failure needs
        tracemalloc.start()
        try:
            errors += [await refused(client) for _ in range(3)]
            return list(tracemalloc.get_traced_memory()), errors
        finally:
            tracemalloc.stop()

    gc.disable()
    try:
        (left, most), _ = Bench(answer, max_response_bytes=2 * size).ask(measured)
    finally:
        gc.enable()
    assert most < 1.5 * size
    assert left < size / 8


def test_an_answer_of_the_largest_size_is_read() -> None:
    """The limit itself is allowed."""
    size = len(good().content)

    assert Bench(Service([good()]), max_response_bytes=size).ask(list_clusters) == Page()
    with pytest.raises(TooLargeError):
        Bench(Service([good()]), max_response_bytes=size - 1).ask(list_clusters)


def test_a_dripping_server_is_left() -> None:
    """A body that trickles for ever runs into the timeout of the whole attempt."""
    body = Dripping(b" ", pause=0.001)

    async def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=body)

    with pytest.raises(TimedOutError, match=r"within 0\.05 s"):
        Bench(answer, timeout=0.05, max_attempts=1).ask(list_clusters)

    assert body.closed


def test_a_silent_server_is_left() -> None:
    """A server that never answers runs into the timeout, too."""

    async def answer(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(TimedOutError):
        Bench(answer, timeout=0.02, max_attempts=1).ask(list_clusters)


class Sleepless(FakeClock):
    """A clock with which a wait begins and never ends."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Note the wait, and wait for ever."""
        await super().sleep(seconds)
        self.began.set()
        await asyncio.Event().wait()


def test_a_cancelled_call_is_cancelled() -> None:
    """Stopping whoever waits for another attempt is not a failure that may be repeated."""
    service = Service([bad(503, None)])
    clock = Sleepless()

    async def cancel(client: Client) -> None:
        task = asyncio.ensure_future(client.session_clusters_page("w"))
        await clock.began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    Bench(service, clock=clock).ask(cancel)

    assert len(service.asked) == 1


def test_every_attempt_is_metered() -> None:
    """Each attempt counts, as does each failure by its reason and each repetition."""
    bench = Bench(Service([bad(400, "Throttling"), good([])]))

    with pytest.raises(MalformedError, match="ListSessionClusters: The answer has no list"):
        bench.ask(list_clusters)

    assert bench.notes.lines == [
        "attempted ListSessionClusters",
        "failed ListSessionClusters throttled",
        "took ListSessionClusters",
        "retried ListSessionClusters",
        "attempted ListSessionClusters",
        "failed ListSessionClusters malformed",
        "took ListSessionClusters",
    ]


def test_a_broken_encoding_is_a_malformed_answer() -> None:
    """A body that is not compressed as it says is malformed."""

    async def answer(_request: httpx.Request) -> httpx.Response:
        stream = httpx.ByteStream(b"not gzip")
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=stream)

    with pytest.raises(MalformedError, match="content encoding"):
        Bench(answer).ask(list_clusters)


def test_an_unreachable_service_says_where_to_look() -> None:
    """An error of the network carries its own text, and names the settings that matter."""
    error = fail(Service([httpx.ConnectError("[Errno 111] Connection refused")]), UnreachableError)

    assert "Connection refused" in str(error)
    assert "HTTPS_PROXY" in error.advice
