"""How far a first scan has come is seen everywhere, and nothing waits for it."""

import pytest
from structlog.testing import capture_logs

from tests.support.worlds import GATEWAY, WORKSPACE
from tests.web.first_scans import HELD, PAGES, ROWS, first_scan
from tests.web.status_pages import json_of

pytestmark = pytest.mark.anyio

LABELS = {"workspace_id": WORKSPACE, "livy_compute_id": GATEWAY}


async def test_progress_of_a_first_scan_is_shown() -> None:
    """In metrics, JSON and HTML; session clusters and other gateways are served meanwhile."""
    async with first_scan() as (h, end):
        await h.poll("session_clusters")
        metrics = await h.page()
        assert metrics.value("exporter_livy_walk_pages", **LABELS) == HELD - 1
        assert metrics.value("exporter_livy_walk_pages_expected", **LABELS) == PAGES
        # No half listing, and no counter before there is a starting value.
        assert not metrics.has("livy_sessions", **LABELS)
        assert not metrics.has("livy_cu_hours_total", **LABELS)
        assert not metrics.has("exporter_target_up", source="livy_sessions", **LABELS)
        running = {"workspace_id": WORKSPACE, "session_cluster_id": "sc-1", "state": "running"}
        assert metrics.value("session_cluster_state", **running) == 1
        assert set(metrics.values("exporter_target_up").values()) == {1}

        status = await json_of(h)
        scans = {each["livy_compute_id"]: each["scan"] for each in status["targets"]}
        assert scans[GATEWAY] == {"pages": HELD - 1, "expected": PAGES}
        assert {each["state"] for each in status["targets"] if not each["livy_compute_id"]} == {
            "up"
        }
        verdict = status["verdict"]
        assert verdict["level"] == "starting"
        assert verdict["summary"] == (
            f"Starting: 2 listings not read yet ({HELD - 1} of {PAGES} pages of long histories)"
        )
        assert status["sessions"]["gateways_unknown"] == 2
        assert status["clusters"]["workspaces_unknown"] == 0

        html = (await h.get("/")).text
        assert f"{HELD - 1} of {PAGES} pages read" in html
        assert f'<progress max="{PAGES}" value="{HELD - 1}"' in html

        assert "Currently unknown: those of 2 gateways." in html

        jobs = h.exporter.targets.jobs
        (other,) = (job for target, job in jobs.items() if target.livy_compute_id == "lc-2")
        await h.exporter.polling.poll(other.source, other.requests)
        metrics = await h.page()
        assert metrics.value("livy_sessions", state="running", livy_compute_id="lc-2") == 1
        assert metrics.value("exporter_livy_walk_pages", **LABELS) == HELD - 1

        await end()
        metrics = await h.page()
        assert not metrics.has("exporter_livy_walk_pages")
        assert sum(metrics.values("livy_sessions", **LABELS).values()) == ROWS
        assert metrics.value("exporter_target_up", source="livy_sessions", **LABELS) == 1
        status = await json_of(h)
        assert {each["scan"] for each in status["targets"]} == {None}
        assert status["sessions"]["gateways_unknown"] == 0
        assert status["verdict"]["level"] == "attention"


async def test_progress_of_a_full_scan_is_logged_every_15_seconds_at_most() -> None:
    """With 6 s per page that is every third page, also of a later scan."""
    with capture_logs() as logs:
        async with first_scan(100 * PAGES) as (h, end):
            await end()
            h.clock.advance(7 * 3600)
            await h.poll("livy_sessions")
    lines = [each for each in logs if each["event"] == "scan_progress"]
    assert [(each["pages"], each["expected"]) for each in lines] == 2 * [
        (4, PAGES),
        (7, PAGES),
        (10, PAGES),
        (13, 13),  # the last page is full, so it takes another one to see the end
    ]
    assert {each["target"] for each in lines} == {f"livy_sessions/{WORKSPACE}/{GATEWAY}"}
    assert {each["log_level"] for each in lines} == {"info"}
