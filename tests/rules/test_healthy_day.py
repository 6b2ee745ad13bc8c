"""A day of a healthy fleet, lived by the demo in simulated time: nobody is woken."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

import pytest

from tests.support.lived import MIDNIGHT, Series, scraped
from tests.support.promtool import PREFIX, groups, run_test

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

STEP = 300
"""Seconds between two evaluations: what a rule recorded last is found 5 minutes later."""

SCRAPED = 900
"""Seconds between two polls; each is seen by three scrapes."""

HOURS = 26
"""From midnight until after the next one."""

MOMENTS = range(0, HOURS * 3600, SCRAPED)
END = f"{MOMENTS[-1]}s"


def test_no_alert_fires_in_a_day_of_a_healthy_fleet(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """All rules, on what the exporter showed of two workspaces with sessions by the hundred."""
    found = asyncio.run(scraped(HOURS * 3600, SCRAPED, is_healthy=True))
    assert len({name for name in found if "livy_session_info" in name}) > 300
    ended = 'queue_state:emr_serverless_spark_livy_sessions_ended:increase1h{state="terminated"}'
    burned = "queue:emr_serverless_spark_livy_cu_hours:yesterday"
    test = {
        "interval": f"{STEP}s",
        "input_series": [*_series(found)],
        "promql_expr_test": [
            {
                "expr": 'max_over_time(ALERTS{alertstate="firing"}[2d])',
                "eval_time": END,
                "exp_samples": [],
            },
            *(
                {
                    "expr": f"count({expression}) > bool 1",
                    "eval_time": END,
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
                for expression in (ended, burned)
            ),
        ],
    }
    complaint = run_test(real_tool("promtool"), tmp_path, STEP, groups(), test)
    if complaint:
        pytest.fail(complaint)


def _series(found: Series) -> Iterator[Mapping[str, str]]:
    """Yield what was scraped; promtool's time begins in 1970, so moments are moved there.

    Series of single Livy sessions are most of them, and only texts of alerts that fire need them.
    """
    yield {
        "series": 'up{instance="127.0.0.1:9825",job="emr-serverless-spark"}',
        "values": f"1x{len(MOMENTS) * SCRAPED // STEP}",
    }
    for name, samples in found.items():
        if name.startswith(f"{PREFIX}livy_session_"):
            continue
        moved = MIDNIGHT if "_timestamp_seconds{" in name else 0
        values = [samples[moment] - moved if moment in samples else None for moment in MOMENTS]
        yield {"series": name, "values": " ".join(map(_run, *zip(*_runs(values), strict=True)))}


def _runs(values: list[float | None]) -> Iterator[tuple[float | None, int]]:
    return ((value, len([*those]) * SCRAPED // STEP) for value, those in groupby(values))


def _run(value: float | None, length: int) -> str:
    if value is None:
        return f"stale _x{length - 1}"
    return f"{value:.17g}+0x{length - 1}"
