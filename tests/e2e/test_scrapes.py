"""Scrapes, as the ledger sees them through the web server: what releases held increases."""

import asyncio
import socket

import pytest

from exporter.demo import SimulatedSession, World
from exporter.web import Server, bind
from tests.support.harness import PROMETHEUS, Harness
from tests.support.worlds import empty_world, key, session, used

pytestmark = pytest.mark.anyio

HOLD = 90.0


def one_session() -> World:
    """Make a world with one running session."""
    world = empty_world()
    world.put_session(session("livy-a", 1.0))
    return world


async def cu_hours_after(h: Harness, seconds: float) -> float:
    """Let time pass, and give the total that the page shows then."""
    await h.tick(seconds)
    return h.peek().value("livy_cu_hours_total")


async def test_an_increase_shows_after_the_hold() -> None:
    """A new series keeps its starting value until the hold since its first scrape is over."""
    async with Harness(one_session(), birth_hold=HOLD) as h:
        await h.poll()
        await h.page()
        h.world.revise(key("livy-a"), used(3))
        await h.poll()
        assert await cu_hours_after(h, HOLD - 1) == 1
        assert await cu_hours_after(h, 1) == 3


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/metrics"),
        ("GET", "/"),
        ("GET", "/-/ready"),
        ("GET", "/metrics?name[]=emr_serverless_spark_livy_cu_hours_total"),
    ],
)
async def test_what_shows_no_sample_starts_no_hold(method: str, path: str) -> None:
    """Neither a `HEAD` nor another page is a scrape."""
    async with Harness(one_session(), birth_hold=HOLD) as h:
        await h.poll()
        await h.get(path, PROMETHEUS, method=method)
        h.world.revise(key("livy-a"), used(3))
        await h.poll()
        assert await cu_hours_after(h, 10 * HOLD) == 1


async def test_other_readers_do_not_count_beside_prometheus() -> None:
    """Once Prometheus was seen, a browser does not start the hold of a series."""
    async with Harness(one_session(), birth_hold=HOLD) as h:
        await h.page()
        await h.poll()
        await h.get("/metrics")
        h.world.revise(key("livy-a"), used(3))
        await h.poll()
        assert await cu_hours_after(h, 10 * HOLD) == 1


async def test_any_reader_counts_where_prometheus_was_never_seen() -> None:
    """Where something else scrapes, its scrapes are the ones that matter."""
    async with Harness(one_session(), birth_hold=HOLD) as h:
        await h.poll()
        await h.get("/metrics")
        h.world.revise(key("livy-a"), used(3))
        await h.poll()
        assert await cu_hours_after(h, HOLD) == 3


async def test_a_scrape_that_is_cut_off_starts_no_hold() -> None:
    """A scraper that hangs up before it has the page has not seen the series."""
    world = one_session()
    for number in range(200):
        world.put_session(SimulatedSession("w-1", "lc-1", f"livy-{number}", number + 1))
    async with Harness(world, birth_hold=HOLD) as h:
        await h.poll()
        with bind("127.0.0.1", 0) as listener:
            # So that the page is larger than what fits on the way.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            async with Server(h.site).serving(listener):
                await asyncio.to_thread(hang_up, listener.getsockname())
        h.world.revise(key("livy-a"), used(3))
        await h.poll()
        await h.tick(10 * HOLD)
        assert sum(h.peek().values("livy_cu_hours_total").values()) == 1


def hang_up(address: tuple[str, int]) -> None:
    """Ask for the page, read a little of it, and go."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address)
        header = next(iter(PROMETHEUS.items()))
        connection.sendall(
            f"GET /metrics HTTP/1.1\r\nHost: x\r\n{header[0]}: {header[1]}\r\n\r\n".encode()
        )
        connection.recv(1000)
