import asyncio
import time

import httpx
import pytest

import exporter.demo
from exporter.demo import DEMO_KEY_SECRET, SENTINELS, faults, serve, start_demo
from exporter.demo.faults import Cut, Effect, Flood, Hang
from tests.support.cloud_client import (
    SESSIONS,
    small_cloud,
    unsigned,
    with_signature,
)


@pytest.mark.anyio
async def test_the_demo_moves_with_its_clock_and_keeps_its_secret_out_of_its_repr() -> None:
    """Each request finds the world as it is by then."""
    now = time.time()
    moments = iter([now, *[now + 30] * 100])
    async with start_demo(clock=lambda: next(moments)) as demo:
        before = demo.cloud.truth()
        await asyncio.to_thread(
            lambda: httpx.get(demo.endpoint + "/api/v1/workspaces", trust_env=False)
        )
        assert demo.cloud.truth() != before
        assert DEMO_KEY_SECRET not in repr(demo)
        assert DEMO_KEY_SECRET in SENTINELS
        assert [name for name, _ in demo.workspaces] == [
            row.workspace_id for row in demo.cloud.world.workspaces()
        ]


async def exchange(url: str) -> httpx.Response:
    """Send one signed request over HTTP."""
    request = unsigned(SESSIONS, host=url.removeprefix("http://"))
    headers = dict(with_signature(request).headers)
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"{url}{request.path}?{request.query}", headers=headers)


@pytest.mark.anyio
async def test_a_cut_body_is_a_broken_connection_at_the_client() -> None:
    """On a real socket."""
    cloud = small_cloud(sessions=30)
    cloud.faults.add(Cut())
    async with serve(cloud.app) as url:
        with pytest.raises(httpx.RemoteProtocolError):
            await exchange(url)


@pytest.mark.anyio
async def test_only_the_services_clock_dates_an_answer() -> None:
    """The server under it adds neither a date nor a name."""
    cloud = small_cloud()
    async with serve(cloud.app) as url:
        headers = (await exchange(url)).headers
    assert headers.get_list("date") == ["Thu, 28 May 2026 20:26:40 GMT"]
    assert "server" not in headers


@pytest.mark.anyio
@pytest.mark.parametrize("effect", [Hang(), Flood(10**15), faults.Delay(3600)])
async def test_a_server_stops_at_once_whatever_it_is_doing(effect: Effect) -> None:
    """Requests that would never end are cut off."""
    cloud = small_cloud()
    loop = asyncio.get_running_loop()
    fault = cloud.faults.add(effect)
    async with serve(cloud.app) as url:
        task = asyncio.create_task(exchange(url))
        while not cloud.faults.struck(fault):  # noqa: ASYNC110  a fault sets no event
            await asyncio.sleep(0)
        begun = loop.time()
    assert loop.time() - begun < 4
    with pytest.raises(httpx.HTTPError):
        await task


@pytest.mark.anyio
async def test_servers_can_run_side_by_side() -> None:
    """Each on its own free port."""
    async with serve(small_cloud().app) as one, serve(small_cloud().app) as two:
        assert one != two
        assert (await exchange(one)).status_code == (await exchange(two)).status_code == 200


def test_the_public_names_are_those_that_are_listed() -> None:
    """Every exported name is there."""
    assert [n for n in exporter.demo.__all__ if not hasattr(exporter.demo, n)] == []
