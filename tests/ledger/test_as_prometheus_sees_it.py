"""A real Prometheus scrapes through crashes, downtime and new queues, and misses nothing."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from exporter.demo import HistoryOrder
from tests.support.killed_exporter import Life, Scene, scene, true_totals
from tests.support.prometheus import Prometheus, prometheus

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(150)]

Totals = Mapping[str, Mapping[tuple[str, str, str], float]]


async def test_samples_of_prometheus_contain_all_usage_through_crashes(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """Differences between raw samples add up to the usage since the first listing."""
    # A person with curl reads the page all the time, and must not count as a scrape.
    options = {"hold": "2500ms", "headers": {}}
    async with scene(tmp_path / "e", HistoryOrder.NEWEST_FIRST, 3, **options) as (made, life):
        life.goes_on = False
        target = f"127.0.0.1:{made.port}"
        async with prometheus(real_tool("prometheus"), tmp_path / "p", target) as scraper:
            async with made.life() as process:
                await made.polls_all(process)
                await scraper.until("emr_serverless_spark_livy_cu_hours_total")
                at_first = true_totals(made.cloud)
            life.goes_on = True
            for _ in range(3):
                made.bear()
                await asyncio.sleep(made.chance.uniform(0, 1.5))
                made.bear()
                await live_and_be_scraped(made)
            await read_the_rest(made, life, scraper)
            await assert_increases(scraper, at_first, true_totals(made.cloud))
    assert made.reader.falls == []


async def live_and_be_scraped(made: Scene) -> None:
    """Live long enough to release some, and be killed."""
    async with made.life() as process:
        await made.polls_all(process)
        await asyncio.sleep(made.chance.uniform(0, 3))


async def read_the_rest(made: Scene, life: Life, scraper: Prometheus) -> None:
    """Let the exporter read, and Prometheus scrape, all there is; nothing happens any more."""
    async with made.life() as process:
        await made.polls_all(process)
        life.goes_on = False
        await made.polls_all(process)
        held = "emr_serverless_spark_exporter_ledger_held_series"
        await scraper.until(f"{held} == 0 and timestamp({held}) > {time.time()}")


async def assert_increases(scraper: Prometheus, at_first: Totals, at_last: Totals) -> None:
    """Compare the increases that Prometheus sees with the true ones, for every label set."""
    for metric, totals in at_last.items():
        last_label = "proxy_user" if "proxy_user" in metric else "queue"
        seen = await scraper.increases(metric, "workspace_id", "livy_compute_id", last_label)
        assert seen.keys() == totals.keys()
        for labels, total in totals.items():
            true = total - at_first[metric].get(labels, 0)
            assert math.isclose(seen[labels], true, rel_tol=1e-12, abs_tol=1e-8), (metric, labels)
        assert sum(seen.values()) > 0
