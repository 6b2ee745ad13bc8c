"""The exporter process is killed (SIGKILL) at random while sessions of the cloud go on."""

import asyncio
from pathlib import Path

import pytest

from exporter.demo import Cloud, HistoryOrder, TableName
from tests.support.killed_exporter import Life, Scene, scene, true_totals
from tests.support.pages import Page

pytestmark = [pytest.mark.anyio, pytest.mark.process]


def page_totals(page: Page | None, cloud: Cloud) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the totals on the page, as `true_totals` returns those of the cloud."""
    assert page is not None
    gateway = ("workspace_id", "livy_compute_id")
    return {
        name: page.values(name, *gateway, "proxy_user" if "proxy_user" in name else "queue")
        for name in true_totals(cloud)
    }


async def assert_the_truth(made: Scene, life: Life) -> None:
    """Start once more, poll everything, and compare the page with the cloud."""
    async with made.life() as process:
        await made.polls_all(process)
        life.goes_on, made.cloud.before_page = False, None
        await made.polls_all(process)
        await made.until(lambda: _is_released(made.reader.page), process)
        assert page_totals(made.reader.page, made.cloud) == true_totals(made.cloud)
    assert made.reader.falls == []


def _is_released(page: Page | None) -> bool:
    return page is not None and page.value("exporter_ledger_held_series") == 0


async def test_totals_are_exact_after_ten_kills(tmp_path: Path) -> None:
    """No counter was ever lower than on an earlier page."""
    async with scene(tmp_path, HistoryOrder.NEWEST_FIRST, seed=1) as (made, life):
        for _ in range(10):
            await made.live_and_die()
        await assert_the_truth(made, life)
        assert made.reader.pages > 20


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("order", list(HistoryOrder))
async def test_totals_are_exact_after_many_kills_with_wrong_listings_between(
    tmp_path: Path, order: HistoryOrder
) -> None:
    """With downtime, trimmed and wrongly empty histories, sessions never listed, page drift."""
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
    """List few sessions or none, with HTTP 200, while the exporter polls; then all again."""
    async with made.life() as process:
        await made.polls_all(process)
        made.cloud.world.hide(TableName.SESSIONS, keep=made.chance.choice((0, 0, 7)))
        await asyncio.sleep(made.chance.uniform(0, 1.5))
        made.cloud.world.show(TableName.SESSIONS)
        await made.polls_all(process)
