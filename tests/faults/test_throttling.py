"""A service that allows so many requests a second: the exporter keeps below, and to the truth."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from exporter.api import Client, RateLimiter
from exporter.demo import SimulatedGateway, SimulatedSession, SimulatedWorkspace, World, faults
from tests.support.api_clients import client_of
from tests.support.harness import START
from tests.support.simulation import LiveHarness, simulated

TARGETS = 10


def limited_client(
    h: LiveHarness, *, max_requests_per_second: float
) -> tuple[Client, Callable[[], float]]:
    """Make a client of its own with a budget of its own, and give what tells its rate."""
    limiter = RateLimiter(h.clock, max_requests_per_second)
    client = client_of(h.http, "http://127.0.0.1", h.clock, limiter=limiter)
    return client, lambda: limiter.rate


def fleet(pages: int = 3) -> World:
    """Make ten workspaces, each with a gateway that has so many pages of history."""
    world = World()
    for number in range(TARGETS):
        workspace_id, compute_id = f"w-{number}", f"lc-{number}"
        world.put_workspace(SimulatedWorkspace(workspace_id))
        world.put_gateway(SimulatedGateway(workspace_id, compute_id))
        for row in range(100 * pages - 50):
            created = int(START - row * 60) * 1000
            row_id = f"livy-{row}"
            world.put_session(
                SimulatedSession(workspace_id, compute_id, row_id, created, state="terminated")
            )
    return world


@pytest.mark.parametrize("allowed", [1, 3, 9])
def test_the_exporter_settles_below_what_the_service_allows(allowed: int) -> None:
    """Though far more is wanted: few calls are refused, none fails, and no target starves."""

    async def main() -> None:
        async with LiveHarness(fleet()) as h:
            h.cloud.rate_limit.per_second = allowed
            client, rate = limited_client(h, max_requests_per_second=12)
            end = 1500 / allowed
            pages: Counter[int] = Counter()
            rates = []

            async def target(number: int) -> None:
                while h.clock.monotonic() < end:
                    await client.session_clusters_page(f"w-{number}")
                    pages[number] += 1
                    rates.append(rate())

            await asyncio.gather(*map(target, range(TARGETS)))
            sent = sum(h.cloud.counters.values())
            settled = rates[len(rates) // 5 :]
            assert h.cloud.rate_limit.refused / sent < 0.05
            assert sum(settled) / len(settled) < allowed
            assert sum(pages.values()) > 0.4 * allowed * end
            assert min(pages.values()) > 0.7 * max(pages.values())

    with simulated() as runner:
        runner.run(main())


def test_polls_continue_under_a_low_rate_limit() -> None:
    """Polls take longer then, but none fails, each target is polled, and the page says the rate."""

    async def main() -> None:
        async with LiveHarness(fleet()) as h:
            h.cloud.rate_limit.per_second = 2
            await h.live(180, interval=4)
            page = h.peek()
        polls = [len(durations) for durations in h.durations.values()]
        assert min(polls) > 1
        assert set(page.values("exporter_target_up").values()) == {1.0}
        assert sum(page.values("exporter_poll_failures_total").values()) == 0
        assert page.value("exporter_api_request_rate_limit") < 3

    with simulated() as runner:
        runner.run(main())


def test_where_more_is_allowed_than_set_nothing_is_refused() -> None:
    """The rate that is set is kept in every second, so a service that allows it never refuses."""

    async def main() -> None:
        async with LiveHarness(fleet()) as h:
            h.cloud.rate_limit.per_second = 10
            client, rate = limited_client(h, max_requests_per_second=9.9)

            async def target(number: int) -> None:
                while h.clock.monotonic() < 60:
                    await client.session_clusters_page(f"w-{number}")

            await asyncio.gather(*map(target, range(TARGETS)))
            assert h.cloud.rate_limit.refused == 0
            assert rate() == 9.9
            assert sum(h.cloud.counters.values()) == pytest.approx(594, rel=0.05)

    with simulated() as runner:
        runner.run(main())


def test_the_rate_recovers() -> None:
    """A while after the service has refused a lot, everything is as it was."""

    async def main() -> None:
        async with LiveHarness(fleet(pages=1)) as h:
            fault = h.cloud.faults.add(faults.THROTTLED, probability=0.5)
            await h.live(90, interval=30)
            throttled = h.peek()
            h.cloud.faults.remove(fault)
            await h.live(900, interval=300)
            recovered = h.peek()
        assert throttled.value("exporter_api_request_rate_limit") < 2
        assert recovered.value("exporter_api_request_rate_limit") == 10
        assert set(recovered.values("exporter_target_up").values()) == {1.0}

    with simulated() as runner:
        runner.run(main())


def test_a_service_that_refuses_everything_is_a_matter_of_throttling() -> None:
    """At the lowest rate the wait for a turn is long: the page says `throttled`, not `timeout`."""

    async def main() -> None:
        async with LiveHarness(fleet(pages=1), poll={"timeout": "20s"}) as h:
            h.cloud.faults.add(faults.THROTTLED)
            await h.live(300, interval=60)
            page = h.peek()
        reasons = page.values("exporter_target_error_info", "reason", "source", "workspace_id")
        assert {reason for reason, _, _ in reasons} == {"throttled"}
        assert len(reasons) == 2 * TARGETS
        failures = page.values("exporter_poll_failures_total", "reason", "source")
        assert {reason for (reason, _), count in failures.items() if count} == {"throttled"}
        assert page.value("exporter_api_request_rate_limit") == pytest.approx(0.5, abs=0.3)

    with simulated() as runner:
        runner.run(main())


def test_a_long_scan_delays_no_other_target() -> None:
    """While one gateway's long history is read, the others' polls take what they always take."""

    async def main() -> None:
        world = fleet(pages=1)
        for row in range(5_000):
            created = int(START - row * 60) * 1000
            row_id = f"old-{row}"
            world.put_session(SimulatedSession("w-0", "lc-0", row_id, created, state="terminated"))
        async with LiveHarness(world) as h:
            await h.live(21, interval=7)
            for target, durations in h.durations.items():
                if target.livy_compute_id == "lc-0":
                    assert 46 / 5 < durations[0] < 2 * 46 / 5  # half of the budget at most
                else:
                    # All ask at the same moment, and wait for each other and one of the scan.
                    assert max(durations) < 2 * TARGETS / 10 * 2

    with simulated() as runner:
        runner.run(main())
