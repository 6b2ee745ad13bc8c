"""Three replicas, PostgreSQL and Prometheus, all of them real, and what can happen to them."""

import math
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.killed_exporter import true_totals
from tests.support.processes import CREDENTIAL, run
from tests.support.prometheus import Prometheus, prometheus
from tests.support.replicas import UNFENCED, Fleet, replicas

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

Totals = Mapping[str, Mapping[tuple[str, str, str], float]]

RECORDED = {
    metric: f"ledger_{'user' if 'user' in metric else 'queue'}:emr_serverless_spark_{metric}:max"
    for metric in (
        "livy_cu_hours_total",
        "livy_proxy_user_cu_hours_total",
        "livy_proxy_user_vcore_seconds_total",
        "livy_proxy_user_mb_seconds_total",
    )
}


async def assert_the_truth(fleet: Fleet) -> None:
    """Compare the page with the cloud, and the ledger with the lists."""
    await fleet.comes_to_rest()
    assert fleet.problems() == []
    code, process = await run(fleet.reconcile, fleet.folder / "reconcile", CREDENTIAL)
    assert code == 0, process.output.decode()


async def assert_prometheus_saw_the_truth(
    scraper: Prometheus, at_first: Totals, fleet: Fleet
) -> None:
    """Compare what the shipped rules record with the cloud, for every label set."""
    held = "emr_serverless_spark_exporter_ledger_held_series"
    await scraper.until(f"{held} == 0 and timestamp({held}) > {time.time()}")
    recorded = RECORDED["livy_cu_hours_total"]
    await scraper.until(f"min(timestamp({recorded})) > {time.time()}")
    at_last = true_totals(fleet.cloud)
    for metric, name in RECORDED.items():
        label = "proxy_user" if "user" in metric else "queue"
        seen = await scraper.recorded_increases(name, "workspace_id", "livy_compute_id", label)
        assert seen.keys() == at_last[metric].keys()
        for labels, total in at_last[metric].items():
            true = total - at_first[metric].get(labels, 0)
            assert math.isclose(seen[labels], true, rel_tol=1e-12, abs_tol=1e-8), (metric, labels)
        assert sum(seen.values()) > 0


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


async def test_a_writer_that_is_paused_in_its_transaction_is_fenced_off(tmp_path: Path) -> None:
    """What it sent arrives when others have gone on, and it goes on itself after that."""
    async with replicas(tmp_path, postgres.shared().schema(), count=2) as fleet:
        await fleet.pause_writer()
        await assert_the_truth(fleet)


async def test_without_the_fence_a_paused_writer_is_noticed(tmp_path: Path) -> None:
    """The test above would not miss it."""
    database = postgres.shared().schema()
    async with replicas(tmp_path, database, program=UNFENCED, count=2) as fleet:
        await fleet.pause_writer()
        await fleet.comes_to_rest()
        assert fleet.problems() != []
