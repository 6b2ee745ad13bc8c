"""What the dashboards are made of: panels with our defaults, and PromQL that recurs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import text as text_panel
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models
from grafana_foundation_sdk.models import text as text_models

P: Final = "emr_serverless_spark_"
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

SCRAPED: Final = f"{P}exporter_build_info"
"""Has a series while an exporter is scraped."""
RULES: Final = "calendar:time_seconds:day_number"
"""Has a series while the recording rules are evaluated."""
_LEDGERS: Final = f"instance:{P}exporter_ledger_created_timestamp_seconds:count_values"

HIDDEN: Final = ("workspace_id", "livy_compute_id", "session_cluster_id")
"""Ids in tables that show names: they tell rows of one name apart."""

Panel = stat.Panel | table.Panel | text_panel.Panel | timeseries.Panel


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
    """Return the increase per second of a counter of Livy usage, by labels."""
    return f"sum by ({by}) ({once(f'rate({metric}[{window}])')})"


def risen(by: str, metric: str, window: str = "1h") -> str:
    """Return the increase of a counter, by labels: over replaced pods too, and of one ledger."""
    ledgers = f"topk by (job, instance) (1, last_over_time({_LEDGERS}[{window}]))"
    rose = f"increase({metric}[{window}]) * on (job, instance) group_left (ledger) {ledgers}"
    return f"sum by ({by}) (max without (ledger) (sum without (instance, pod) ({rose})))"


def with_figure(by: str, series: str, figure: str) -> str:
    """Give series of the value 1 a figure, by labels; -1 where it is not known."""
    return f"(({series}) * on ({by}) group_left () ({figure}) or -1 * ({series}))"


def with_gateway_name(expr: str, by: str = "workspace_id, livy_compute_id") -> str:
    """Add the name of the gateway to series that are told apart by labels."""
    return _named(expr, by, "name", ("workspace_id", "livy_compute_id"), f"{P}livy_gateway_info")


def with_workspace_name(expr: str, by: str = "workspace_id") -> str:
    """Add the name of the workspace to series that are told apart by labels."""
    return _named(expr, by, "workspace_name", ("workspace_id",), f"{P}workspace_info")


def with_names(expr: str, by: str) -> str:
    """Add the names of workspace and gateway to series that are told apart by labels."""
    return with_gateway_name(with_workspace_name(expr, by), by)


def _named(expr: str, by: str, label: str, ids: Sequence[str], info: str) -> str:
    """Add a name; the id where that is not known, such as while no exporter is scraped."""
    on = ", ".join(ids)
    known = f"topk by ({on}) (1, max by ({on}, {label}) ({info}))"
    unnamed = f'label_join({expr}, "{label}", "", "{ids[-1]}")'
    return f"(({expr}) * on ({on}) group_left ({label}) {known} or on ({by}) {unnamed})"


def filled(expr: str, label: str, text: str = "(none)") -> str:
    """Name the series in which a label is empty."""
    return f'label_replace({expr}, "{label}", "{text}", "{label}", "^$")'


def or_zero(expr: str, known: str = SCRAPED) -> str:
    """Show 0 where there is no data although there are series of `known`."""
    return f"{expr} or 0 * count({known})"


def or_none(expr: str, label: str, text: str = "none", known: str = SCRAPED) -> str:
    """Show a text where there is no data although there are series of `known`."""
    none = f'label_replace(0 * count({known}), "{label}", "{text}", "", "")'
    return f"{expr} or {none} unless on () ({expr})"


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
    no_value: str = "",
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
    panel = panel.no_value(no_value) if no_value else panel
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
    period: str = "",
    width: int = 12,
    height: int = 7,
) -> Placed:
    """Draw series over time; the legend below tells them apart."""
    panel = _dressed(timeseries.Panel(), title, description, unit, decimals)
    for position, query in enumerate(queries):
        panel = panel.with_target(_target(query, position, is_instant=False, is_table=False))
    panel = (
        panel.min(0)
        .axis_soft_max(1 if decimals == 0 else 0.1)
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
    if period:
        panel = panel.time_from(period)
    for name, color in (colors or {}).items():
        panel = panel.override_by_name(name, _fixed(color))
    return Placed(panel, width, height)


@dataclass(frozen=True)
class Figure:
    """A column of numbers in a table."""

    heading: str
    query: Query
    unit: str = "none"
    decimals: int | None = None
    warn_from: float | None = None
    bad_from: float | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    """Texts that are shown instead of certain values."""

    def properties(self) -> list[models.DynamicConfigValue]:
        """Return the overrides of the column."""
        shown: dict[str, object] = {"displayName": self.heading, "unit": self.unit}
        if self.decimals is not None:
            shown["decimals"] = self.decimals
        if self.texts:
            options = {value: {"text": text} for value, text in self.texts.items()}
            shown["mappings"] = [{"type": "value", "options": options}]
        if self.bad_from is not None:
            steps = [(None, "text"), (self.warn_from, ORANGE), (self.bad_from, RED)]
            listed = [{"value": value, "color": color} for value, color in steps]
            shown["thresholds"] = {"mode": "absolute", "steps": listed}
            shown["color"] = {"mode": "thresholds"}
            shown["custom.cellOptions"] = {"type": "color-text"}
        return [models.DynamicConfigValue(id_val=name, value=shown[name]) for name in shown]


def rows(  # noqa: PLR0913  the same
    title: str,
    description: str,
    *figures: Figure,
    columns: Mapping[str, str],
    link: str = "",
    link_title: str = "Status page of the exporter",
    sort_by: str = "",
    ascending: bool = False,
    width: int = 24,
    height: int = 8,
) -> Placed:
    """List series in a table: a column for each label, in this order, then the figures.

    Rows are sorted by the first figure, or by what is named, the largest first.
    """
    panel = _dressed(table.Panel(), title, description, "", None).min_width(50)
    for position, figure in enumerate(figures):
        panel = panel.with_target(_target(figure.query, position, is_instant=True, is_table=True))
    names = ["Value"]
    if len(figures) > 1:
        names = [f"Value #{chr(ord('A') + position)}" for position in range(len(figures))]
        panel = panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    order = {name: position for position, name in enumerate([*columns, *names])}
    hidden = dict.fromkeys(("Time", *(name for name in HIDDEN if name not in columns)), True)
    options = {"excludeByName": hidden, "indexByName": order, "renameByName": {}}
    panel = panel.with_transformation(
        models.DataTransformerConfig(id_val="organize", options=options)
    )
    for name, heading in columns.items():
        properties = [models.DynamicConfigValue(id_val="displayName", value=heading)]
        if link and name == next(iter(columns)):
            title_and_url = [{"title": link_title, "url": link}]
            properties.append(models.DynamicConfigValue(id_val="links", value=title_and_url))
        panel = panel.override_by_name(name, properties)
    for name, figure in zip(names, figures, strict=True):
        panel = panel.override_by_name(name, figure.properties())
    first = common.TableSortByFieldState().display_name(sort_by or figures[0].heading)
    return Placed(panel.sort_by([first.desc(not ascending)]), width, height)


def note(title: str, text: str, height: int = 4) -> Placed:
    """Return a panel with a text in Markdown."""
    mode = text_models.TextMode.MARKDOWN
    return Placed(text_panel.Panel().title(title).mode(mode).content(text), 24, height)
