"""Every shipped rule: it is well formed, and does what it says when it should and not otherwise."""

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from tests.dashboards.boards import BOARDS
from tests.rules import cases
from tests.rules.budget_cases import BUDGET_CASES
from tests.rules.cases import BAD, ENDED, FAILED, livy, livy_up
from tests.rules.replica_cases import REPLICA_CASES
from tests.rules.text_cases import TEXT_CASES
from tests.support.golden_files import assert_golden
from tests.support.promtool import FILES, RULES, Case, rules, run_case, texts_of
from tests.support.repository import ADDRESS
from tests.support.rule_series import GATEWAY, QUEUE, alive, at, ledger

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]

ALERTS = rules("alert")
CASES = (*cases.CASES, *BUDGET_CASES, *REPLICA_CASES)
RUNBOOKS = f"{ADDRESS}/blob/main/deploy/prometheus/RUNBOOKS.md"


def test_promtool_finds_nothing_to_object_to(real_tool: Callable[[str], Path]) -> None:
    """The rule files pass `promtool check rules` with every lint made fatal."""
    command: list[str | Path] = [real_tool("promtool"), "check", "rules", "--lint=all"]
    command.append("--lint-fatal")
    done = subprocess.run(
        [*command, *(RULES / name for name in FILES)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("case", "alerts"), CASES, ids=[case.name for case, _ in CASES])
def test_alerts_fire_when_they_should_and_only_then(
    case: Case, alerts: Sequence[str], tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """What promtool's own test runner says of a case."""
    assert run_case(real_tool("promtool"), tmp_path, case, alerts) == ""


def test_every_alert_is_seen_firing_and_silent() -> None:
    """No alert is without a case in which it fires and a moment in which it does not."""
    moments = [names for case, _ in CASES for names in case.fires.values()]
    assert {name for names in moments for name in names} == set(ALERTS)
    quiet = {
        name
        for name in ALERTS
        for case, _ in CASES
        if any(name in names for names in case.fires.values())
        and any(name not in names for names in case.fires.values())
    }
    assert quiet == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_severity_cause_and_advice(name: str) -> None:
    """Each alert has a duration, a severity, texts with the value in them, and its runbook."""
    rule = ALERTS[name]
    assert "for" in rule or "keep_firing_for" in rule
    assert rule["labels"]["severity"] in {"critical", "warning"}
    texts = rule["annotations"]
    assert set(texts) == {"summary", "description", "dashboard_url", "status_url", "runbook_url"}
    assert len(re.findall(r"\nDo: |(?<!\w)Do: ", texts["description"])) == 1
    assert re.search(r" Do: [^.]+(\.[^. ][^.]*)*\.$", texts["description"])
    assert texts["status_url"].startswith("http://127.0.0.1:9825/")
    uid = texts["dashboard_url"].removeprefix("http://127.0.0.1:3000/d/")
    assert uid in {document["uid"] for document in BOARDS.values()}
    assert "$value" in texts["description"] or "$labels.name" in texts["description"]
    headings = re.findall(r"^## (\w+)$", (RULES / "RUNBOOKS.md").read_text("utf-8"), re.MULTILINE)
    assert texts["runbook_url"] == f"{RUNBOOKS}#{name.lower()}"
    assert headings.count(name) == 1


def test_the_texts_of_the_alerts_are_golden(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """What people read when an alert fires, as Prometheus renders it."""
    moments = {
        name: (case, minute)
        for case, _ in reversed(CASES)
        for minute, names in reversed(tuple(case.fires.items()))
        for name in names
    }
    lines: list[str] = []
    for name in ALERTS:
        case, minute = moments[name]
        texts = texts_of(real_tool("promtool"), tmp_path, case, name, minute)
        lines += [name, *texts, ""]
    assert_golden("alerts.txt", "\n".join(lines))


def test_failed_sessions_are_counted_once_and_the_latest_ten_named(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """With the user of each, also where two exporters see them; older failures are not named."""
    series = {**alive(), **ledger(), **livy_up("1@90")}
    for instance in ("a", "b"):
        series |= {**livy(ENDED, "7@30 22@60", BAD, instance), **ledger(instance=instance)}
        for number in range(20):
            session = f'session_id="s-{number}"'
            series[at("livy_session_state", f"{GATEWAY},{session},{BAD}", instance)] = "1@90"
            named = f'{QUEUE},{session},name="etl",proxy_user="u{number}"'
            series[at("livy_session_info", named, instance)] = "1@90"
            end = at("livy_session_end_timestamp_seconds", f"{GATEWAY},{session}", instance)
            series[end] = f"{1000 + number}@90"
    case = Case("fifteen sessions fail, five did before", series)
    _, text = texts_of(real_tool("promtool"), tmp_path, case, FAILED, 33)
    assert "15 Livy session(s) ended in error" in text
    latest = re.findall(r'"etl" of (u\d+) \((s-\d+)\)', text)
    assert latest == [(f"u{number}", f"s-{number}") for number in range(19, 9, -1)]


@pytest.mark.parametrize(
    ("case", "minute", "summary", "beginning"),
    TEXT_CASES,
    ids=[case.name for case, *_ in TEXT_CASES],
)
def test_what_an_alert_says_is_true_and_names_what_it_is_about(
    case: Case,
    minute: float,
    summary: str,
    beginning: str,
    tmp_path: Path,
    real_tool: Callable[[str], Path],
) -> None:
    """Also where a session has no user or queue, and where a figure has fallen to 0."""
    said, description = texts_of(real_tool("promtool"), tmp_path, case, case.only, minute)
    assert said == summary
    assert description.startswith(beginning)


def test_every_record_is_named_level_metric_operation() -> None:
    """Recording rules follow the convention of the Prometheus documentation."""
    assert [name for name in rules("record") if not re.fullmatch(r"\w+:\w+:\w+", name)] == []


def test_the_rules_become_a_prometheusrule_by_indenting_them() -> None:
    """Every file is one `groups:` at the top, so that it is the `spec` of a PrometheusRule."""
    for name in FILES:
        text = (RULES / name).read_text(encoding="utf-8")
        head = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nspec:\n"
        indented = "".join(f"  {line}\n" for line in text.splitlines())
        assert yaml.safe_load(head + indented)["spec"] == yaml.safe_load(text)
