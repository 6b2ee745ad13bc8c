"""Which labels the series of a PromQL expression can have, from the catalog and the rules.

An expression that asks for a metric that does not exist, or for a label that the metric does not
have, never matches anything: Prometheus does not mind, so these checks do.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import promql_parser as promql

from exporter.catalog import CATALOG, Metric

SCRAPED = frozenset({"job", "instance", "namespace", "pod"})
"""What Prometheus adds, `namespace` and `pod` where it discovers pods."""
PROCESS = frozenset(
    {
        *("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"),
        "process_start_time_seconds",
    }
)
ALERT = frozenset(
    {
        *("alertname", "severity", "workspace_id", "livy_compute_id", "session_cluster_id"),
        *("account", "region_id", "name", "queue", "proxy_user", "scope", "period"),
        *("source", "reason", "instance"),
    }
)
"""Labels that alerts have, some of them or all."""
WRITTEN = {
    "scope:emr_serverless_spark_livy_cu_hours:budget": frozenset(
        {"scope", "period", "workspace_id", "queue", "proxy_user"}
    ),
    "session_cluster:emr_serverless_spark_session_cluster_public_endpoint_enabled:accepted": (
        frozenset({"session_cluster_id"})
    ),
}
"""What users record in budgets.yml, with its labels."""
_VARIABLES = {
    "$__rate_interval": "1m",
    "$__range": "1h",
    "$workspace": ".*",
    "$gateway": ".*",
    "$queue": ".*",
    "${cu_price:raw}": "0.35",
}


class QueryError(Exception):
    """An expression asks for what there is not."""


def substituted(expression: str) -> str:
    """Put values where Grafana would."""
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


class Labels:
    """Knows the labels of every metric, and infers those of expressions."""

    def __init__(
        self, records: Mapping[str, Mapping[str, Any]], catalog: tuple[Metric, ...] = CATALOG
    ) -> None:
        self._known: dict[str, frozenset[str]] = dict.fromkeys({*PROCESS, "up"}, SCRAPED)
        self._known |= {"ALERTS": ALERT | {"alertstate"}, "ALERTS_FOR_STATE": ALERT}
        self._known |= WRITTEN
        for metric in catalog:
            own = frozenset(metric.labels) | SCRAPED
            self._known[metric.name] = own
            if metric.kind == "histogram":
                self._known |= {f"{metric.name}_bucket": own | {"le"}}
        self._records = records

    def of(self, expression: str) -> frozenset[str]:
        """Infer the labels of an expression. Raises `QueryError` for what there is not."""
        return self._of(_parsed(expression))

    def of_metric(self, name: str) -> frozenset[str]:
        """Return the labels of a metric, or of what a rule records."""
        if name not in self._known:
            if name not in self._records:
                raise QueryError(f"no metric {name}")
            rule = self._records[name]
            self._known[name] = SCRAPED  # a rule that goes on from its own last value
            self._known[name] = self.of(_without(rule["expr"], name)) | set(rule.get("labels", ()))
        return self._known[name]

    def _of(self, node: Any) -> frozenset[str]:  # noqa: ANN401  the parser's nodes share no type
        infer: Callable[[Any], frozenset[str]] = getattr(self, f"_{type(node).__name__.lower()}")
        return infer(node)

    def _vectorselector(self, node: Any) -> frozenset[str]:  # noqa: ANN401
        labels = self.of_metric(node.name)
        _demand({each.name for each in node.matchers.matchers}, labels, node)
        return labels

    def _matrixselector(self, node: Any) -> frozenset[str]:  # noqa: ANN401
        return self._of(node.vector_selector)

    def _subqueryexpr(self, node: Any) -> frozenset[str]:  # noqa: ANN401
        return self._of(node.expr)

    _parenexpr = _unaryexpr = _subqueryexpr

    def _numberliteral(self, _node: Any) -> frozenset[str]:  # noqa: ANN401
        return frozenset()

    _stringliteral = _numberliteral

    def _call(self, node: Any) -> frozenset[str]:  # noqa: ANN401
        labels = frozenset[str]().union(*(self._of(each) for each in node.args))
        if node.func.name == "label_replace":
            target, source = node.args[1].val, node.args[3].val
            _demand({source} - {""}, labels, node)
            return labels | {target}
        if node.func.name == "absent":
            return frozenset()
        return labels - {"le"} if node.func.name == "histogram_quantile" else labels

    def _aggregateexpr(self, node: Any) -> frozenset[str]:  # noqa: ANN401
        labels = self._of(node.expr)
        keeps = str(node.op) in {"topk", "bottomk"}
        if node.modifier is None:
            return labels if keeps else frozenset()
        named = frozenset(node.modifier.labels)
        _demand(named, labels, node)
        if str(node.op) == "count_values":
            return named | {node.param.val}
        if keeps:
            return labels
        is_by = str(node.modifier.type).endswith("By")
        return named if is_by else labels - named

    def _binaryexpr(self, node: Any) -> frozenset[str]:  # noqa: ANN401
        left, right = self._of(node.lhs), self._of(node.rhs)
        modifier = node.modifier
        operator = str(node.op)
        if modifier is not None and modifier.matching is not None:
            named = frozenset(modifier.matching.labels)
            _demand(named, left, node)
            _demand(named, right, node)
        if operator == "or":
            return left | right
        carried = frozenset(getattr(modifier, "group_labels", None) or ())
        _demand(carried, right, node)
        return (left or right) | carried


@cache
def _parsed(expression: str) -> Any:  # noqa: ANN401
    return promql.parse(expression)


def _demand(wanted: set[str] | frozenset[str], labels: frozenset[str], node: object) -> None:
    lacking = wanted - labels
    if lacking:
        raise QueryError(f"no label {', '.join(sorted(lacking))} in {node}")


def _without(expression: str, name: str) -> str:
    """Return the part of a rule that does not go on from its own last value."""
    head, found, _ = expression.partition("\nor\n")
    return head if found and name in expression else expression


def selectors(node: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield every selector of a parsed expression."""
    if isinstance(node, promql.VectorSelector):
        yield node
    for name in ("lhs", "rhs", "expr", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None:
            yield from selectors(child)
    for child in getattr(node, "args", ()):
        yield from selectors(child)


def named_labels(template: str) -> set[str]:
    """Return the labels that a legend or an annotation speaks of."""
    in_legend = re.findall(r"{{ *(\w+) *}}", template)
    in_annotation = re.findall(r"\$labels\.(\w+)", template)
    return {*in_legend, *in_annotation} - {"end", "else"}


def template_queries(annotation: str) -> list[str]:
    """Return the queries inside an annotation, with something where it puts labels."""
    found = re.findall(r'printf "((?:[^"\\]|\\.)*)"', annotation)
    return [
        each.replace('\\"', '"').replace("%q", '"x"').replace("%v", "1")
        for each in found
        if "{" in each
    ]
