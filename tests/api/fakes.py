"""A clock that only counts, a meter that only notes, and a service that is a list of answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from exporter.api.client import Client
from exporter.api.credentials import CredentialSource, StaticCredentials
from exporter.api.rate_limiter import RateLimiter
from exporter.api.signing import Credential
from exporter.errors import Reason

T = TypeVar("T")

SECRET = "sentinel-secret"
CREDENTIAL = Credential("LTAIsentinelkey", SECRET, "sentinel-token")
EMPTY: dict[str, object] = {"sessionClusters": []}


@dataclass
class FakeClock:
    """Time that passes only where somebody sleeps."""

    wall: float = 1_700_000_000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        """Return the wall-clock time that was set."""
        return self.wall

    def boottime(self) -> float:
        """Return the same: this machine never sleeps."""
        return self.monotonic()

    def monotonic(self) -> float:
        """Return the sum of what was slept."""
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        """Note the wait, and do not wait."""
        self.slept.append(seconds)


@dataclass
class Notes:
    """A meter that writes down what it is told."""

    lines: list[str] = field(default_factory=list)

    def attempted(self, action: str) -> None:
        """Note an attempt."""
        self.lines.append(f"attempted {action}")

    def failed(self, action: str, reason: Reason) -> None:
        """Note a failure."""
        self.lines.append(f"failed {action} {reason}")

    def retried(self, action: str) -> None:
        """Note a repetition."""
        self.lines.append(f"retried {action}")

    def took(self, action: str, seconds: float) -> None:
        """Note a duration, but not its length."""
        assert seconds >= 0
        self.lines.append(f"took {action}")


Reply = httpx.Response | Exception


@dataclass
class Service:
    """Gives prepared answers in turn, the last one for ever, and keeps what it was asked."""

    replies: list[Reply]
    asked: list[httpx.Request] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.asked.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)


def good(body: object = EMPTY) -> httpx.Response:
    """Make a success."""
    return httpx.Response(200, json=body)


def bad(status: int, code: str | None, message: str = "", **headers: str) -> httpx.Response:
    """Make an error of the service; headers by name, with `_` for `-`."""
    body = {"RequestId": "R-1", "Code": code, "Message": message}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=json.dumps(body), headers=named)


@dataclass
class Bench:
    """A client with everything around it in reach."""

    service: Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]
    clock: FakeClock = field(default_factory=FakeClock)
    notes: Notes = field(default_factory=Notes)
    credentials: CredentialSource = field(default_factory=lambda: StaticCredentials(CREDENTIAL))
    endpoint: str = "https://spark.example"
    max_attempts: int = 4
    timeout: float = 10.0
    total_timeout: float = 60.0
    max_response_bytes: int = 2**20

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Provide the client while its connections are open."""
        transport = httpx.MockTransport(self.service)
        async with httpx.AsyncClient(transport=transport, follow_redirects=True) as http:
            yield Client(
                http,
                region_id="cn-hangzhou",
                endpoint=self.endpoint,
                credentials=self.credentials,
                limiter=RateLimiter(self.clock, 1e9),
                meter=self.notes,
                clock=self.clock,
                max_attempts=self.max_attempts,
                timeout=self.timeout,
                total_timeout=self.total_timeout,
                max_response_bytes=self.max_response_bytes,
            )

    def ask(self, call: Callable[[Client], Awaitable[T]]) -> T:
        """Make one call on an event loop of its own."""

        async def run() -> T:
            async with self.client() as client:
                return await call(client)

        return asyncio.run(run())
