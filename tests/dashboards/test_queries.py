"""Every query of every panel and rule asks for metrics and labels that there are."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.catalog import CATALOG, Metric
from tests.dashboards.boards import (
    ALERTS,
    BOARDS,
    RECORDS,
    is_of_the_past_or_a_budget,
    panels,
)
from tests.dashboards.promql import (
    Labels,
    QueryError,
    named_labels,
    substituted,
    template_queries,
)
from tests.support.promtool import PREFIX, Case, chosen_groups, run_case, run_test
from tests.support.rule_series import CU, GATEWAY, QUEUE, at, ledger


def problems(catalog: tuple[Metric, ...] = CATALOG) -> list[str]:
    """Hold every query against a catalog; give what it asks for in vain."""
    known = Labels(RECORDS, catalog)
    found = []
    for where, expression, wanted in queries():
        try:
            lacking = wanted - known.of(expression)
        except QueryError as error:
            found.append(f"{where}: {error}")
        else:
            found += [f"{where}: speaks of {lacking}"] if lacking else []
    return found


def queries() -> Iterator[tuple[str, str, set[str]]]:
    """Yield every query, where it stands, and the labels that texts beside it speak of."""
    for name, rule in RECORDS.items():
        yield name, rule["expr"], set()
    for name, rule in ALERTS.items():
        texts = rule["annotations"]["summary"] + rule["annotations"]["description"]
        yield name, rule["expr"], named_labels(texts)
        for query in template_queries(texts):
            yield f"{name}, text", query, set()
    for name, document in BOARDS.items():
        for panel in panels(document):
            columns = {
                each["matcher"]["options"]
                for each in panel["fieldConfig"]["overrides"]
                if panel["type"] == "table"
            }
            columns = {each for each in columns if not re.match("Time|Value", each)}
            for target in panel["targets"]:
                wanted = named_labels(target["legendFormat"]) | columns
                yield f"{name}, {panel['title']}", substituted(target["expr"]), wanted


def test_every_metric_and_label_is_in_the_catalog() -> None:
    """Nothing asks for a metric or a label that the exporter does not have."""
    assert problems() == []


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("session_cluster_state", "state"),
        ("session_cluster_info", "name"),
        ("livy_cu_hours_total", "queue"),
        ("livy_proxy_user_cu_hours_total", "proxy_user"),
        ("exporter_target_up", "source"),
        ("exporter_target_error_info", "reason"),
        ("exporter_discovery_up", "region_id"),
        ("livy_session_info", "proxy_user"),
        ("livy_gateway_info", "name"),
    ],
)
def test_a_renamed_label_is_noticed(metric: str, label: str) -> None:
    """One label with another name in the catalog, and the checks above fail."""
    renamed = tuple(
        replace(each, labels=tuple("other" if own == label else own for own in each.labels))
        if each.name.endswith(f"spark_{metric}")
        else each
        for each in CATALOG
    )
    assert renamed != CATALOG
    assert any(label in problem for problem in problems(renamed))


def test_a_renamed_metric_is_noticed() -> None:
    """One metric less in the catalog, and the checks above fail."""
    for metric in CATALOG:
        fewer = tuple(each for each in CATALOG if each is not metric)
        is_used = any(metric.name in expression for _, expression, _ in queries())
        assert bool(problems(fewer)) == is_used, metric.name


def test_the_dashboards_are_generated_from_what_stands_beside_them() -> None:
    """The JSON files are what `make dashboards` writes, and there are no others."""
    from grafana import generate  # noqa: PLC0415  takes long, and every worker reads this module

    written = {path.name: path.read_text("utf-8") for path in generate.FOLDER.glob("*.json")}
    generated = generate.dashboards().items()
    assert written == {name: generate.text(document) for name, document in generated}


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_is_complete(name: str) -> None:
    """Panels are numbered, explained and named; no series is called `{...}`."""
    document = BOARDS[name]
    ids = [panel["id"] for panel in document["panels"]]
    assert ids == list(range(1, len(ids) + 1))
    titles = [panel["title"] for panel in panels(document)]
    assert len(set(titles)) == len(titles)
    for panel in panels(document):
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            is_named = panel["type"] != "timeseries" or target["legendFormat"] != "__auto"
            assert is_named, panel["title"]
    variables = {each["name"] for each in document["templating"]["list"]}
    assert {"datasource", "workspace", "gateway", "queue"} <= variables
    used = json.dumps(document)
    # Every dashboard has all of them, so that links among them keep what was chosen.
    own = variables - {"queue"}
    assert [each for each in own if not re.search(rf"\$\{{?{each}\b", used)] == []
    assert document["links"][0]["tags"] == ["emr-serverless-spark"]


BURNED_BY = {
    "Queues": (CU, QUEUE),
    "Users by CU-hours, all queues": (
        "livy_proxy_user_cu_hours_total",
        f'{GATEWAY},proxy_user="u"',
    ),
    "Users by vcore-seconds, all queues": (
        "livy_proxy_user_vcore_seconds_total",
        f'{GATEWAY},proxy_user="u"',
    ),
    "Users by MB-seconds, all queues": (
        "livy_proxy_user_mb_seconds_total",
        f'{GATEWAY},proxy_user="u"',
    ),
}
"""The tables of top consumers, and the counters that they add up."""


@pytest.mark.real
@pytest.mark.parametrize("title", BURNED_BY)
def test_the_top_consumers_outlive_a_replaced_pod(
    title: str, tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """What was burned before and after a pod got another address is one sum."""
    (panel,) = (each for each in panels(BOARDS["usage.json"]) if each["title"] == title)
    expression = f"round({substituted(panel['targets'][0]['expr'])})"
    metric, labels = BURNED_BY[title]
    case = Case(
        "an hour of one unit a minute, in two pods",
        {
            **ledger("1000@60 stale"),
            **ledger("_@60 1000@60", "b"),
            at(metric, labels): "100+0.5@60 stale",
            at(metric, labels, "b"): "_@60 160+0.5@60",
        },
        values={(90, expression): 60},
    )
    assert run_case(real_tool("promtool"), tmp_path, case, ()) == ""


@pytest.mark.real
def test_the_replicas_are_shown_with_the_owner_of_the_ledger(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """Since when it owns; one without a ledger that is shared is not among them."""
    (panel,) = (each for each in panels(BOARDS["exporter.json"]) if each["title"] == "Replicas")
    owns, since, usable = (substituted(target["expr"]) for target in panel["targets"])
    series = {
        at("exporter_ledger_up", instance="file"): "1@60",
        at("exporter_ledger_up"): "1@60",
        at("exporter_ledger_up", instance="b"): "0@60",
        at("exporter_lease_holder"): "0@20 1@40",
        at("exporter_lease_holder", instance="b"): "1@20 0@40",
    }
    case = Case(
        "the owner changes after 20 minutes",
        series,
        values={
            (30, owns): 1,
            (15, since): 15 * 60,
            (30, since): 10 * 60,
            (30, f"count({usable})"): 2,
            (30, usable): 1,
        },
    )
    chosen = chosen_groups([], [since])
    assert run_test(real_tool("promtool"), tmp_path, 30, chosen, case.as_test()) == ""


def test_every_dashboard_is_in_the_time_zone_of_the_days_that_are_recorded() -> None:
    """Grafana puts steps of a day at midnight of the dashboard's time zone; the rules know UTC."""
    assert {document["timezone"] for document in BOARDS.values()} == {"utc"}


@pytest.mark.parametrize("name", BOARDS)
def test_choosing_a_queue_filters_a_panel_or_its_title_says_that_it_does_not(name: str) -> None:
    """Where readers can choose a queue, nobody takes the figures of all queues for those of one."""
    document = BOARDS[name]
    shown = {each["name"] for each in document["templating"]["list"] if each.get("hide", 0) == 0}
    unfiltered = {
        panel["title"]
        for panel in panels(document)
        if not any("$queue" in target["expr"] for target in panel["targets"])
    }
    if "queue" in shown:
        assert [title for title in unfiltered if "all queues" not in title] == []


def test_workspaces_and_gateways_are_chosen_by_name() -> None:
    """The ids behind the names follow from them, and are not shown."""
    for document in BOARDS.values():
        variables = {each["name"]: each for each in document["templating"]["list"]}
        for name in ("workspace", "gateway"):
            assert variables[f"{name}_name"].get("hide", 0) == 0
            assert variables[name]["hide"] == 2
            assert f"${name}_name" in variables[name]["query"]
            assert variables[name]["current"]["value"] == "$__all"


def test_no_cost_is_shown_until_a_price_is_typed(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """No price and no currency are invented."""
    (panel,) = (
        each for each in panels(BOARDS["usage.json"]) if each["title"].startswith("Est. cost")
    )
    variables = {each["name"]: each for each in BOARDS["usage.json"]["templating"]["list"]}
    assert variables["cu_price"]["query"] == variables["currency"]["query"] == ""
    expression = panel["targets"][0]["expr"]
    recorded = f"queue:{PREFIX}livy_cu_hours:month{{{QUEUE}}}"
    without, cost = expression.replace("${cu_price:raw}", ""), substituted(expression)
    case = Case(
        "100 CU-hours",
        {recorded: "100@10"},
        values={(5, _plain(without)): None, (5, _plain(cost)): 35},
    )
    assert run_test(real_tool("promtool"), tmp_path, 30, [], case.as_test()) == ""


def test_past_periods_and_budgets_are_shown(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """Every query that is empty on a new demo gives something where there was a month before."""
    from grafana.usage import PERIODS  # noqa: PLC0415  as above

    scope = 'scope="queue",period="month",workspace_id="w",queue="q"'
    series = {
        at("workspace_info", 'workspace_id="w",workspace_name="prod"'): "1@10",
        'calendar:time_seconds:pace{period="month"}': "2@10",
        **{f"queue:{PREFIX}livy_cu_hours:{period}{{{QUEUE}}}": "7@10" for period in PERIODS},
        **{
            f'user:{PREFIX}livy_proxy_user_cu_hours:{period}{{{GATEWAY},proxy_user="u"}}': "7@10"
            for period in PERIODS
        },
        **{
            f"scope:{PREFIX}livy_cu_hours:{name}{{{scope}}}": "7@10"
            for name in ("used", "applied_budget", "projected")
        },
    }
    expressions = {
        substituted(target["expr"])
        for panel in panels(BOARDS["usage.json"])
        for target in panel["targets"]
        if is_of_the_past_or_a_budget(target["expr"])
    }
    values = {(5.0, f"count({each}) > bool 0"): 1.0 for each in expressions}
    assert len(values) > 10
    case = Case("a month later", series, values=values)
    assert run_test(real_tool("promtool"), tmp_path, 30, [], case.as_test()) == ""


def _plain(expression: str) -> str:
    return re.sub(r'"\$\w+"', '".*"', expression)


def test_an_import_asks_for_the_prometheus_and_names_what_it_needs() -> None:
    """Every kind of panel is required, and the data source that is asked for is the chosen one."""
    for document in BOARDS.values():
        (asked,) = document["__inputs"]
        (source,) = (
            each for each in document["templating"]["list"] if each["type"] == "datasource"
        )
        assert source["current"]["value"] == f"${{{asked['name']}}}"
        required = {each["id"] for each in document["__requires"] if each["type"] == "panel"}
        assert required == {panel["type"] for panel in document["panels"]} - {"row"}


def test_starts_of_the_exporter_are_marked() -> None:
    """An annotation on each dashboard asks for what there is."""
    for document in BOARDS.values():
        (annotation,) = document["annotations"]["list"]
        wanted = named_labels(annotation["titleFormat"] + annotation["textFormat"])
        assert wanted <= Labels(RECORDS).of(annotation["expr"])
