"""Unit tests of rules, in the shape that promtool runs: series in, alerts out."""

import json
import re
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.repository import ROOT

RULES = ROOT / "deploy" / "prometheus"
FILES = ("recording.yml", "budgets.yml", "alerts.yml")
PREFIX = "emr_serverless_spark_"


@cache
def groups() -> list[dict[str, Any]]:
    """Return every rule group that is shipped, in the order of the files."""
    found = []
    for name in FILES:
        found += yaml.load((RULES / name).read_text("utf-8"), yaml.CSafeLoader)["groups"]
    return found


def rules(kind: str) -> dict[str, dict[str, Any]]:
    """Return the rules of a kind (`alert` or `record`) by name; those of one name as one rule."""
    found: dict[str, dict[str, Any]] = {}
    for rule in (rule for group in groups() for rule in group["rules"] if kind in rule):
        before = found.get(rule[kind])
        expr = f"({before['expr']}) or ({rule['expr']})" if before else rule["expr"]
        found[rule[kind]] = {**rule, "expr": expr}
    return found


@dataclass(frozen=True)
class Case:
    """What Prometheus scrapes in the course of time, and which alerts fire when.

    Series are named without the prefix, but for Prometheus' own `up`; their values are written in
    minutes: `1@10` is 1 for ten minutes, `5+2@10` rises by 2 with every sample, `_@5` is nothing,
    `stale` ends a series. `fires` gives, for a minute, the alerts that fire then: by name,
    `name:label` of what they are about, or none.
    """

    name: str
    series: Mapping[str, str] | Callable[[], Mapping[str, str]]
    """As a function where it takes long to tell: each worker of a run imports all cases."""
    fires: Mapping[float, Sequence[str]] = field(default_factory=dict)
    values: Mapping[tuple[float, str], float | None] = field(default_factory=dict)
    only: str = ""
    """Look at this alert alone."""
    step: int = 30
    """Seconds between two samples."""
    prometheus: str = ""
    """When Prometheus runs, as values; it always does where this is empty."""

    @property
    def evaluated(self) -> int:
        """Seconds between two evaluations: a minute, as by default, or the step if it is longer."""
        return max(60, self.step)

    def as_test(self) -> dict[str, Any]:
        """Return the test as promtool wants it."""
        checks = [_alerts_at(minute, names, self.only) for minute, names in self.fires.items()]
        checks += [_value_at(*key, value) for key, value in self.values.items()]
        series = self.series() if callable(self.series) else self.series
        return {
            "name": self.name,
            "interval": f"{self.step}s",
            "input_series": [
                {"series": _full(name), "values": notation(values, self.step)}
                for name, values in (*series.items(), *self._gate())
            ],
            "promql_expr_test": checks,
        }

    def _gate(self) -> list[tuple[str, str]]:
        return [(GATE, self.prometheus)] if self.prometheus else []


GATE = "prometheus_runs"
"""The series without which gated rules record nothing, as in an outage of Prometheus."""


def gated(chosen: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return groups whose rules have a result only while Prometheus runs."""
    return [
        {
            **group,
            "rules": [
                {**rule, "expr": f"({rule['expr']}) and on () {GATE}"} for rule in group["rules"]
            ],
        }
        for group in chosen
    ]


def _full(name: str) -> str:
    is_whole = name.startswith(("up{", GATE)) or ":" in name.partition("{")[0]
    return name if is_whole else PREFIX + name


def notation(text: str, step: int) -> str:
    """Translate values written in minutes into promtool's notation, which counts samples."""
    return " ".join(_translated(part, step) for part in text.split())


def _translated(part: str, step: int) -> str:
    if "@" not in part:
        return part
    value, _, minutes = part.partition("@")
    samples = round(float(minutes) * 60 / step)
    if value == "_":
        return f"_x{samples}"
    if "+" in value[1:]:
        return f"{value}x{samples - 1}"
    return f"{value}+0x{samples - 1}"


def _alerts_at(minute: float, names: Sequence[str], only: str) -> dict[str, Any]:
    chosen = f',alertname="{only}"' if only else ""
    return {
        "expr": f'count by (alertname) (ALERTS{{alertstate="firing"{chosen}}})',
        "eval_time": f"{round(minute * 60)}s",
        "exp_samples": [
            {"labels": f'{{alertname="{name}"}}', "value": list(names).count(name)}
            for name in sorted(set(names))
        ],
    }


def _value_at(minute: float, expression: str, value: float | None) -> dict[str, Any]:
    samples = [] if value is None else [{"labels": "{}", "value": value}]
    return {
        "expr": f"sum({expression})",
        "eval_time": f"{round(minute * 60)}s",
        "exp_samples": samples,
    }


def chosen_groups(alerts: Collection[str], expressions: Collection[str]) -> list[dict[str, Any]]:
    """Return the rules of some alerts and expressions, with all the rules that they build on."""
    everything = {**rules("record"), **rules("alert")}
    wanted = set(alerts)
    texts = [*expressions, *(everything[name]["expr"] for name in alerts)]
    while texts:
        text = texts.pop()
        found = {name for name in everything if ":" in name and name in text} - wanted
        wanted |= found
        texts += [everything[name]["expr"] for name in found]
    chosen = [
        {**group, "rules": [each for each in group["rules"] if name_of(each) in wanted]}
        for group in groups()
    ]
    return [group for group in chosen if group["rules"]]


def name_of(rule: Mapping[str, Any]) -> str:
    """Return the name of an alert, or of what a rule records."""
    return str(rule.get("alert") or rule["record"])


def run_case(promtool: Path, folder: Path, case: Case, alerts: Collection[str]) -> str:
    """Run a case against some alerts, and what its values need; give promtool's complaints."""
    chosen = chosen_groups(alerts, [expression for _, expression in case.values])
    chosen = gated(chosen) if case.prometheus else chosen
    return run_test(promtool, folder, case.evaluated, chosen, case.as_test())


def texts_of(promtool: Path, folder: Path, case: Case, alert: str, minute: float) -> list[str]:
    """Return summary and description of an alert that fires at a minute of a case, as rendered."""
    none = {"eval_time": f"{round(minute * 60)}s", "alertname": alert, "exp_alerts": []}
    test = {**case.as_test(), "promql_expr_test": [], "alert_rule_test": [none]}
    complaint = run_test(promtool, folder, case.evaluated, chosen_groups([alert], []), test)
    # promtool tells what it got where it expected none.
    found = [re.search(rf'{name}=("(?:[^"\\]|\\.)*")', complaint) for name in TEXTS]
    return [json.loads(each[1]) for each in found if each]


TEXTS = ("summary", "description")

TEST_RULES = ("sh", "-c", 'ulimit -f 524288 && GOGC=400 exec "$0" test rules "$1"')
"""How to start promtool so that its storage keeps each sample, and with a fifth less CPU.

A test of more than 36 hours lets the storage compact in the background, which may lose the first
sample of a series that appears at that moment (prometheus/prometheus#8365, #16333). A block begins
with a file of 512 MiB, so a limit of 256 MiB (512 KiB blocks of 512 bytes) lets no block be
written; all samples stay in memory, where promtool looks for them, and long tests are faster.

Its heap is small, so Go's garbage collector would run all the time; `GOGC=400` lets it grow more.
"""


def run_test(
    promtool: Path,
    folder: Path,
    step: int,
    chosen: Sequence[Mapping[str, Any]],
    test: Mapping[str, Any],
) -> str:
    """Run a test in promtool's shape against some rules; give promtool's complaints."""
    rule_file = folder / "rules.json"
    rule_file.write_text(json.dumps({"groups": chosen}), encoding="utf-8")
    document = {
        "rule_files": [str(rule_file)],
        "evaluation_interval": f"{step}s",
        "group_eval_order": [group["name"] for group in chosen],
        "tests": [test],
    }
    path = folder / "tests.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    command: list[str | Path] = [*TEST_RULES, promtool, path]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr
