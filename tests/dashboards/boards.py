"""The dashboards and rules that are shipped."""

from collections.abc import Iterator
from typing import Any

from grafana.generate import dashboards
from tests.support.promtool import rules

RECORDS, ALERTS = rules("record"), rules("alert")
BOARDS = dashboards()


def panels(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the panels of a dashboard that show something."""
    return (panel for panel in document["panels"] if panel["type"] != "row")
