"""What the chart hands to prometheus-operator and to Grafana."""

import json
from typing import Any

import promql_parser
import pytest
import yaml

from tests.deploy.installations import EVERY_SETTING, MATRIX, TLS
from tests.support.charts import CHART, Helm, exporter_pod, find
from tests.support.promtool import rules
from tests.support.repository import ROOT


@pytest.mark.real
def test_the_scrape_finds_the_page(helm: Helm) -> None:
    """Path and scheme follow the settings; labels of the pod's place are left out."""
    assert endpoint_of(helm.render(TLS))["scheme"] == "https"
    moved = helm.render({**EVERY_SETTING, "serviceMonitor": {"enabled": True}})
    endpoint = endpoint_of(moved)
    assert (endpoint["path"], endpoint["scheme"]) == ("/emr/metrics", "http")
    assert endpoint["relabelings"] == [
        {"action": "labeldrop", "regex": "container|endpoint|service"}
    ]
    monitor, service = find(moved, "ServiceMonitor"), find(moved, "Service")
    labels = service["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["spec"]["jobLabel"] in labels
    (port,) = service["spec"]["ports"]
    assert endpoint["port"] == port["name"]
    assert service["spec"]["selector"].items() <= exporter_pod(moved)["metadata"]["labels"].items()


def endpoint_of(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the operator scrapes."""
    (endpoint,) = find(manifests, "ServiceMonitor")["spec"]["endpoints"]
    return dict(endpoint)


RULES = ("recording", "budgets", "alerts")


def rules_of(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the specification of each PrometheusRule by the last word of its name."""
    return {
        each["metadata"]["name"].rpartition("-")[2]: each["spec"]
        for each in manifests
        if each["kind"] == "PrometheusRule"
    }


@pytest.mark.real
def test_the_rules_are_those_of_the_files(helm: Helm) -> None:
    """Group by group, templates of alerts untouched."""
    folder = ROOT / "deploy" / "prometheus"
    files = {name: yaml.safe_load((folder / f"{name}.yml").read_text("utf-8")) for name in RULES}
    assert rules_of(helm.render(MATRIX["rules"])) == files


BUDGET = "scope:emr_serverless_spark_livy_cu_hours:budget"
ACCEPTED = "session_cluster:emr_serverless_spark_session_cluster_public_endpoint_enabled:accepted"


@pytest.mark.real
def test_budgets_can_be_given(helm: Helm) -> None:
    """For workspaces, queues and users, a day and a month; the other rules are unchanged."""
    usual, given = rules_of(helm.render(MATRIX["rules"])), rules_of(helm.render(MATRIX["budgets"]))
    assert [given[name] == usual[name] for name in RULES] == [True, False, True]
    (group,), (usual_group,) = given["budgets"]["groups"], usual["budgets"]["groups"]
    assert group["name"] == usual_group["name"]
    *budgets, accepted = group["rules"]
    root_queue = {"scope": "queue", "workspace_id": "w-1", "queue": "root_queue"}
    assert [(rule["expr"], rule["labels"]) for rule in budgets] == [
        ("vector(40000)", {"scope": "workspace", "period": "month", "workspace_id": "w-1"}),
        ("vector(2500.5)", {**root_queue, "period": "day"}),
        ("vector(50000)", {**root_queue, "period": "month"}),
        ("vector(1000)", {"scope": "queue", "period": "day", "queue": "*"}),
        ("vector(300)", {"scope": "user", "period": "month", "proxy_user": "ann"}),
    ]
    assert {rule["record"] for rule in budgets} == {BUDGET}
    assert accepted == {
        "record": ACCEPTED,
        "expr": "vector(1)",
        "labels": {"session_cluster_id": "sc-1"},
    }


@pytest.mark.real
def test_budgets_of_queues_for_a_day_have_a_short_form(helm: Helm) -> None:
    """Hours by queue, the one for all others among them."""
    chosen = {"enabled": True, "budgets": {"*": 1000, "root_queue": 2500}}
    spec = rules_of(helm.render({**MATRIX["rules"], "prometheusRule": chosen}))["budgets"]
    assert [(rule["expr"], rule["labels"]["queue"]) for rule in spec["groups"][0]["rules"]] == [
        ("vector(1000)", "*"),
        ("vector(2500)", "root_queue"),
    ]


def alerts_of(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the alerting rules by name."""
    return {
        rule["alert"]: rule
        for group in rules_of(manifests)["alerts"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


@pytest.mark.real
def test_alerts_can_be_changed(helm: Helm) -> None:
    """Disabled, slower, more severe, with labels and links of one's own; the rest stays."""
    usual, given = alerts_of(helm.render(MATRIX["rules"])), alerts_of(helm.render(MATRIX["alerts"]))
    assert usual.keys() - given.keys() == {"EmrSparkSessionClusterPublicEndpoint"}
    changed = {"EmrSparkExporterTargetDown": "30m", "EmrSparkLivySessionFailed": "1m"}
    for name, rule in given.items():
        severity = "critical" if name == "EmrSparkLivyBudgetExceeded" else None
        before = usual[name]["labels"]["severity"]
        assert rule["labels"] == {"severity": severity or before, "team": "data"}
        assert rule.get("for") == changed.get(name, usual[name].get("for"))
        assert rule["annotations"]["dashboard_url"].startswith("https://grafana.example/d/")
        assert "status_url" not in rule["annotations"]


@pytest.mark.real
def test_no_alert_tells_a_time_that_can_be_changed(helm: Helm) -> None:
    """Times and thresholds of the values change no text: it may only tell what was measured."""
    for name, rule in alerts_of(helm.render(MATRIX["rules"])).items():
        said = " ".join([rule["annotations"]["summary"], rule["annotations"]["description"]])
        for word in ("days", *WORDS.get(rule.get("for", ""), ())):
            assert f"for {word}" not in said.lower(), name


WORDS = {
    "1m": ("a minute", "1 minute"),
    "5m": ("5 minutes", "five minutes"),
    "15m": ("15 minutes", "a quarter of an hour"),
    "30m": ("30 minutes", "half an hour"),
    "1h": ("an hour", "1 hour"),
}
"""What a text would call a time."""

THRESHOLDS = {
    "clusterStuckSeconds": "EmrSparkSessionClusterStuck",
    "clusterRunsSeconds": "EmrSparkSessionClusterRunsForDays",
    "failureRatio": "EmrSparkLivyFailureRatioHigh",
    "failureSessions": "EmrSparkLivyFailureRatioHigh",
    "burnFactor": "EmrSparkLivyBurnHigh",
    "burnCuHours": "EmrSparkLivyBurnHigh",
    "throttledRatio": "EmrSparkExporterThrottled",
}


@pytest.mark.real
def test_each_threshold_changes_its_alert_and_no_other(helm: Helm) -> None:
    """A number that occurs nowhere else arrives in the one expression that it belongs to."""
    usual = alerts_of(helm.render(MATRIX["rules"]))
    known = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))["prometheusRule"]
    assert known["thresholds"].keys() == THRESHOLDS.keys()
    for threshold, alert in THRESHOLDS.items():
        chosen = {"enabled": True, "thresholds": {threshold: 0.123}}
        given = alerts_of(helm.render({**MATRIX["rules"], "prometheusRule": chosen}))
        assert {name for name in given if given[name] != usual[name]} == {alert}
        promql_parser.parse(given[alert]["expr"])
        assert "0.123" in given[alert]["expr"]


@pytest.mark.real
@pytest.mark.parametrize(
    "wrong",
    [
        {"disabled": ["EmrSparkNoSuchAlert"]},
        {"for": {"EmrSparkExporterTargetDown": "soon"}},
        {"severities": {"EmrSparkNoSuchAlert": "critical"}},
        {"thresholds": {"burnFactr": 3}},
        {"budgets": [{"queue": "q"}]},
        {"budgets": [{"queue": "q", "user": "ann", "day": 1}]},
        {"budgets": [{"queue": "q", "day": 0}]},
    ],
)
def test_what_is_not_understood_is_refused(helm: Helm, wrong: dict[str, Any]) -> None:
    """A misspelt alert, a time without a unit, a budget of nothing."""
    chosen = {"enabled": True, **wrong}
    assert "prometheusRule" in helm.refusal({**MATRIX["rules"], "prometheusRule": chosen})


def test_the_schema_knows_every_alert() -> None:
    """As `disabled`, `for` and `severities` name them."""
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    given = schema["$defs"]
    assert schema["$defs"]["alert"]["enum"] == [*rules("alert")]
    assert [*given["alertTimes"]["properties"]] == [*rules("alert")]
    assert [*given["alertSeverities"]["properties"]] == [*rules("alert")]


PREFIX = "emr-serverless-spark-"


@pytest.mark.real
def test_the_dashboards_are_those_of_the_files(helm: Helm) -> None:
    """Byte by byte, one ConfigMap each, with the label that the sidecar looks for."""
    found = [
        each
        for each in helm.render(MATRIX["dashboards"])
        if "grafana_dashboard" in each["metadata"]["labels"]
    ]
    folder = ROOT / "grafana" / "dashboards"
    files = {f"{PREFIX}{path.name}": path.read_text("utf-8") for path in folder.glob("*.json")}
    assert {name: text for each in found for name, text in each["data"].items()} == files
    assert len(found) == len(files) == 3
