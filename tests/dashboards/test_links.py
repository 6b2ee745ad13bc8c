"""A link of a dashboard leads to a place that the status page has."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from exporter.demo import Fleet, World, faults
from tests.dashboards.boards import BOARDS, panels
from tests.support.harness import START, Harness, ManualClock
from tests.support.pages import Page

pytestmark = pytest.mark.anyio

_FIELD = re.compile(r"\$\{__data\.fields\.(\w+)\}")
_STATES = re.compile(r'livy_session_state\{[^}]*\bstate=~?"([^"]+)"')


def listed(metrics: Page, field: str, query: str) -> set[str]:
    """Return the ids that a table lists: of clusters in error, or of sessions in its states."""
    if field == "session_cluster_id":
        return {labels[0] for labels in metrics.values("session_cluster_error_info", field)}
    states = _STATES.search(query)
    sessions = metrics.values("livy_session_state", "session_id", "state")
    return {
        session_id
        for (session_id, state), value in sessions.items()
        if value and (states is None or state in states[1].split("|"))
    }


def links() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield every link of a table's cell: where it stands, its panel, and its URL."""
    for name, document in BOARDS.items():
        for panel in panels(document):
            for override in panel["fieldConfig"]["overrides"]:
                for each in override["properties"]:
                    for link in each["value"] if each["id"] == "links" else ():
                        yield f"{name}, {panel['title']}", panel, link["url"]


async def lively() -> tuple[Page, str]:
    """Let the demo's fleet live until a session cluster is in error; give metrics and page."""
    world, clock = World(), ManualClock()
    fleet = Fleet(world, seed=4, speed=60.0, start=START)
    async with Harness(world, clock=clock, targets=[], region_id="cn-hangzhou") as h:
        await h.discover()
        while not h.peek().has("session_cluster_error_info"):
            clock.advance(10)
            fleet.advance(clock.now())
            await h.poll()
        h.cloud.faults.add(faults.FORBIDDEN, compute_id=world.gateways()[0].compute_id)
        await h.poll()
        return h.peek(), (await h.get("/")).text


async def test_every_link_leads_to_a_place_on_the_status_page() -> None:
    """Whatever session, cluster in error or target a table shows, its row is there."""
    metrics, html = await lively()
    places = set(re.findall(r'\bid="([^"]+)"', html))
    checked = 0
    for where, panel, url in links():
        page, _, anchor = url.partition("#")
        assert page == "${exporter_url}", where
        fields = _FIELD.findall(anchor)
        columns = {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]}
        assert set(fields) <= columns, where
        wanted = {anchor}
        for field in fields:
            ids = listed(metrics, field, panel["targets"][0]["expr"])
            wanted = {anchor.replace(f"${{__data.fields.{field}}}", each) for each in ids}
        assert wanted, where
        assert wanted <= places, where
        checked += len(wanted)
    assert checked > 10


def test_everything_that_names_a_session_links_to_it() -> None:
    """Every table with the id of a session, or with clusters in error, leads on."""
    linked = {where for where, _, url in links() if _FIELD.search(url)}
    wanted = {
        f"{name}, {panel['title']}"
        for name, document in BOARDS.items()
        for panel in panels(document)
        if panel["type"] == "table"
        and re.search(r"livy_session_info|session_cluster_error_info", panel["targets"][0]["expr"])
    }
    assert wanted
    assert linked == wanted
