"""The status page in a real browser. PICTURES=folder saves a screenshot of each page."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.demo import (
    Fleet,
    SimulatedCluster,
    SimulatedGateway,
    SimulatedWorkspace,
    World,
    faults,
    serve,
)
from exporter.web.status.view import StatusView
from tests.support.harness import START, Harness, ManualClock
from tests.support.worlds import busy_world, empty_world, session
from tests.web.browser import Scheme, Visit, visit
from tests.web.first_scans import first_scan
from tests.web.status_pages import app_of, view_of

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(180)]

LONG = "x" * 10_000
RTL = "\u202egnp.\u202cexe \u2067מה\u2069 \u202e"
MARKUP = '<script>document.title="hacked"</script><img src=x onerror=alert(1)>"\'&amp;</td>'
HOSTILE = (
    MARKUP,
    RTL,
    LONG,
    "{{ 7*7 }}{% raw %}",
    "\u0000\u0007\u2028",
    "名前 🙂",
    "' onclick='alert(1)",
)


@asynccontextmanager
async def shown(
    browser: "Browser",
    view: StatusView,
    name: str,
    *,
    width: int = 1280,
    scheme: Scheme = "light",
) -> AsyncIterator[Visit]:
    """Serve a view, open its page, and save a screenshot if PICTURES is set."""
    async with (
        serve(app_of(view)) as url,
        visit(browser, f"{url}/?refresh=off", width=width, scheme=scheme) as found,
    ):
        yield found
        if folder := os.environ.get("PICTURES"):
            path = Path(folder) / f"{name}-{width}-{scheme}.png"
            await found.page.screenshot(path=path, full_page=True)


async def lively_view() -> StatusView:
    """Return the view of the demo's fleet after some minutes, with a failure in between."""
    world, clock = World(), ManualClock()
    fleet = Fleet(world, seed=4, speed=60.0, start=START)
    async with Harness(
        world, clock=clock, targets=[], region_id="cn-hangzhou", poll={"interval": 5}
    ) as h:
        await h.discover()
        for number in range(16):
            fleet.advance(clock.now())
            if number == 8:
                h.cloud.faults.add(faults.UNAVAILABLE, compute_id=world.gateways()[0].compute_id)
            if number == 10:
                h.cloud.faults.clear()
            await h.poll()
            clock.advance(10)
        return await view_of(h)


async def failing_view() -> StatusView:
    """Return a view of failing targets whose gauges are stale."""
    async with Harness(busy_world()) as h:
        await h.poll()
        h.cloud.faults.add(faults.FORBIDDEN, action="ListLivyComputeSessions", compute_id="lc-1")
        h.cloud.faults.add(faults.THROTTLED, action="ListLivyComputeSessions", compute_id="lc-2")
        await h.poll()
        await h.tick(400)
        await h.poll("session_clusters")
        return await view_of(h)


async def scanning_view() -> StatusView:
    """Return a view in the middle of a first scan, before any counter exists."""
    async with first_scan() as (h, _):
        await h.poll("session_clusters")
        return await view_of(h)


async def hostile_view() -> StatusView:
    """Return a view with hostile texts wherever the API has a text that a user chose."""
    world = empty_world()
    for number, text in enumerate(HOSTILE):
        workspace = f"w-{number}"
        world.put_workspace(SimulatedWorkspace(workspace, name=text, region_id="cn-hangzhou"))
        world.put_gateway(
            SimulatedGateway(workspace, f"lc-{number}", name=text, queue=text, status=text)
        )
        for state in ("Error", text):
            world.put_cluster(
                SimulatedCluster(
                    workspace,
                    f"sc-{number}-{state}"[:200],
                    name=text,
                    kind=text,
                    queue=text,
                    user_name=text,
                    state=state,
                    reason_code=text,
                    reason_message=text,
                    raw={"webUI": "javascript:alert(1)"},
                )
            )
        for state in ("running", "error", text):
            world.put_session(
                session(
                    f"livy-{text}-{state}"[:250],
                    1.5,
                    workspace_id=workspace,
                    compute_id=f"lc-{number}",
                    name=text,
                    queue=text,
                    proxy_user=text,
                    state=state,
                    info=text,
                    raw={"webUI": f"http://x/{text}"},
                )
            )
    async with Harness(world, targets=[], region_id="cn-hangzhou") as h:
        await h.discover()
        await h.poll()
        h.cloud.faults.add(faults.FORBIDDEN, workspace_id="w-1")
        await h.poll()
        return await view_of(h)


WINDOWS: list[tuple[int, Scheme]] = [
    (1280, "light"),
    (1280, "dark"),
    (390, "light"),
    (390, "dark"),
]
JUDGED = (WINDOWS[0], WINDOWS[3])
"""Windows checked by axe, which is slow: both widths and both schemes are among them."""

VIEWS = {
    "lively": lively_view,
    "failing": failing_view,
    "scanning": scanning_view,
    "hostile": hostile_view,
}


@pytest.mark.parametrize("name", VIEWS)
async def test_page_is_accessible_and_fits_every_window(browser: "Browser", name: str) -> None:
    """On desktop and phone, light and dark: axe finds nothing serious; nothing is cut off."""
    view = await VIEWS[name]()
    found: list[object] = []
    for width, scheme in WINDOWS:
        async with shown(browser, view, name, width=width, scheme=scheme) as visited:
            if (width, scheme) in JUDGED:
                found += await visited.violations()
            found += visited.complaints
            if overflow := await visited.overflow():
                found.append((width, overflow))
    assert found == []


async def test_markup_in_names_is_shown_as_text(browser: "Browser") -> None:
    """It runs no script, adds no link and does not reverse the text around it."""
    async with shown(browser, await hostile_view(), "hostile") as visited:
        page = visited.page
        assert await page.title() == "Problems · EMR Serverless Spark exporter"
        assert await page.locator("script, img, iframe, [onerror], [onclick]").count() == 0
        assert await page.get_by_text(MARKUP, exact=True).count() > 0
        assert await page.get_by_text("{{ 7*7 }}{% raw %}", exact=True).count() > 0
        links = await page.eval_on_selector_all("a", "all => all.map(each => each.protocol)")
        assert set(links) == {"http:"}
        assert visited.complaints == []


async def test_tab_reaches_every_stop_with_a_visible_focus(browser: "Browser") -> None:
    """From Reload, which is first, to Ready?, which is last; a long text can be scrolled."""
    async with shown(browser, await failing_view(), "keyboard") as visited:
        page = visited.page
        stops = await page.locator("a[href], [tabindex='0']").count()
        seen = []
        for _ in range(stops):
            await page.keyboard.press("Tab")
            seen.append(
                await page.evaluate(
                    "[document.activeElement.textContent,"
                    " getComputedStyle(document.activeElement).outlineStyle]"
                )
            )
    assert seen[0] == ["Reload", "solid"]
    assert {style for _, style in seen} == {"solid"}
    assert seen[-1][0] == "Ready?"


async def test_link_of_a_dashboard_scrolls_to_the_session(browser: "Browser") -> None:
    """`#session-<id>` scrolls to the row of that session and highlights it."""
    world = busy_world()
    for number in range(100):
        world.put_session(session(f"livy-{number:03}", 1, age=number))
    async with Harness(world) as h:
        await h.poll()
        view = await view_of(h)
    async with (
        serve(app_of(view)) as url,
        visit(browser, f"{url}/#session-livy-050") as visited,
    ):
        row = visited.page.locator("tr:target")
        assert "livy-050" in await row.inner_text()
        box = await row.bounding_box()
        assert box is not None
        assert 0 <= box["y"] < 900


async def test_page_refreshes_itself_except_at_an_anchor(browser: "Browser") -> None:
    """At an anchor browsers do not refresh, and the page says so."""
    async with Harness(busy_world()) as h:
        await h.poll()
        async with (
            serve(h.site) as url,
            visit(browser, f"{url}/?refresh=5") as visited,
        ):
            h.clock.advance(3600)
            await visited.page.locator("header b", has_text="1 h").wait_for(timeout=30_000)
            assert visited.page.url.endswith("/?refresh=5")
            assert not await visited.page.get_by_text("May not refresh at this link").is_visible()
            await visited.page.locator("dt a").first.click()
            assert await visited.page.get_by_text("May not refresh at this link").is_visible()
            assert not await visited.page.get_by_text("Pause").is_visible()
            assert visited.complaints == []
