"""What the dashboards are made of: panels with our defaults, variables, and PromQL that recurs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

P: Final = "emr_serverless_spark_"
TAG: Final = "emr-serverless-spark"
SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

WORKSPACE: Final = 'workspace_id=~"$workspace"'
GATEWAY: Final = f'{WORKSPACE},livy_compute_id=~"$gateway"'
QUEUE: Final = f'{GATEWAY},queue=~"$queue"'
TARGET: Final = f'{WORKSPACE},livy_compute_id=~"$gateway|"'

STATUS_PAGE: Final = "${exporter_url}"
SESSION_LINK: Final = f"{STATUS_PAGE}#session-${{__data.fields.session_id}}"
CLUSTER_LINK: Final = f"{STATUS_PAGE}#cluster-${{__data.fields.session_cluster_id}}"
"""The row of a session, or of a session cluster in error, on the exporter's status page."""

GREEN, ORANGE, RED, BLUE, GREY = "green", "orange", "red", "blue", "#808080"
STATE_COLORS: Final = {
    "starting": BLUE,
    "running": GREEN,
    "stopping": "yellow",
    "terminating": "yellow",
    "stopped": GREY,
    "terminated": "#5794F2",
    "not_started": "#B0B0B0",
    "error": RED,
    "unknown": "purple",
}

Panel = stat.Panel | table.Panel | timeseries.Panel


@dataclass(frozen=True)
class Query:
    """An expression, and how its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Placed:
    """A panel and its size in Grafana's grid, which is 24 wide."""

    panel: Panel
    width: int
    height: int


def once(expr: str) -> str:
    """Drop what tells exporters apart, so that two of them for availability count once."""
    return f"max without (instance, pod) ({expr})"


def total(by: str, expr: str) -> str:
    """Add up by labels what one or several exporters say."""
    return f"sum by ({by}) ({once(expr)})"


def burned(metric: str, by: str, window: str = "$__rate_interval") -> str:
    """Give the increase per second of a counter of Livy usage, by labels."""
    return f"sum by ({by}) ({once(f'rate({metric}[{window}])')})"


def with_gateway_name(expr: str) -> str:
    """Give series that have a gateway its name."""
    info = f"max by (workspace_id, livy_compute_id, name) ({P}livy_gateway_info)"
    one = f"topk by (workspace_id, livy_compute_id) (1, {info})"
    return f"{expr} * on (workspace_id, livy_compute_id) group_left (name) {one}"


def with_workspace_name(expr: str) -> str:
    """Give series that have a workspace its name."""
    info = f"max by (workspace_id, workspace_name) ({P}workspace_info)"
    one = f"topk by (workspace_id) (1, {info})"
    return f"{expr} * on (workspace_id) group_left (workspace_name) {one}"


def filled(expr: str, label: str, text: str = "(none)") -> str:
    """Name the series in which a label is empty."""
    return f'label_replace({expr}, "{label}", "{text}", "{label}", "^$")'


def or_none(expr: str, label: str, text: str = "none") -> str:
    """Say that there is none, where there is none."""
    return f'{expr} or label_replace(vector(0), "{label}", "{text}", "", "") unless on () ({expr})'


def _target(query: Query, number: int, *, is_instant: bool, is_table: bool) -> prometheus.Dataquery:
    built = (
        prometheus.Dataquery()
        .datasource(SOURCE)
        .expr(query.expr)
        .legend_format(query.legend or "__auto")
        .ref_id(chr(ord("A") + number))
        .editor_mode(prometheus_models.QueryEditorMode.CODE)
    )
    if is_table:
        built = built.format(prometheus_models.PromQueryFormat.TABLE)
    return built.instant() if is_instant else built.range()


def _dressed(
    panel: Any,  # noqa: ANN401  the builders share no type
    title: str,
    description: str,
    unit: str,
    decimals: int | None,
) -> Any:  # noqa: ANN401
    panel = panel.title(title).description(description).datasource(SOURCE).unit(unit)
    return panel if decimals is None else panel.decimals(decimals)


def _steps(steps: Sequence[tuple[float | None, str]]) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=value, color=color) for value, color in steps])
    )


def number(  # noqa: PLR0913  what a panel may have
    title: str,
    description: str,
    query: Query,
    *,
    unit: str = "none",
    decimals: int | None = None,
    bad_from: float | None = None,
    warn_from: float | None = None,
    color: str = GREEN,
    shows_name: bool = False,
    width: int = 4,
) -> Placed:
    """Show one number, or the name of a series, in the colour of its threshold."""
    steps: list[tuple[float | None, str]] = [(None, color)]
    steps += [(warn_from, ORANGE)] if warn_from is not None else []
    steps += [(bad_from, RED)] if bad_from is not None else []
    named = Query(query.expr, query.legend or "now")
    panel = _dressed(stat.Panel(), title, description, unit, decimals)
    panel = (
        panel.with_target(_target(named, 0, is_instant=True, is_table=False))
        .color_scheme(_scheme(models.FieldColorModeId.THRESHOLDS))
        .thresholds(_steps(steps))
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    name_or_value = common_models.BigValueTextMode
    panel = panel.text_mode(name_or_value.NAME if shows_name else name_or_value.VALUE)
    return Placed(panel, width, 3)


def _scheme(mode: models.FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)


def _fixed(color: str) -> list[models.DynamicConfigValue]:
    value = {"mode": "fixed", "fixedColor": color}
    return [models.DynamicConfigValue(id_val="color", value=value)]


def lines(  # noqa: PLR0913  the same
    title: str,
    description: str,
    *queries: Query,
    unit: str = "none",
    decimals: int | None = None,
    stacked: bool = False,
    bars: bool = False,
    colors: Mapping[str, str] | None = None,
    top: float | None = None,
    width: int = 12,
    height: int = 7,
) -> Placed:
    """Draw series over time; the legend below tells them apart."""
    panel = _dressed(timeseries.Panel(), title, description, unit, decimals)
    for position, query in enumerate(queries):
        panel = panel.with_target(_target(query, position, is_instant=False, is_table=False))
    panel = (
        panel.min(0)
        .axis_soft_max(1)
        .line_width(1)
        .fill_opacity(30 if stacked or bars else 8)
        .show_points(common_models.VisibilityMode.NEVER)
        .color_scheme(_scheme(models.FieldColorModeId.PALETTE_CLASSIC))
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    )
    if bars:
        panel = panel.draw_style(common_models.GraphDrawStyle.BARS).interval("1d")
    if stacked:
        mode = common_models.StackingMode.NORMAL
        panel = panel.stacking(common.StackingConfig().mode(mode).group("A"))
    if top is not None:
        panel = panel.max(top)
    for name, color in (colors or {}).items():
        panel = panel.override_by_name(name, _fixed(color))
    return Placed(panel, width, height)


def rows(  # noqa: PLR0913  the same
    title: str,
    description: str,
    query: Query,
    *,
    columns: Mapping[str, str],
    value: str,
    unit: str = "none",
    decimals: int | None = None,
    link: str = "",
    width: int = 24,
    height: int = 8,
) -> Placed:
    """List series in a table: a column for each label, in this order, and one for the value."""
    panel = _dressed(table.Panel(), title, description, "", None)
    panel = panel.with_target(_target(query, 0, is_instant=True, is_table=True))
    order = {name: position for position, name in enumerate([*columns, "Value"])}
    panel = panel.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": order,
                "renameByName": {},
            },
        )
    )
    hidden = models.DynamicConfigValue(id_val="custom.hideFrom", value={"viz": True})
    panel = panel.override_by_name("Time", [hidden])
    for name, heading in columns.items():
        properties = [models.DynamicConfigValue(id_val="displayName", value=heading)]
        if link and name == next(iter(columns)):
            title_and_url = [{"title": "Status page of the exporter", "url": link}]
            properties.append(models.DynamicConfigValue(id_val="links", value=title_and_url))
        panel = panel.override_by_name(name, properties)
    shown = [
        models.DynamicConfigValue(id_val="displayName", value=value),
        models.DynamicConfigValue(id_val="unit", value=unit),
    ]
    if decimals is not None:
        shown.append(models.DynamicConfigValue(id_val="decimals", value=decimals))
    panel = panel.override_by_name("Value", shown)
    return Placed(
        panel.sort_by([common.TableSortByFieldState().display_name(value).desc(True)]),
        width,
        height,
    )


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
        .all_value(".*")
        .current(models.VariableOption(text="All", value="$__all"))
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
    timezone: str = "browser",
    extra: Sequence[dashboard.TextBoxVariable] = (),
) -> dict[str, Any]:
    """Lay out a dashboard; give its JSON as Grafana loads it."""
    filters = (
        _variable("workspace", "Workspace", f"label_values({P}workspace_info, workspace_id)"),
        _variable(
            "gateway",
            "Gateway",
            f'label_values({P}livy_gateway_info{{workspace_id=~"$workspace"}}, livy_compute_id)',
        ),
        _variable(
            "queue",
            "Queue",
            f'label_values({{__name__=~"{P}(session_clusters|livy_sessions)",{WORKSPACE}}}, queue)',
        ),
    )
    built = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .time(since, "now")
        .refresh("1m")
        .timezone(timezone)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        .link(
            dashboard.DashboardLink("EMR Serverless Spark")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for variable in (*filters, *extra):
        built = built.with_variable(variable)
    for panel in _laid_out(sections):
        built = (
            built.with_row(panel) if isinstance(panel, dashboard.Row) else built.with_panel(panel)
        )
    return _numbered(built.build())


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
