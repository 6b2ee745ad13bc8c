"""How often a poll waits for the network where the ledger is in PostgreSQL."""

from collections.abc import Iterator

import pytest

from exporter.demo import World
from exporter.ledger import Postgres
from tests.support import postgres
from tests.support.harness import Harness
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.worlds import empty_world, key, session, used

pytestmark = [pytest.mark.anyio, pytest.mark.real]

SESSIONS = 1_500


@pytest.fixture
def world() -> World:
    """Make a world with a long history, of which the newest sessions run."""
    world = empty_world()
    for age in range(SESSIONS):
        state = "running" if age < 5 else "terminated"
        world.put_session(session(f"livy-{age}", 1.0, age=age * 60, state=state))
    return world


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    """Count what goes to the shared server."""
    with tcp_proxy(postgres.shared().port) as proxy:
        yield proxy


async def test_a_short_poll_waits_for_few_answers(world: World, proxy: TcpProxy) -> None:
    """At most 8 where sessions have grown, ended and begun, and 4 where nothing has changed."""
    database = postgres.shared().schema()
    location = Postgres(database.at(proxy.port).url, database.schema, 3_600.0)
    async with Harness(world, ledger=location, lease={"duration": 3_600}) as harness:

        async def round_trips() -> int:
            before = proxy.round_trips
            await harness.poll("livy_sessions")
            assert harness.peek().value("exporter_target_up", source="livy_sessions") == 1
            return proxy.round_trips - before

        await round_trips()
        idle = [await round_trips() for _ in range(3)]
        world.revise(key("livy-0", age=0), used(2.0))
        world.change_session(key("livy-1"), state="terminated")
        world.put_session(session("livy-new", 0.5, age=-1))
        changed = await round_trips()
    assert max(idle) <= 4
    assert changed <= 8
