"""A client for one request: signs by hand, so that a test can spoil any part of it."""

import asyncio
import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from starlette.types import Message, Scope

from exporter.demo import (
    Behaviour,
    Cloud,
    SimulatedCluster,
    SimulatedGateway,
    SimulatedSession,
    SimulatedUsage,
    SimulatedWorkspace,
    World,
)
from exporter.demo.signature import ALGORITHM, Request, canonical_request, sign

NOW = 1_780_000_000.0
KEY_ID, SECRET = "LTAItest", "test-secret"
CLUSTERS = "/api/v1/workspaces/w-1/sessionClusters"
SESSIONS = "/api/v1/workspaces/w-1/livycompute/lc-1/session"
GATEWAYS = "/api/interactive/v1/workspace/w-1/livycompute"
WORKSPACES = "/api/v1/workspaces"
ACTIONS = {
    CLUSTERS: "ListSessionClusters",
    SESSIONS: "ListLivyComputeSessions",
    GATEWAYS: "ListLivyCompute",
    WORKSPACES: "ListWorkspaces",
}
REGION = "regionId=cn-hangzhou"

_NONCES = count()


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return self.now


@dataclass(frozen=True)
class Reply:
    """What came back; `is_whole` tells whether the body was ended properly."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool

    def json(self) -> Any:  # noqa: ANN401  JSON
        """Read the body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The service's error code."""
        code: str | None = self.json()["Code"]
        return code


def small_world(sessions: int = 0, clusters: int = 0) -> World:
    """Build one workspace with one gateway; session number n has used n of everything."""
    world = World()
    world.put_workspace(SimulatedWorkspace("w-1"))
    world.put_gateway(SimulatedGateway("w-1", "lc-1"))
    for n in range(sessions):
        world.put_session(
            SimulatedSession("w-1", "lc-1", f"livy-{n}", n, usage=SimulatedUsage(n, n, n))
        )
    for n in range(clusters):
        world.put_cluster(SimulatedCluster("w-1", f"sc-{n:04}", create_time_ms=n))
    return world


def small_cloud(
    sessions: int = 0,
    clusters: int = 0,
    behaviour: Behaviour | None = None,
    **kwargs: Any,  # noqa: ANN401  those of Cloud
) -> Cloud:
    """Build a cloud for the small world, with a clock that stands still."""
    kwargs.setdefault("clock", Clock())
    kwargs.setdefault("access_keys", {KEY_ID: SECRET})
    world = small_world(sessions, clusters)
    return Cloud(world, behaviour=behaviour or Behaviour(), **kwargs)


def unsigned(path: str, query: str = REGION, **headers: str) -> Request:
    """Write a request without its signature; `x_acs_date=...` overrides a header."""
    fields = {
        "host": "127.0.0.1",
        "x-acs-action": ACTIONS.get(path, "ListSessionClusters"),
        "x-acs-version": "2023-08-08",
        "x-acs-date": datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": f"nonce-{next(_NONCES)}",
        "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
    }
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    return Request("GET", path, query, fields)


def with_signature(
    request: Request, *, key_id: str = KEY_ID, secret: str = SECRET, leave: str = ""
) -> Request:
    """Sign every header there is, but the one to leave."""
    names = tuple(sorted(name for name in request.headers if name != leave))
    signature = sign(canonical_request(request, names), secret)
    text = f"{ALGORITHM} Credential={key_id},SignedHeaders={';'.join(names)},Signature={signature}"
    return replace(request, headers={**request.headers, "authorization": text})


def ask(cloud: Cloud, request: Request) -> Reply:
    """Send a request to the application, byte for byte."""
    return asyncio.run(ask_async(cloud, request))


async def ask_async(cloud: Cloud, request: Request) -> Reply:
    """Send a request to the application, byte for byte, from within an event loop."""
    messages: list[Message] = []
    waiting: list[Message] = [{"type": "http.request", "body": request.body}]

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop()

    async def send(message: Message) -> None:
        messages.append(message)

    await cloud.app(_scope(request), receive, send)
    start, *chunks = messages
    return Reply(
        status=start["status"],
        headers={name.decode(): value.decode() for name, value in start["headers"]},
        body=b"".join(chunk["body"] for chunk in chunks),
        is_whole=not chunks[-1].get("more_body", False),
    )


def _scope(request: Request) -> Scope:
    return {
        "type": "http",
        "method": request.method,
        "path": "decoded-and-never-used",
        "raw_path": request.path.encode(),
        "query_string": request.query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in request.headers.items()],
    }


def get(cloud: Cloud, path: str, query: str = REGION, **headers: str) -> Reply:
    """Send a good request."""
    return ask(cloud, with_signature(unsigned(path, query, **headers)))
