"""On a real Prometheus that scrapes a lively demo, no query of a panel or rule is empty."""

from collections.abc import Callable, Iterator
from pathlib import Path

import promql_parser as promql
import pytest

from tests.dashboards.boards import (
    ALERTS,
    BOARDS,
    RECORDS,
    is_of_the_past_or_a_budget,
    panels,
)
from tests.dashboards.promql import selectors, substituted
from tests.support.forked import start
from tests.support.processes import EXPORTER, eventually, free_port
from tests.support.prometheus import prometheus

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(120)]

DEMO = (
    *EXPORTER,
    "demo",
    "--demo.speed=600",
    "--poll.interval=1s",
    "--ledger.birth-hold=2s",
    "--discovery.interval=5s",
)
P = "emr_serverless_spark_"
EXPECTED_EMPTY = {
    f"queue:{P}livy_cu_hours:busy_hour7d": "looks at the week before yesterday",
    **{
        f"ledger_{level}_total:{period}_start": "recorded where a period begins"
        for level in (f"queue:{P}livy_cu_hours", f"user:{P}livy_proxy_user_cu_hours")
        for period in ("yesterday", "last_week", "last_month", "day", "week", "month")
    },
    **{
        f"{level}:{period}": "there was no such period before"
        for level in (f"queue:{P}livy_cu_hours", f"user:{P}livy_proxy_user_cu_hours")
        for period in ("yesterday", "last_week", "last_month")
    },
    "calendar:time_seconds:pace": "it is too early to tell",
    f"scope:{P}livy_cu_hours:projected": "it is too early to tell",
    f"workspace:{P}workspace_info:gone": "no workspace is deleted",
    f"gateway:{P}livy_gateway_info:gone": "no gateway is deleted",
    "scope:emr_serverless_spark_livy_cu_hours:budget": "there is none until one is set",
    "scope:emr_serverless_spark_livy_cu_hours:applied_budget": "there is none until one is set",
    f"session_cluster:{P}session_cluster_public_endpoint_enabled:accepted": "none is accepted",
    f"{P}exporter_discovery_error_info": "only while a discovery fails",
    "ALERTS": "nothing fires while an alert has not fired",
    f"{P}exporter_target_error_info": "only while a poll fails",
    f"instance:{P}exporter_lease_holder:since_timestamp": "only with ledger.url",
    **{
        f"{P}exporter_{name}": "only with ledger.url"
        for name in (
            "lease_holder",
            "lease_acquisitions_total",
            "lease_settings_differ",
            "ledger_rewinds_total",
        )
    },
}
"""Metrics that a healthy demo need not show, each with the reason."""


def expressions() -> Iterator[tuple[str, str]]:
    """Yield each query of the panels, and what the rules record, and where it stands."""
    for name, document in BOARDS.items():
        for panel in panels(document):
            for target in panel["targets"]:
                if is_of_the_past_or_a_budget(target["expr"]):
                    continue
                yield f"{name}, {panel['title']}", substituted(target["expr"])
    for name, rule in RECORDS.items():
        if name not in EXPECTED_EMPTY:
            yield name, rule["expr"]


def metrics_of_alerts() -> Iterator[tuple[str, str]]:
    """Yield the metrics that alerts ask for; an alert itself is empty while all is well."""
    for name, rule in ALERTS.items():
        for selector in selectors(promql.parse(rule["expr"])):
            if selector.name not in EXPECTED_EMPTY:
                yield name, selector.name


async def test_no_query_is_empty(tmp_path: Path, real_tool: Callable[[str], Path]) -> None:
    """Every query gives something, and every alert can be evaluated."""
    address = f"127.0.0.1:{free_port()}"
    # A file, so that there is something to tell of it; an empty one asks for nothing.
    (config := tmp_path / "web.yml").touch()
    flags = (f"--web.listen-address={address}", f"--web.config.file={config}")
    async with (
        start([*DEMO, *flags], tmp_path / "demo"),
        prometheus(real_tool("prometheus"), tmp_path / "p", address, has_rules=True) as scraper,
    ):
        empty = [*expressions(), *metrics_of_alerts()]

        async def nothing_is_empty() -> bool:
            # What a demo shows at moments only need not all be there at the same moment.
            empty[:] = [each for each in empty if not await scraper.query(each[1])]
            return not empty

        try:
            await eventually(nothing_is_empty, seconds=60, pause=1)
        except TimeoutError:
            pytest.fail("\n".join(f"{where}: {query}" for where, query in empty))
        for rule in ALERTS.values():
            await scraper.query(rule["expr"])
        groups = (await scraper.http.get("/api/v1/rules")).json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert [rule["lastError"] for rule in rules if "lastError" in rule] == []
