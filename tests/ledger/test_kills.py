"""The real process, killed at random instants while life goes on in the simulated cloud."""

import asyncio
from pathlib import Path

import pytest

from exporter.demo import Cloud, HistoryOrder, Table
from tests.support.killed_exporter import Life, Scene, scene, true_totals
from tests.support.pages import Page

pytestmark = [pytest.mark.anyio, pytest.mark.process]


def page_totals(page: Page | None, cloud: Cloud) -> dict[str, dict[tuple[str, ...], float]]:
    """Give what the page says of the same."""
    assert page is not None
    gateway = ("workspace_id", "livy_compute_id")
    return {
        name: page.values(name, *gateway, "proxy_user" if "proxy_user" in name else "queue")
        for name in true_totals(cloud)
    }


async def assert_the_truth(made: Scene, life: Life) -> None:
    """Live once more, read all there is, and see that the page says exactly that."""
    async with made.life() as process:
        await made.polls_all(process)
        life.goes_on, made.cloud.before_page = False, None
        await made.polls_all(process)
        await made.until(lambda: _is_released(made.reader.page), process)
        assert page_totals(made.reader.page, made.cloud) == true_totals(made.cloud)
    assert made.reader.falls == []


def _is_released(page: Page | None) -> bool:
    return page is not None and page.value("exporter_ledger_held_series") == 0


async def test_ten_kills_lose_nothing(tmp_path: Path) -> None:
    """After ten kills at random instants every total is exact, and none was ever lower."""
    async with scene(tmp_path, HistoryOrder.NEWEST_FIRST, seed=1) as (made, life):
        for _ in range(10):
            await made.live_and_die()
        await assert_the_truth(made, life)
        assert made.reader.pages > 20


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("order", list(HistoryOrder))
async def test_many_kills_lose_nothing_whatever_happens(
    tmp_path: Path, order: HistoryOrder
) -> None:
    """The same with downtime, trimmed and falsely empty history, unseen lives and page drift."""
    async with scene(tmp_path, order, seed=2) as (made, life):
        made.cloud.before_page = lambda _: made.drift()
        for number in range(67):
            await made.live_and_die()
            if number % 5 == 1:
                made.bear()
                await asyncio.sleep(made.chance.uniform(0, 2))
            if number % 7 == 2:
                await _be_false_for_a_while(made)
            made.trim()
        await assert_the_truth(made, life)


async def _be_false_for_a_while(made: Scene) -> None:
    """List nothing, or little, with success, while the exporter polls; and then all again."""
    async with made.life() as process:
        await made.polls_all(process)
        made.cloud.world.hide(Table.SESSIONS, keep=made.chance.choice((0, 0, 7)))
        await asyncio.sleep(made.chance.uniform(0, 1.5))
        made.cloud.world.show(Table.SESSIONS)
        await made.polls_all(process)
