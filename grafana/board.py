"""A whole dashboard: its variables, its layout, and what Grafana asks when it is imported."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from grafana.parts import SOURCE, WORKSPACE, P, Placed

TAG: Final = "emr-serverless-spark"
INPUT: Final = "DS_PROMETHEUS"
GRAFANA: Final = "10.4.0"
"""The oldest version that the dashboards are for."""

PANELS: Final = {
    "stat": "Stat",
    "table": "Table",
    "text": "Text",
    "timeseries": "Time series",
}


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(models.VariableOption(text="All", value="$__all"))
    )


def _ids(name: str, query: str) -> dashboard.QueryVariable:
    """Keep the ids of what is chosen by name; readers do not see it."""
    return _variable(name, name, query).hide(models.VariableHide.HIDE_VARIABLE)


def _filters(*, has_queues: bool) -> tuple[dashboard.QueryVariable, ...]:
    workspaces = f"{P}workspace_info"
    gateways = f"{P}livy_gateway_info"
    queue = _variable(
        "queue",
        "Queue",
        f'label_values({{__name__=~"{P}(session_clusters|livy_sessions)",{WORKSPACE}}}, queue)',
    ).all_value(".*")
    return (
        _variable(
            "workspace_name", "Workspace", f"label_values({workspaces}, workspace_name)"
        ).all_value(".*"),
        _ids(
            "workspace",
            f'label_values({workspaces}{{workspace_name=~"$workspace_name"}}, workspace_id)',
        ),
        _variable(
            "gateway_name", "Gateway", f"label_values({gateways}{{{WORKSPACE}}}, name)"
        ).all_value(".*"),
        _ids(
            "gateway",
            f'label_values({gateways}{{{WORKSPACE},name=~"$gateway_name"}}, livy_compute_id)',
        ),
        queue if has_queues else queue.hide(models.VariableHide.HIDE_VARIABLE),
    )


def text_variable(name: str, label: str, value: str) -> dashboard.TextBoxVariable:
    """Let readers type a value."""
    option = models.VariableOption(text=value, value=value, selected=True)
    return dashboard.TextBoxVariable(name).label(label).default_value(value).current(option)


def exporter_url() -> dashboard.TextBoxVariable:
    """Let readers type where the status page is: links among dashboards keep it."""
    return text_variable("exporter_url", "Exporter URL", "http://127.0.0.1:9825/")


def board(
    uid: str,
    title: str,
    description: str,
    sections: Mapping[str, Sequence[Placed]],
    *,
    since: str,
    has_queues: bool = True,
    extra: Sequence[dashboard.TextBoxVariable] = (),
) -> dict[str, Any]:
    """Lay out a dashboard; give its JSON as Grafana loads it.

    All are in UTC, as the days, weeks and months that the rules record.
    """
    # Where the file is provisioned, nothing is asked, and Grafana takes the first data source.
    asked = f"${{{INPUT}}}"
    source = (
        dashboard.DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .current(models.VariableOption(text=asked, value=asked))
    )
    built = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .time(since, "now")
        .refresh("1m")
        .timezone("utc")
        .with_variable(source)
        .link(
            dashboard.DashboardLink("EMR Serverless Spark")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for variable in (*_filters(has_queues=has_queues), *extra):
        built = built.with_variable(variable)
    for panel in _laid_out(sections):
        built = (
            built.with_row(panel) if isinstance(panel, dashboard.Row) else built.with_panel(panel)
        )
    document = _numbered(built.build())
    return {
        **document,
        "annotations": {"list": [_deployments()]},
        "weekStart": "monday",
        "__inputs": [_INPUT],
        "__requires": _requires(document),
    }


_INPUT: Final = {
    "name": INPUT,
    "label": "Prometheus",
    "description": "The Prometheus that scrapes the exporter and has its rules.",
    "type": "datasource",
    "pluginId": "prometheus",
    "pluginName": "Prometheus",
}


def _requires(document: Mapping[str, Any]) -> list[dict[str, str]]:
    kinds = sorted({panel["type"] for panel in document["panels"]} - {"row"})
    return [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": GRAFANA},
        {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        *({"type": "panel", "id": kind, "name": PANELS[kind], "version": ""} for kind in kinds),
    ]


def _deployments() -> dict[str, Any]:
    """Mark when an exporter started, with its version."""
    version = f"group_left (version) {P}exporter_build_info"
    return {
        "name": "Starts of the exporter",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "enable": True,
        "hide": False,
        "iconColor": "blue",
        "expr": f"1000 * process_start_time_seconds * on (job, instance) {version}",
        "useValueForTime": "on",
        "titleFormat": "Exporter {{version}}",
        "textFormat": "started at {{instance}}",
    }


def _laid_out(sections: Mapping[str, Sequence[Placed]]) -> list[Any]:
    """Put panels side by side until a line of the grid is full."""
    found: list[Any] = []
    y = 0
    for title, panels in sections.items():
        found.append(dashboard.Row(title).grid_pos(models.GridPos(h=1, w=24, x=0, y=y)))
        y += 1
        x = tallest = 0
        for placed in panels:
            if x + placed.width > 24:  # noqa: PLR2004  the width of the grid
                x, y, tallest = 0, y + tallest, 0
            position = models.GridPos(h=placed.height, w=placed.width, x=x, y=y)
            found.append(placed.panel.grid_pos(position))
            x += placed.width
            tallest = max(tallest, placed.height)
        y += tallest
    return found


def _numbered(built: models.Dashboard) -> dict[str, Any]:
    document: dict[str, Any] = _plain(built.to_json())
    for position, panel in enumerate(document["panels"], 1):
        panel["id"] = position
    return document


def _plain(value: Any) -> Any:  # noqa: ANN401  JSON, as the builders give it
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    to_json: Callable[[], object] | None = getattr(value, "to_json", None)
    return _plain(to_json()) if to_json else value
