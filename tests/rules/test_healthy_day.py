"""A day of a healthy fleet, lived by the demo in simulated time: nobody is woken."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.lived import MIDNIGHT, Series, as_input, scraped
from tests.support.promtool import groups, run_test

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

STEP = 300
"""Seconds between two evaluations: what a rule recorded last is found 5 minutes later."""

SCRAPED = 1800
"""Seconds between two polls; each is seen by six scrapes."""

HOURS = 26
"""From midnight until after the next one."""

MOMENTS = range(0, HOURS * 3600, SCRAPED)
END = f"{MOMENTS[-1]}s"


def test_no_alert_fires_in_a_day_of_a_healthy_fleet(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """All rules, on what the exporter showed of two workspaces with sessions by the hundred."""
    found = asyncio.run(scraped(MOMENTS, SCRAPED, is_healthy=True))
    assert len({name for name in found if "livy_session_info" in name}) > 300
    ended = 'queue_state:emr_serverless_spark_livy_sessions_ended:increase1h{state="terminated"}'
    burned = "queue:emr_serverless_spark_livy_cu_hours:yesterday"
    test = {
        "interval": f"{STEP}s",
        "input_series": [*as_input(_moved(found), MOMENTS, SCRAPED // STEP)],
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


def _moved(found: Series) -> Series:
    """Move timestamps to where promtool's time begins, in 1970."""
    return {
        name: {moment: value - MIDNIGHT for moment, value in samples.items()}
        if "_timestamp_seconds{" in name
        else samples
        for name, samples in found.items()
    }
