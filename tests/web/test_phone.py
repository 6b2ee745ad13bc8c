"""The first screen of a phone. PICTURES=folder saves a screenshot of each state."""

import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.demo import serve
from tests.support.harness import Harness
from tests.support.worlds import empty_world, key, session
from tests.web import on_call
from tests.web.browser import visit
from tests.web.status_pages import app_of, view_of

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(180)]

WIDTH, HEIGHT = 390, 844


def states(folder: Path) -> dict[str, AbstractAsyncContextManager[Harness]]:
    """Return the states of an exporter that an on-call engineer meets, by name."""
    return {
        "well": on_call.well(),
        "nothing-known": on_call.nothing_known(),
        "no-credential": on_call.no_credential(),
        "refused": on_call.refused(),
        "without-ledger": on_call.without_ledger(folder),
        "failed-sessions": on_call.failed_sessions(),
    }


async def test_first_screen_of_a_phone_shows_each_problem_its_age_and_advice(
    browser: "Browser", tmp_path: Path
) -> None:
    """The summary figures, too, need no scrolling."""
    for name, state in states(tmp_path).items():
        async with state as h:
            view = await view_of(h)
        async with (
            serve(app_of(view)) as url,
            visit(browser, url, width=WIDTH, height=HEIGHT) as visited,
        ):
            if folder := os.environ.get("PICTURES"):
                await visited.page.screenshot(path=Path(folder) / f"phone-{name}.png")
            figures = await visited.page.locator(".tiles").bounding_box()
            assert figures is not None
            assert figures["y"] + figures["height"] < HEIGHT, name
            verdict = visited.page.locator(".verdict")
            assert await verdict.locator("li").count() == len(view.verdict.problems)
            for problem in await verdict.locator("li").all():
                assert await problem.locator(".since").is_visible(), name
                assert await problem.locator(".advice").is_visible(), name
            assert await visited.overflow() == 0
            assert visited.complaints == []


async def test_link_of_an_alert_unfolds_the_failed_session(browser: "Browser") -> None:
    """An alert names ten sessions; the page shows five until the others are unfolded."""
    world = empty_world()
    for number in range(20):
        world.put_session(session(f"livy-{number:02}"))
    async with Harness(world) as h:
        await h.poll()
        h.clock.advance(30)
        for number in range(20):
            ended = int(h.clock.now() * 1000) + number
            world.change_session(key(f"livy-{number:02}"), state="error", end_time_ms=ended)
        await h.poll()
        view = await view_of(h)
    async with serve(app_of(view)) as url:
        async with visit(browser, url) as visited:
            assert not await visited.page.locator("#session-livy-00").is_visible()
            await visited.page.get_by_text("15 more").click()
            assert await visited.page.locator("#session-livy-00").is_visible()
        async with visit(browser, f"{url}/#session-livy-00") as visited:
            assert await visited.page.locator("#session-livy-00").is_visible()
            box = await visited.page.locator("tr:target").bounding_box()
            assert box is not None
            assert 0 <= box["y"] < 900
