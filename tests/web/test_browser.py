"""The status page in a real browser. With PICTURES=folder each page is kept as a picture."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.demo import Cluster, Fleet, Gateway, Workspace, World, faults, serve
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
    """Serve a view, open its page, and keep a picture where one is wanted."""
    async with (
        serve(app_of(view)) as url,
        visit(browser, f"{url}/?refresh=off", width=width, scheme=scheme) as found,
    ):
        yield found
        if folder := os.environ.get("PICTURES"):
            path = Path(folder) / f"{name}-{width}-{scheme}.png"
            await found.page.screenshot(path=path, full_page=True)


async def lively_view() -> StatusView:
    """Let the demo's fleet live for some minutes, with a failure on the way."""
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
    """Let one target be refused, so long that its gauges are withdrawn."""
    async with Harness(busy_world()) as h:
        await h.poll()
        h.cloud.faults.add(faults.FORBIDDEN, action="ListLivyComputeSessions", compute_id="lc-1")
        h.cloud.faults.add(faults.THROTTLED, action="ListLivyComputeSessions", compute_id="lc-2")
        await h.poll()
        await h.tick(400)
        await h.poll("session_clusters")
        return await view_of(h)


async def scanning_view() -> StatusView:
    """Look in the middle of a first scan: pages that were read, and no counter of it yet."""
    async with first_scan() as (h, _):
        await h.poll("session_clusters")
        return await view_of(h)


async def hostile_view() -> StatusView:
    """Put hostile texts wherever the API has a text of somebody's choice."""
    world = empty_world()
    for number, text in enumerate(HOSTILE):
        workspace = f"w-{number}"
        world.put_workspace(Workspace(workspace, name=text, region_id="cn-hangzhou"))
        world.put_gateway(Gateway(workspace, f"lc-{number}", name=text, queue=text, status=text))
        for state in ("Error", text):
            world.put_cluster(
                Cluster(
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
"""axe takes its time: both widths and both schemes are among these."""

VIEWS = {
    "lively": lively_view,
    "failing": failing_view,
    "scanning": scanning_view,
    "hostile": hostile_view,
}


@pytest.mark.parametrize("name", VIEWS)
async def test_everybody_can_read_the_page(browser: "Browser", name: str) -> None:
    """On a desk and on a phone, by day and by night: nothing serious for axe, nothing cut off."""
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


async def test_hostile_names_are_only_names(browser: "Browser") -> None:
    """They stand there letter by letter, run nothing, lead nowhere and turn nothing around."""
    async with shown(browser, await hostile_view(), "hostile") as visited:
        page = visited.page
        assert await page.title() == "Needs a look · EMR Serverless Spark exporter"
        assert await page.locator("script, img, iframe, [onerror], [onclick]").count() == 0
        assert await page.get_by_text(MARKUP, exact=True).count() > 0
        assert await page.get_by_text("{{ 7*7 }}{% raw %}", exact=True).count() > 0
        links = await page.eval_on_selector_all("a", "all => all.map(each => each.protocol)")
        assert set(links) == {"http:"}
        assert visited.complaints == []


async def test_the_keyboard_reaches_every_link(browser: "Browser") -> None:
    """Pause comes first; each press of Tab is one link further, and shows where it is."""
    async with shown(browser, await failing_view(), "keyboard") as visited:
        page = visited.page
        links = await page.locator("a[href]").count()
        seen = []
        for _ in range(links):
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


async def test_a_dashboard_links_to_a_session(browser: "Browser") -> None:
    """`#session-<id>` brings the row of that session into view, and marks it."""
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


async def test_the_page_refreshes_itself(browser: "Browser") -> None:
    """After the time that was asked for it is another one; at an anchor it owns up to waiting."""
    async with Harness(busy_world()) as h:
        await h.poll()
        async with (
            serve(h.exporter.web) as url,
            visit(browser, f"{url}/?refresh=5") as visited,
        ):
            h.clock.advance(3600)
            await visited.page.locator("header b", has_text="1 h").wait_for(timeout=30_000)
            assert visited.page.url.endswith("/?refresh=5")
            assert not await visited.page.get_by_text("May stand still").is_visible()
            await visited.page.locator("dt a").first.click()
            assert await visited.page.get_by_text("May stand still").is_visible()
            assert not await visited.page.get_by_text("Pause").is_visible()
            assert visited.complaints == []
