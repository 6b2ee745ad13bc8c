"""The page over HTTP: formats, encodings, methods, and the other endpoints."""

import gzip
from pathlib import Path

import pytest

from exporter.catalog import CATALOG
from exporter.demo import faults
from exporter.ledger import Postgres
from tests.support import postgres
from tests.support.harness import Harness, ManualClock
from tests.support.pages import Page
from tests.support.worlds import GATEWAY, busy_world, empty_world, session

pytestmark = pytest.mark.anyio

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_ACCEPTS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


async def test_both_formats_say_the_same() -> None:
    """The OpenMetrics page stands before the strict parser, and holds the samples of the other."""
    async with Harness(busy_world()) as h:
        await h.poll()
        text = await h.get("/metrics")
        strict = await h.get("/metrics", {"Accept": PROMETHEUS_ACCEPTS})
    assert (text.headers["content-type"], strict.headers["content-type"]) == (TEXT, OPENMETRICS)
    assert strict.text.endswith("# EOF\n")
    assert strict.text.count("# EOF") == 1
    assert our_samples(Page.from_openmetrics(strict.text)) == our_samples(Page.from_text(text.text))


def our_samples(page: Page) -> set[tuple[str, str, float]]:
    """Return the samples that do not change from one scrape to the next."""
    return {
        (sample.name, str(sorted(sample.labels.items())), sample.value)
        for sample in page.samples
        if not sample.name.startswith("process_")
    }


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        (PROMETHEUS_ACCEPTS, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("nonsense;;;q=what", TEXT),
    ],
)
async def test_the_format_is_negotiated(accept: str, expected: str) -> None:
    """Whatever a client accepts, it gets one of the two formats, under its exact name."""
    async with Harness(empty_world()) as h:
        response = await h.get("/metrics", {"Accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (200, expected)


async def test_a_page_can_come_compressed() -> None:
    """A client that accepts gzip gets the same page, smaller."""
    async with Harness(busy_world()) as h:
        await h.poll()
        async with h.reader.stream("GET", "/metrics", headers={"Accept-Encoding": "gzip"}) as got:
            body = b"".join([chunk async for chunk in got.aiter_raw()])
        plain = await h.get("/metrics", {"Accept-Encoding": "identity"})
    assert got.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    page = gzip.decompress(body).decode()
    assert our_samples(Page.from_text(page)) == our_samples(Page.from_text(plain.text))
    assert len(body) * 5 < len(plain.content)


async def test_head_gives_the_headers_alone() -> None:
    """`HEAD` tells type and size of the page that `GET` would give."""
    async with Harness(busy_world()) as h:
        head = await h.get("/metrics", {"Accept-Encoding": "identity"}, method="HEAD")
        page = await h.get("/metrics", {"Accept-Encoding": "identity"})
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", TEXT)
    assert abs(int(head.headers["content-length"]) - len(page.content)) < 100


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready", "/", "/api/v1/status"])
async def test_other_methods_are_refused(path: str) -> None:
    """What would change something is answered with 405."""
    async with Harness(empty_world()) as h:
        codes = {(await h.get(path, method=m)).status_code for m in ("POST", "PUT", "DELETE")}
    assert codes == {405}


@pytest.mark.parametrize("path", ["/nope", "/metrics/", "/-/", "/-/quit", "/..%2f"])
async def test_other_paths_are_not_found(path: str) -> None:
    """There is nothing else."""
    async with Harness(empty_world()) as h:
        assert (await h.get(path)).status_code == 404


async def test_the_landing_page_leads_to_the_metrics() -> None:
    """A browser finds the page of metrics, also under another path."""
    async with Harness(empty_world(), web={"telemetry_path": "/emr"}) as h:
        landing = await h.get("/")
        page = await h.get("/emr")
    assert landing.headers["content-type"] == "text/html; charset=utf-8"
    assert 'href="emr"' in landing.text
    assert Page.from_text(page.text).has("workspace_info")


async def test_ready_after_the_first_good_poll() -> None:
    """Ready says 503, and why, until one target of each account and region was read."""
    async with Harness(empty_world()) as h:
        before = await h.get("/-/ready")
        await h.poll("session_clusters")
        after = await h.get("/-/ready")
    assert (before.status_code, after.status_code) == (503, 200)
    assert before.text == "no successful poll yet in region cn-hangzhou\n"


async def test_a_refused_credential_is_not_ready() -> None:
    """A credential that the service refuses is said; the process itself is healthy."""
    async with Harness(empty_world()) as h:
        await h.poll()
        h.cloud.faults.add(faults.EXPIRED_TOKEN)
        await h.poll("livy_sessions")
        ready, healthy = await h.get("/-/ready"), await h.get("/-/healthy")
    assert ready.status_code == 503
    assert ready.text.startswith("livy_sessions/w-1/lc-1: The service refuses the credential")
    assert healthy.status_code == 200


async def test_healthy_until_polling_stops() -> None:
    """Failing polls are healthy; when no poll gives a sign of life for long, it is 503."""
    clock = ManualClock()
    async with Harness(empty_world(), clock=clock) as h:
        h.cloud.faults.add(faults.FORBIDDEN)
        await h.poll()
        clock.advance(119)
        fine = await h.get("/-/healthy")
        clock.advance(2)
        stuck = await h.get("/-/healthy")
    assert (fine.status_code, stuck.status_code) == (200, 503)
    assert stuck.text == "no poll has made progress for 121 s\n"


OF_REPLICAS = {
    "exporter_lease_acquisitions_total",
    "exporter_lease_holder",
    "exporter_lease_losses_total",
    "exporter_lease_settings_differ",
    "exporter_ledger_rewinds_total",
}
NOT_YET = {
    "exporter_discovery_error_info",
    "exporter_discovery_last_success_timestamp_seconds",
    "exporter_discovery_up",
    "exporter_livy_walk_pages",
    "exporter_livy_walk_pages_expected",
}
"""What is named already, and comes to the page with the parts that will know it."""


async def test_every_metric_of_the_catalog_can_be_seen(tmp_path: Path) -> None:
    """No name stands in the catalog that nothing brings to the page, but those of later parts."""
    web_config = tmp_path / "web.yml"
    web_config.touch()
    async with Harness(busy_world(), web={"config": {"file": web_config}}) as h:
        await h.poll()
        h.world.put_session(session("livy-new", 1, state="terminated", end_time_ms=1))
        h.cloud.faults.add(faults.FORBIDDEN, compute_id=GATEWAY, times=1)
        await h.poll()
        failing = (await h.page()).names()
        await h.poll()
        names = failing | (await h.page()).names()
    expected = {metric.name for metric in CATALOG if metric.kind != "histogram"}
    seen = {f"emr_serverless_spark_{name}" for name in names}
    assert expected - seen == {f"emr_serverless_spark_{name}" for name in NOT_YET | OF_REPLICAS}


@pytest.mark.real
async def test_the_metrics_of_replicas_can_be_seen_with_a_ledger_in_postgresql() -> None:
    """And only there: a file has one process."""
    database = postgres.shared().schema()
    ledger = Postgres(database.url, database.schema)
    async with Harness(busy_world(), ledger=ledger) as h:
        await h.poll()
        names = (await h.page()).names()
    assert names >= OF_REPLICAS
