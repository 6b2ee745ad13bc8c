"""Every query of every panel and rule asks for metrics and labels that there are."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.catalog import CATALOG, Metric
from grafana.generate import FOLDER, text
from tests.dashboards.boards import ALERTS, BOARDS, RECORDS, panels
from tests.dashboards.promql import (
    Labels,
    QueryError,
    named_labels,
    substituted,
    template_queries,
)
from tests.support.promtool import Case, run_case
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
    """Give every query, where it stands, and the labels that texts beside it speak of."""
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
            } - {"Time", "Value"}
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
    written = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")}
    assert written == {name: text(document) for name, document in BOARDS.items()}


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
    assert all(f"${each}" in used or f"${{{each}}}" in used for each in own)
    assert document["links"][0]["tags"] == ["emr-serverless-spark"]


BURNED_BY = {
    "Queues": (CU, QUEUE),
    "Users by CU-hours": ("livy_proxy_user_cu_hours_total", f'{GATEWAY},proxy_user="u"'),
    "Users by vcore-seconds": (
        "livy_proxy_user_vcore_seconds_total",
        f'{GATEWAY},proxy_user="u"',
    ),
    "Users by MB-seconds": ("livy_proxy_user_mb_seconds_total", f'{GATEWAY},proxy_user="u"'),
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


def test_bars_of_days_are_drawn_from_midnight_of_the_days_that_are_recorded() -> None:
    """Grafana puts steps of a day at midnight of the dashboard's time zone; the rules know UTC."""
    for name, document in BOARDS.items():
        has_days = any(panel.get("interval") == "1d" for panel in panels(document))
        assert document["timezone"] == ("utc" if has_days else "browser"), name
