"""The values of the chart: their schema, their comments, and that each has an effect."""

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.support.charts import CHART, SCHEMA, Helm, config_schema, values_file


def test_golden_schema_of_the_settings() -> None:
    """The schema of `config` is the exporter's settings; `make golden` writes it anew."""
    schema = values_schema()
    if os.environ.get("GOLDEN_UPDATE") == "1":
        schema["properties"]["config"] = config_schema()
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        SCHEMA.write_text(text + "\n", encoding="utf-8")
    assert schema["properties"]["config"] == config_schema(), "run `make golden`"


def values_schema() -> dict[str, Any]:
    """Read the schema of the values."""
    return dict(json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_values_and_schema_name_the_same() -> None:
    """What can be set stands in values.yaml; what stands there can be set."""
    schema = values_schema()
    described = set(names(schema, lambda each: each.get("properties", {}))) - {"global"}
    described -= {name for name in described if name.startswith("config.")}
    described.remove("resources.claims")  # of no use here, and Kubernetes has it
    shown = set(names(yaml.safe_load(values_file()), lambda each: each))
    assert {name for name in shown - described if not name.startswith(FREE)} == set()
    assert described - shown == set()


def names(tree: Any, below: Callable[[Any], Any], path: str = "") -> Iterator[str]:  # noqa: ANN401  as JSON has it
    """Name everything in a tree by its path."""
    inner = below(tree) if isinstance(tree, dict) else {}
    for key, value in inner.items():
        name = f"{path}.{key}".removeprefix(".")
        yield name
        yield from names(value, below, name)


def test_every_value_is_used() -> None:
    """None of the values is without effect: a template reads it, or what it is a part of."""
    templates = "".join(path.read_text("utf-8") for path in (CHART / "templates").rglob("*.*"))
    own = names(yaml.safe_load(values_file()), lambda each: each)
    looked_into = [name for name in own if not name.startswith(FREE)]
    read = set(re.findall(r'[."](\w+)', templates))
    assert [name for name in looked_into if name.rpartition(".")[2] not in read] == []


def test_no_empty_line_drops_a_default() -> None:
    """`replicaCount:` alone is null, with which Helm removes the default: the schema wants one."""
    assert [*removable(values_schema(), yaml.safe_load(values_file()))] == []


def removable(schema: dict[str, Any], values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Name the values that are not empty, and that the schema does not require."""
    for key, value in values.items():
        if value and not f"{path}{key}.".startswith(FREE):
            if key not in schema["required"]:
                yield f"{path}{key}"
            below = schema["properties"][key]
            if "properties" in below:
                yield from removable(below, value, f"{path}{key}.")


@pytest.mark.real
def test_values_that_are_empty_anyway_may_be_null(helm: Helm) -> None:
    """As `commonLabels:` is when all that stands below it is a comment."""
    given = {part: {"enabled": True} for part in OPTIONAL}
    empty = emptied(yaml.safe_load(values_file()))
    null = {**empty, **{part: {**empty[part], "enabled": True} for part in OPTIONAL}, "demo": True}
    assert helm.render(null) == helm.render({**given, "demo": True})


OPTIONAL = ("serviceMonitor", "prometheusRule", "dashboards", "networkPolicy")


def emptied(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that are empty, each as null; what is handed on as it is stays out."""
    return {
        key: emptied(value) if value else None
        for key, value in values.items()
        if f"{key}." not in FREE and (not value or isinstance(value, dict))
    }


FREE = ("dashboards.labels.", "resources.", "podSecurityContext.", "securityContext.")
"""Parts that are handed on as they are."""
