"""Our exposition as Prometheus would have stored it, written as input of promtool's unit tests."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.catalog import PREFIX
from tests.support.harness import PROMETHEUS, Harness

SCRAPE_SECONDS = 15
POLL_SECONDS = 60
HOLD_SECONDS = 90.0

Event = Callable[[Harness], Awaitable[None] | None]


@dataclass
class Recording:
    """Scrapes of some metrics, one after each interval, from the first on."""

    metrics: tuple[str, ...]
    series: dict[str, list[str]] = field(default_factory=dict)
    scrapes: int = 0

    def scrape(self, samples: Mapping[str, float] | None) -> None:
        """Store a scrape, as Prometheus does; `None` where nobody answered."""
        found = samples or {}
        for name in found.keys() - self.series.keys():
            self.series[name] = ["_"] * self.scrapes
        for name, values in self.series.items():
            if name in found:
                values.append(repr(found[name]))
            else:
                values.append("_" if not values or values[-1] in {"_", "stale"} else "stale")
        self.scrapes += 1

    def input_series(self) -> list[dict[str, str]]:
        """Return what was stored in promtool's own words."""
        return [
            {"series": name, "values": " ".join(values)} for name, values in self.series.items()
        ]


async def record(
    harness: Harness, minutes: int, events: Mapping[int, Event], *metrics: str
) -> Recording:
    """Run an exporter for so many minutes; `events` happen at their minute, before the poll.

    Between the events `stop` and `start` nobody answers.
    """
    recording, is_up = Recording(metrics), True
    for second in range(0, minutes * 60, SCRAPE_SECONDS):
        event = events.get(second // 60) if second % 60 == 0 else None
        if event is stop:
            await harness.stop()
            is_up = False
        elif event is start:
            await harness.restart()
            is_up = True
        elif event is not None and (waiting := event(harness)) is not None:
            await waiting
        if is_up:
            # The page of a process that just started is scraped before its first poll is through.
            if event is not start and second % POLL_SECONDS == 0:
                await harness.poll()
            await harness.tick()
            page = await harness.get("/metrics", PROMETHEUS)
            recording.scrape(_samples(page.text, metrics))
        else:
            recording.scrape(None)
        harness.clock.advance(SCRAPE_SECONDS)
    return recording


def stop(_: Harness) -> None:
    """End the exporter."""


def start(_: Harness) -> None:
    """Start the exporter again, on the same ledger."""


def _samples(text: str, metrics: tuple[str, ...]) -> dict[str, float]:
    """Return the samples of some metrics as they stand on the page."""
    names = tuple(f"{PREFIX}{metric}{{" for metric in metrics)
    lines = [line for line in text.split("\n") if line.startswith(names)]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def unit_test(
    recording: Recording,
    rules: Mapping[str, str],
    expected: Mapping[str, float],
    rule_file: str,
) -> tuple[str, str]:
    """Return a rule file and a test file for promtool, both as JSON, which is YAML.

    `expected` gives, for each expression, its value at the time of the last scrape.
    """
    at = f"{(recording.scrapes - 1) * SCRAPE_SECONDS}s"
    rule_list = [{"record": name, "expr": expression} for name, expression in rules.items()]
    groups = {"groups": [{"name": "recorded", "interval": "5m", "rules": rule_list}]}
    cases: list[dict[str, Any]] = [
        {"expr": expression, "eval_time": at, "exp_samples": [{"labels": "{}", "value": value}]}
        for expression, value in expected.items()
    ]
    tests = {
        "rule_files": [rule_file],
        "evaluation_interval": "5m",
        "tests": [
            {
                "interval": f"{SCRAPE_SECONDS}s",
                "input_series": recording.input_series(),
                "promql_expr_test": cases,
            }
        ],
    }
    return json.dumps(groups), json.dumps(tests)
