"""What panels show: 0 where there is nothing, no data where nothing is known, each thing once."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from tests.dashboards.boards import BOARDS, panels
from tests.dashboards.promql import substituted
from tests.support.promtool import PREFIX, Case, run_case, run_test
from tests.support.rule_series import CLUSTER, GATEWAY, QUEUE, W, alive, at, cluster, ledger, up

pytestmark = pytest.mark.real

Tool = Callable[[str], Path]

CLUSTERS = ("Clusters in error", "Session clusters in error, and why")
SESSIONS = (
    "Failed in 1 h",
    "Failure ratio, 1 h",
    "Live sessions",
    "Livy sessions that failed in the time shown",
    "Live Livy sessions",
)
OF_FLEET = (*CLUSTERS, *SESSIONS, "Failing, all queues", "What is not polled, and why (all queues)")
OF_EXPORTER = (
    "Failing targets",
    "Bad web config",
    "Targets that fail, and why",
    "Failed polls by reason",
    "Failed requests by reason",
    "Full scans of Livy histories",
    "Failures of the ledger",
    "Replicas",
)
POLLED = {**alive(), **up("1@300"), **up("1@300", source="livy_sessions")}
SESSION = f'{GATEWAY},session_id="s"'
NAMED = f'{SESSION},name="etl",queue="q",proxy_user="ann"'
NAMED_W = 'label_replace(vector(1), "workspace_name", "w", "", "")'
DAY_NUMBER = "calendar:time_seconds:day_number"


def query(board: str, title: str, number: int = 0) -> str:
    """Return a query of a panel, as Grafana would send it."""
    (panel,) = (each for each in panels(BOARDS[f"{board}.json"]) if each["title"] == title)
    return substituted(panel["targets"][number]["expr"])


def values(
    board: str, titles: Iterable[str], value: float | None, minute: float = 10
) -> Mapping[tuple[float, str], float | None]:
    """Expect a value of several panels."""
    return {(minute, query(board, title)): value for title in titles}


def complaints(promtool: Path, folder: Path, case: Case) -> str:
    """Evaluate a case without rules: what they record is among its series."""
    return run_test(promtool, folder, 60, [], case.as_test())


def test_without_an_exporter_nothing_is_known(tmp_path: Path, real_tool: Tool) -> None:
    """No number is 0 and no table says that there is nothing wrong."""
    case = Case(
        "rules without an exporter",
        {DAY_NUMBER: "20000@300"},
        values={**values("fleet", OF_FLEET, None), **values("exporter", OF_EXPORTER, None)},
    )
    assert complaints(real_tool("promtool"), tmp_path, case) == ""


def test_while_no_poll_succeeds_no_state_is_known(tmp_path: Path, real_tool: Tool) -> None:
    """The exporter has withdrawn its gauges, which is not the same as nothing in error."""
    case = Case(
        "polls fail",
        {
            **alive(),
            **up("0@300"),
            **up("0@300", source="livy_sessions"),
            DAY_NUMBER: "20000@300",
        },
        values={
            **values("fleet", (*CLUSTERS, *SESSIONS), None),
            **values("fleet", ["Failing, all queues"], 2),
        },
    )
    assert complaints(real_tool("promtool"), tmp_path, case) == ""


def test_where_nothing_is_there_0_is_shown(tmp_path: Path, real_tool: Tool) -> None:
    """A workspace without session clusters and a gateway without sessions have no gauges."""
    case = Case(
        "polled, and empty",
        {**POLLED, DAY_NUMBER: "20000@300"},
        values={
            **values("fleet", OF_FLEET, 0),
            **values("exporter", OF_EXPORTER, 0),
            (10, f"count({query('fleet', CLUSTERS[1])})"): 1,
        },
    )
    assert complaints(real_tool("promtool"), tmp_path, case) == ""


def test_live_sessions_are_unknown_where_a_history_is_truncated(
    tmp_path: Path, real_tool: Tool
) -> None:
    """The exporter counts the usage of what it reads, and shows no `livy_sessions`."""
    case = Case(
        "truncated",
        {**POLLED, at("exporter_livy_history_truncated", GATEWAY): "1@300"},
        values=values("fleet", ["Live sessions", "Live Livy sessions"], None),
    )
    assert complaints(real_tool("promtool"), tmp_path, case) == ""


def test_without_rules_no_alert_is_known(tmp_path: Path, real_tool: Tool) -> None:
    """A Prometheus that was given no rules does not say that all is well."""
    titles = ("Firing alerts", "Firing alerts, and for how long", "Failed in 1 h")
    case = Case("no rules", POLLED, values=values("fleet", titles, None))
    assert complaints(real_tool("promtool"), tmp_path, case) == ""


@pytest.mark.parametrize(
    ("title", "series"),
    [
        (
            "Session clusters in error, and why",
            {
                **cluster("error", "1@300"),
                at("session_cluster_error_info", f'{CLUSTER},code="OOM"'): "1@300",
            },
        ),
        ("Session clusters and their time in state", cluster("error", "1@300")),
        (
            "Livy sessions that failed in the time shown",
            {
                at("livy_session_state", f'{SESSION},state="error"'): "1@300",
                at("livy_session_info", NAMED): "1@300",
            },
        ),
        (
            "Live Livy sessions",
            {
                at("livy_session_state", f'{SESSION},state="running"'): "1@300",
                at("livy_session_info", NAMED): "1@300",
            },
        ),
    ],
)
def test_a_table_lists_also_what_lacks_its_figure(
    title: str, series: Mapping[str, str], tmp_path: Path, real_tool: Tool
) -> None:
    """A time that a ledger could not keep, or a figure that the service does not give yet."""
    expression = query("fleet", title)
    case = Case(
        "no figure",
        {**POLLED, **series},
        values={(10, expression): -1, (10, f"count({expression})"): 1},
    )
    assert complaints(real_tool("promtool"), tmp_path, case) == ""


def test_each_firing_alert_is_counted_and_listed(tmp_path: Path, real_tool: Tool) -> None:
    """Those of two exporters, or of two budgets, are not one."""
    number, table = (
        query("fleet", "Firing alerts"),
        query("fleet", "Firing alerts, and for how long"),
    )
    case = Case(
        "two exporters are down",
        {
            at("exporter_build_info", 'version="1"'): "1@10 stale",
            at("exporter_build_info", 'version="1"', "b"): "1@10 stale",
            'up{job="emr",instance="a:9825"}': "1@10 0@60",
            'up{job="emr",instance="b:9825"}': "1@10 0@60",
        },
        values={(40, number): 2, (40, f"count({table})"): 2},
    )
    alerts = ["EmrSparkExporterUnreachable"]
    assert run_case(real_tool("promtool"), tmp_path, case, alerts) == ""


def test_the_failure_ratio_of_a_queue_is_that_of_all_its_sessions(
    tmp_path: Path, real_tool: Tool
) -> None:
    """1 of 100 sessions in a workspace and the only one in another make 2 of 101."""
    ended = f"queue_state:{PREFIX}livy_sessions_ended:increase1h"
    other = QUEUE.replace('"w"', '"v"')
    case = Case(
        "two workspaces",
        {
            f'{ended}{{{QUEUE},state="error"}}': "1@300",
            f'{ended}{{{QUEUE},state="terminated"}}': "99@300",
            f'{ended}{{{other},state="error"}}': "1@300",
            f'{ended}{{{other},state="terminated"}}': "0@300",
        },
        values={(10, f"round(1000 * {query('fleet', 'Failure ratio by queue')})"): 20},
    )
    assert complaints(real_tool("promtool"), tmp_path, case) == ""


RISING = [
    (
        "fleet",
        "Entries into states in 1 h",
        0,
        f'session_cluster_state_entries_total{{{W},kind="SQL",queue="q",state="error"}}',
    ),
    ("fleet", "Livy sessions started in 1 h", 0, f"livy_sessions_started_total{{{QUEUE}}}"),
    (
        "exporter",
        "Revisions and readmissions in 1 h",
        0,
        f"exporter_usage_revisions_total{{{GATEWAY}}}",
    ),
    (
        "exporter",
        "Revisions and readmissions in 1 h",
        1,
        f"exporter_sessions_readmitted_total{{{GATEWAY}}}",
    ),
]


@pytest.mark.parametrize(("board", "title", "number", "metric"), RISING)
def test_what_happened_in_an_hour_counts_once(
    board: str, title: str, number: int, metric: str, tmp_path: Path, real_tool: Tool
) -> None:
    """Before and after a pod was replaced, and not once for each of two exporters."""
    name, labels = metric[:-1].split("{")
    replaced = {
        **ledger("1000@60 stale"),
        **ledger("_@60 1000@90", "b"),
        at(name, labels): "0+0.5@60 stale",
        at(name, labels, "b"): "_@60 60+0.5@90",
    }
    beside = {**ledger("2000@150", "c"), at(name, labels, "c"): "0+0.5@150"}
    expression = f"round({query(board, title, number)})"
    for series in (replaced, {**replaced, **beside}):
        case = Case("one a minute", series, values={(90, expression): 60})
        assert run_case(real_tool("promtool"), tmp_path, case, ()) == ""


def test_a_past_period_without_usage_is_0(tmp_path: Path, real_tool: Tool) -> None:
    """Where the counter was there at its start and is there now; the rules record nothing then."""
    periods = {"Yesterday": "yesterday", "Last week": "last_week", "Last month": "last_month"}
    total = f"ledger_queue:{PREFIX}livy_cu_hours_total"
    counted = {f'{total}:max{{{QUEUE},ledger="1000"}}': "7@300"}
    starts = {
        f'{total}:{period}_start{{{QUEUE},ledger="1000"}}': "7@10 stale"
        for period in periods.values()
    }
    for series, value in ((counted, None), (starts, None), ({**counted, **starts}, 0.0)):
        case = Case("no usage", series, values=values("usage", periods, value, 100))
        assert complaints(real_tool("promtool"), tmp_path, case) == ""


def test_a_month_without_usage_costs_nothing(tmp_path: Path, real_tool: Tool) -> None:
    """A price that is typed is not asked for."""
    series = {f"queue:{PREFIX}livy_cu_hours:month{{{QUEUE}}}": "0@300"}
    case = Case("no usage", series, values=values("usage", ["Est. cost $currency"], 0))
    assert complaints(real_tool("promtool"), tmp_path, case) == ""


@pytest.mark.parametrize("title", ["CU-hours by queue", "CU-hours by workspace"])
def test_usage_is_listed_also_while_no_name_is_known(
    title: str, tmp_path: Path, real_tool: Tool
) -> None:
    """The rules know what was burned when no exporter runs; the id stands for the name then."""
    expression = query("usage", title, 1)
    recorded = f"queue:{PREFIX}livy_cu_hours:yesterday{{{QUEUE}}}"
    named = f"count by (workspace_name) ({expression}) == on (workspace_name) {NAMED_W}"
    case = Case("no exporter", {recorded: "7@300"}, values={(10, expression): 7, (10, named): 1})
    assert complaints(real_tool("promtool"), tmp_path, case) == ""
