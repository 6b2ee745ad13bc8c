"""Three replicas, PostgreSQL and Prometheus, all of them real, and what can happen to them."""

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from exporter.cli import main
from tests.replicas.truth import assert_prometheus_saw_the_truth, assert_the_truth
from tests.support import postgres
from tests.support.killed_exporter import true_totals
from tests.support.prometheus import Prometheus, prometheus
from tests.support.replicas import replicas
from tests.support.unfenced_exporter import main_without_fence

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.process, pytest.mark.timeout(180)]

LASTING = "EmrSparkSessionClusterPublicEndpoint"
"""An alert whose cause is there all the time."""

ALLOWED = frozenset(
    (
        "EmrSparkExporterUnreachable",  # who was stopped or killed
        "EmrSparkExporterNoOwner",  # for the duration of the lease
        "EmrSparkExporterReplicaCutOff",
    )
)
"""Alerts on the exporter that the events of a test bring about, as they wait for seconds only."""


async def alerts_since(scraper: Prometheus, begin: float) -> set[str]:
    """Return which alerts on the exporter fired; the one that lasts must not have resolved."""
    seconds = int(time.time() - begin)
    found = await scraper.query(f'ALERTS{{alertstate="firing"}}[{seconds}s]')
    [lasting] = [each for each in found if each["metric"]["alertname"] == LASTING]
    moments = [float(at) for at, _ in lasting["values"]]
    assert max(b - a for a, b in pairwise(moments)) < 3
    assert moments[0] - begin < 3
    assert time.time() - moments[-1] < 3
    names = {each["metric"]["alertname"] for each in found}
    return {name for name in names if name.startswith("EmrSparkExporter")}


async def test_replicas_that_are_stopped_cut_off_and_killed_lose_nothing(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """One after the other that owns the ledger."""
    async with replicas(tmp_path / "e", postgres.shared().schema()) as fleet:
        scraping = {"static_configs": [{"targets": fleet.addresses}]}
        async with prometheus(
            real_tool("prometheus"), tmp_path / "p", "", has_rules=True, scraping=scraping
        ) as scraper:
            await scraper.until(f'ALERTS{{alertname="{LASTING}",alertstate="firing"}}')
            at_first, begin = true_totals(fleet.cloud), time.time()
            fleet.life.goes_on = True
            await fleet.stop()
            await fleet.kill()
            await fleet.cut()
            await assert_the_truth(fleet)
            await assert_prometheus_saw_the_truth(scraper, at_first, fleet)
            assert await alerts_since(scraper, begin) <= ALLOWED


async def problems_of_a_paused_writer(folder: Path, main: Callable[[], int]) -> list[str]:
    """Pause an owner within a transaction; return what is wrong in the end."""
    async with replicas(folder, postgres.shared().schema(), main=main, count=2) as fleet:
        await fleet.pause_writer()
        await fleet.comes_to_rest()
        return fleet.problems()


async def test_a_writer_that_is_paused_in_its_transaction_is_fenced_off(tmp_path: Path) -> None:
    """Without the fence that is noticed: the test would not miss it."""
    async with asyncio.TaskGroup() as group:
        fenced, unfenced = (
            group.create_task(problems_of_a_paused_writer(tmp_path / name, program))
            for name, program in (("fenced", main), ("unfenced", main_without_fence))
        )
    assert fenced.result() == []
    assert unfenced.result() != []
