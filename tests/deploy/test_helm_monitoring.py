"""What the chart hands to prometheus-operator and to Grafana."""

from typing import Any

import promql_parser
import pytest
import yaml

from tests.deploy.installations import EVERY_SETTING, MATRIX, TLS
from tests.support.charts import Helm, exporter_pod, find
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
    """Give what the operator scrapes."""
    (endpoint,) = find(manifests, "ServiceMonitor")["spec"]["endpoints"]
    return dict(endpoint)


RULES = ("recording", "budgets", "alerts")


def rules_of(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the specification of each PrometheusRule by the last word of its name."""
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


@pytest.mark.real
def test_budgets_can_be_given(helm: Helm) -> None:
    """In the shape of the file, the other rules unchanged."""
    usual, given = rules_of(helm.render(MATRIX["rules"])), rules_of(helm.render(MATRIX["budgets"]))
    assert [given[name] == usual[name] for name in RULES] == [True, False, True]
    (group,), (usual_group,) = given["budgets"]["groups"], usual["budgets"]["groups"]
    (usual_rule,) = usual_group["rules"]
    assert group["name"] == usual_group["name"]
    assert [promql_parser.parse(rule["expr"]) for rule in group["rules"]]
    assert group["rules"] == [
        {**usual_rule, "expr": "vector(1000)", "labels": {"queue": "*"}},
        {**usual_rule, "expr": "vector(2500.5)", "labels": {"queue": "root_queue"}},
    ]


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
