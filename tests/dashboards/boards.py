"""The dashboards and rules that are shipped."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.support.promtool import rules
from tests.support.repository import ROOT

RECORDS, ALERTS = rules("record"), rules("alert")
BOARDS: dict[str, dict[str, Any]] = {
    path.name: json.loads(path.read_text("utf-8"))
    for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
}
"""By file name, as they are in the files: to build them takes a second."""


def is_of_the_past_or_a_budget(expression: str) -> bool:
    """Whether a query is empty on a new demo: of a period that is over, a pace, or a budget."""
    return bool(re.search(r":(yesterday|last_\w+|pace|projected|applied_budget)\b", expression))


def panels(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the panels of a dashboard that ask for something."""
    return (panel for panel in document["panels"] if panel["type"] not in {"row", "text"})
