"""What the pages, the ledger and Prometheus must come to after anything that has happened."""

import math
import time
from collections.abc import Mapping

from tests.support.forked import run
from tests.support.killed_exporter import true_totals
from tests.support.processes import CREDENTIAL
from tests.support.prometheus import Prometheus
from tests.support.replicas import Fleet

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
    scraper: Prometheus, at_first: Totals, fleet: Fleet, *, during: str = "10m"
) -> None:
    """Compare what the shipped rules record with the cloud, for every label set."""
    held = "emr_serverless_spark_exporter_ledger_held_series"
    await scraper.until(f"{held} == 0 and timestamp({held}) > {time.time()}")
    recorded = RECORDED["livy_cu_hours_total"]
    await scraper.until(f"min(timestamp({recorded})) > {time.time()}")
    at_last = true_totals(fleet.cloud)
    for metric, name in RECORDED.items():
        label = "proxy_user" if "user" in metric else "queue"
        by = ("workspace_id", "livy_compute_id", label)
        seen = await scraper.recorded_increases(name, *by, during=during)
        assert seen.keys() == at_last[metric].keys()
        for labels, total in at_last[metric].items():
            true = total - at_first[metric].get(labels, 0)
            assert math.isclose(seen[labels], true, rel_tol=1e-12, abs_tol=1e-8), (metric, labels)
        assert sum(seen.values()) > 0
