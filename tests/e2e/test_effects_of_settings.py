"""Settings that are handed on: each has its effect at the wire or on the page."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from exporter.api import Credential, StaticCredentials
from exporter.app.build import build
from exporter.demo.faults import FORBIDDEN, NONCE_USED, UNAVAILABLE, Hang
from exporter.settings import Settings
from tests.support.harness import NO_TLS, Harness, ManualClock
from tests.support.worlds import START_MS, empty_world, key, session

pytestmark = pytest.mark.anyio

STEP = 10.0
GATEWAYS = {"livy_compute_ids": ["lc-1"]}


async def seconds_until(
    h: Harness, is_reached: Callable[[], bool], act: Callable[[], Awaitable[None]]
) -> float:
    """Let time pass in steps, doing `act` after each; return how long it took."""
    start = h.clock.monotonic()
    while not is_reached():
        h.clock.advance(STEP - (h.clock.monotonic() - start) % STEP)
        await act()
    return round(h.clock.monotonic() - start, -1)


async def attempts(h: Harness) -> object:
    """Return how often a request that fails is sent."""
    h.cloud.faults.add(UNAVAILABLE)
    await h.poll("session_clusters")
    return len(h.cloud.calls)


async def attempts_with_a_used_nonce(h: Harness) -> object:
    """Return how often a request is sent whose nonce is refused the first time."""
    h.cloud.faults.add(NONCE_USED, times=1)
    await h.poll("session_clusters")
    assert h.peek().value("exporter_target_up", source="session_clusters") == 1
    return len(h.cloud.calls)


async def hanging_poll(h: Harness) -> object:
    """Return after how many seconds without an answer a poll has failed, by the status page."""
    h.cloud.faults.add(Hang())
    await h.poll("session_clusters")
    status = (await h.get("/api/v1/status")).text
    return re.findall(r"(?:nothing arrived for|no complete answer within) (\S+) s", status)[:1]


async def request_rate(h: Harness) -> object:
    """Return the rate limit that the page shows."""
    await h.poll()
    return h.peek().value("exporter_api_request_rate_limit")


async def staleness(h: Harness) -> object:
    """Return how long gauges stay after the last good poll."""
    await h.poll()
    h.cloud.faults.add(FORBIDDEN)
    return await seconds_until(h, lambda: not h.peek().has("livy_sessions"), h.tick)


async def retention(h: Harness) -> object:
    """Return how long a session has series after its end was seen."""
    await h.poll()
    h.world.change_session(key("livy-1", age=1), state="terminated", end_time_ms=START_MS)
    await h.poll()
    series = "livy_session_state"
    return await seconds_until(h, lambda: not h.peek().has(series, session_id="livy-1"), h.poll)


async def settling(h: Harness) -> object:
    """Return how long a session in an unknown state with an end time counts as open."""
    await h.poll()
    h.world.change_session(key("livy-1", age=1), state="dead", end_time_ms=START_MS)
    ended = "livy_sessions_ended_total"
    return await seconds_until(h, lambda: h.peek().value(ended, state="unknown") == 1, h.poll)


async def full_scans(h: Harness) -> object:
    """Return how long polls read a part of a history only."""
    for number in range(2, 450):
        h.world.put_session(session(f"livy-{number}", age=90_000 + number, state="terminated"))
    await h.poll("livy_sessions")
    full = len(h.cloud.calls)

    async def poll() -> None:
        h.cloud.calls.clear()
        await h.poll("livy_sessions")

    await poll()
    return await seconds_until(h, lambda: len(h.cloud.calls) >= full, poll)


async def forgetting(h: Harness) -> object:
    """Return how long the ledger remembers a session that is not listed."""
    await h.poll()
    h.world.remove_session(key("livy-1", age=1))
    await h.poll()
    return await seconds_until(h, lambda: h.peek().value("exporter_ledger_sessions") == 1, h.poll)


async def proxy_users(h: Harness) -> object:
    """Return the proxy users that have counters."""
    await h.poll()
    return sorted(
        user for (user,) in h.peek().values("livy_proxy_user_cu_hours_total", "proxy_user")
    )


@pytest.mark.parametrize(
    ("settings", "observe", "expected"),
    [
        ({"api": {"max_attempts": 1}}, attempts, 1),
        ({"api": {"max_attempts": 3}}, attempts, 3),
        # A second attempt would not have its 10 s within poll.timeout.
        ({"poll": {"timeout": 10}}, attempts, 1),
        ({"poll": {"timeout": 10}}, attempts_with_a_used_nonce, 2),
        ({"poll": {"timeout": 5}}, attempts_with_a_used_nonce, 2),
        ({"poll": {"timeout": 1}}, hanging_poll, ["1"]),
        ({"api": {"timeout": 0.3, "max_attempts": 1}}, hanging_poll, ["0.3"]),
        ({"api": {"max_requests_per_second": 700}}, request_rate, 700),
        ({"poll": {"stale_after": 150}}, staleness, 150),
        ({"poll": {"stale_after": 150, "interval": 100}}, staleness, 300),
        ({"sessions": {"ended_retention": 50}}, retention, 50),
        ({"livy": {"settle_after": 50}}, settling, 50),
        ({"livy": {"full_walk_interval": 80}}, full_scans, 80),
        ({"forget_after": 195}, forgetting, 200),
        ({"usage": {"max_proxy_users": 1}}, proxy_users, ["_other", "ann"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
async def test_a_setting_has_its_effect(
    settings: dict[str, Any],
    observe: Callable[[Harness], Awaitable[object]],
    expected: object,
) -> None:
    """None of these values is the default."""
    world = empty_world()
    world.put_session(session("livy-0", 1, age=2, proxy_user="ann"))
    world.put_session(session("livy-1", 1, age=1, proxy_user="bob"))
    async with Harness(world, **settings) as h:
        assert await observe(h) == expected


@pytest.mark.parametrize(
    ("api", "hosts"),
    [
        ({}, "emr-serverless-spark.{region}.aliyuncs.com"),
        ({"network": "vpc"}, "emr-serverless-spark-vpc.{region}.aliyuncs.com"),
        ({"endpoint": "https://{region}.spark.example"}, "{region}.spark.example"),
        ({"endpoint": "https://spark.example", "network": "vpc"}, "spark.example"),
    ],
)
async def test_requests_go_to_the_endpoint_of_their_region_with_their_role(
    api: dict[str, Any], hosts: str
) -> None:
    """An endpoint that is given takes the place of the network's."""
    roles = {"cn-hangzhou": "acs:ram::1:role/a", "cn-beijing": "acs:ram::2:role/b"}
    asked = set()

    def answer(request: httpx.Request) -> httpx.Response:
        key_id = request.headers["authorization"].partition("Credential=")[2].partition(",")[0]
        asked.add((request.url.host, request.url.params["regionId"], key_id))
        return httpx.Response(403)

    targets = [
        {"region_id": region, "role_arn": role, "workspace_id": f"w-{region}", **GATEWAYS}
        for region, role in roles.items()
    ]
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), verify=NO_TLS) as http:
        exporter = build(
            Settings(targets=targets, api=api),
            clock=ManualClock(),
            http=http,
            ledger_location=None,
            birth_hold=0,
            credentials=lambda role: StaticCredentials(Credential(f"of-{role[-1]}", "secret")),
        )
        for job in exporter.targets.jobs.values():
            await exporter.polling.poll(job.source, job.requests)
        exporter.ledger.close()
    assert asked == {
        (hosts.format(region=region), region, f"of-{role[-1]}") for region, role in roles.items()
    }
