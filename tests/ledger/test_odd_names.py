"""Names of queues, users and sessions in which a database could stumble."""

from pathlib import Path

import pytest

from exporter.demo import SimulatedCluster, SimulatedGateway
from tests.support.harness import Harness
from tests.support.ledger_stores import both_stores, for_harness
from tests.support.pages import Page
from tests.support.worlds import WORKSPACE, empty_world, key, session, used

pytestmark = [pytest.mark.anyio, both_stores]

ODD = {
    "nul\x00": "nul\\x00",
    "half \ud83d": "half \ufffd",
    "\ud83d\ude00 whole": "\U0001f600 whole",
    "队": "队",
    'quoted "\\': 'quoted "\\',
    "it's; DROP": "it's; DROP",
    "%s {} ? main.session": "%s {} ? main.session",
    "line\n\ttab": "line\n\ttab",
    "e\u0301": "e\u0301",
    "\u00e9": "\u00e9",
}
"""The names that the API lists, and those on the page."""


def queues(page: Page) -> dict[str, float]:
    """Return the CU-hours on the page by queue."""
    found = page.values("livy_cu_hours_total", "queue", workspace_id=WORKSPACE)
    return {queue: value for (queue,), value in found.items()}


async def test_odd_names_are_counted_as_they_are_on_the_page(tmp_path: Path) -> None:
    """From the answer of the API to the page, and again after a restart."""
    world = empty_world()
    for number, name in enumerate(ODD, 1):
        world.put_session(session(f"livy {name}", number, queue=name, proxy_user=name))
        world.put_cluster(SimulatedCluster(WORKSPACE, f"sc {name}", queue=name))
    async with Harness(world, ledger=for_harness(tmp_path / "ledger.db"), sessions={}) as harness:
        await harness.poll()
        expected = {name: float(number) for number, name in enumerate(ODD.values(), 1)}
        assert queues(harness.peek()) == expected
        await harness.restart()
        for name in ODD:
            world.revise(key(f"livy {name}"), used(100))
        await harness.poll()
        assert queues(harness.peek()) == dict.fromkeys(ODD.values(), 100.0)
        assert harness.peek().value("exporter_target_up", source="session_clusters") == 1


async def test_odd_ids_of_gateways_are_counted_as_they_are_on_the_page(tmp_path: Path) -> None:
    """Discovered, and after a restart known."""
    world = empty_world()
    names = [name for name in ODD if name.isprintable()]
    for name in names:
        world.put_gateway(SimulatedGateway(WORKSPACE, name))
    targets = [{"region_id": "cn-hangzhou", "workspace_id": WORKSPACE}]
    async with Harness(
        world, ledger=for_harness(tmp_path / "ledger.db"), targets=targets
    ) as harness:
        for _ in range(2):
            await harness.discover_and_poll()
            found = harness.peek().values(
                "exporter_target_up", "livy_compute_id", source="livy_sessions"
            )
            assert found == {(name,): 1.0 for name in ("lc-1", *names)}
            await harness.restart()
