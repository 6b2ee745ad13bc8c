"""The dashboard *Usage and cost*: what Livy sessions burn, by whom, and what that may cost."""

from collections.abc import Mapping
from typing import Any

from grafana.board import board, exporter_url, text_variable
from grafana.parts import (
    BLUE,
    GATEWAY,
    QUEUE,
    RULES,
    SESSION_LINK,
    WORKSPACE,
    Figure,
    P,
    Placed,
    Query,
    burned,
    filled,
    lines,
    note,
    number,
    once,
    or_none,
    or_zero,
    rows,
    with_gateway_name,
    with_workspace_name,
)

CU_HOURS = f"{P}livy_cu_hours_total{{{QUEUE}}}"
USER_CU_HOURS = f"{P}livy_proxy_user_cu_hours_total{{{GATEWAY}}}"
LEDGER_USER = f"ledger_user:{P}livy_proxy_user"
DAY = f"queue:{P}livy_cu_hours:day"


USER_PERIODS = f"user:{P}livy_proxy_user_cu_hours"
PERIODS = {
    "day": "Today",
    "yesterday": "Yesterday",
    "last_week": "Last week",
    "month": "This month",
    "last_month": "Last month",
}
PACE = 'calendar:time_seconds:pace{period="month"}'
SCOPE = "scope, period, workspace_id, queue, proxy_user"


def _burned(period: str) -> str:
    return f"sum(queue:{P}livy_cu_hours:{period}{{{QUEUE}}})"


def _burned_before(period: str) -> str:
    """Return the CU-hours of a past period, 0 where it was counted and nothing was burned."""
    total = f"ledger_queue:{P}livy_cu_hours_total"
    start = f"last_over_time({total}:{period}_start{{{QUEUE}}}[62d])"
    return or_zero(_burned(period), f"{total}:max{{{QUEUE}}} and {start}")


def _number(title: str, description: str, expr: str, no_value: str = "unknown") -> Placed:
    shown = Query(expr)
    return number(
        title,
        description,
        shown,
        unit="locale",
        decimals=1,
        color=BLUE,
        no_value=no_value,
        width=3,
    )


def _numbers() -> tuple[Placed, ...]:
    exactly = "Burned, exactly, from the totals recorded at the borders of the period (UTC)."
    return (
        *(
            _number(title, exactly, expr)
            for title, expr in (
                ("Today", _burned("day")),
                ("Yesterday", _burned_before("yesterday")),
                ("This week", _burned("week")),
                ("Last week", _burned_before("last_week")),
                ("This month", _burned("month")),
                ("Last month", _burned_before("last_month")),
            )
        ),
        _number(
            "At this pace",
            "What this month will come to at its average pace so far; not on its first day.",
            f"{_burned('month')} * on () {PACE}",
            "too early",
        ),
        _number(
            "Est. cost $currency",
            "CU-hours of this month (UTC) times the price typed above; an estimate, not a bill.",
            # Nothing is shown until a price is typed.
            f"{_burned('month')} * (vector(${{cu_price:raw}}+0) > 0)",
            "type a price",
        ),
    )


def _by_period(recorded: str, filters: str, by: str) -> Mapping[str, str]:
    """Return the expression of each period, by the heading of its column."""
    return {
        heading: f"sum by ({by}) ({recorded}:{period}{{{filters}}})"
        for period, heading in PERIODS.items()
    }


def _columns(expressions: Mapping[str, str]) -> tuple[Figure, ...]:
    return tuple(Figure(heading, Query(expr), "locale", 1) for heading, expr in expressions.items())


def _budgets() -> tuple[Figure, ...]:
    recorded = f"scope:{P}livy_cu_hours"
    chosen = f'{{{WORKSPACE[:-1]}|",queue=~"$queue|"}}'
    budget = f"{recorded}:applied_budget{chosen}"
    used = f"{recorded}:used and on ({SCOPE}) {budget}"
    projected = f"{recorded}:projected and on ({SCOPE}) {budget}"

    def named(expr: str) -> Query:
        # Without the name of the metric, by which rows of one budget would differ.
        return Query(with_workspace_name(f"({expr}) + 0", SCOPE))

    def share(expr: str) -> Query:
        return named(f"{expr} / on ({SCOPE}) {budget}")

    return (
        Figure(
            "Used of it",
            Query(or_none(share(f"{recorded}:used").expr, "scope", "no budget is set", RULES)),
            "percentunit",
            0,
            warn_from=0.8,
            bad_from=1,
        ),
        Figure("Used", named(used), "locale", 1),
        Figure("Budget", named(budget), "locale", 0),
        Figure("At this pace", named(projected), "locale", 1),
        Figure(
            "of it",
            share(f"{recorded}:projected"),
            "percentunit",
            0,
            warn_from=0.8,
            bad_from=1,
        ),
    )


SINCE = """\
- **Today, this week, this month and those before**: exact, since 00:00 UTC of the day, of Monday or
  of the 1st, or since Prometheus first scraped the counter, where that is later.
- **Prometheus' counter** `emr_serverless_spark_livy_cu_hours_total`: all that the history listed
  when the ledger was created, and everything since.
- **The status page**: the same total, and what was burned since the exporter started. The tables of
  the time shown are estimates by `increase()`.
"""


def _answers() -> tuple[Placed, ...]:
    """Answer which queue, which user, and whether it is over budget."""
    queue = f"queue:{P}livy_cu_hours"
    by_queue = _by_period(queue, QUEUE, "workspace_id, queue")
    by_workspace = _by_period(queue, QUEUE, "workspace_id")
    by_user = _by_period(USER_PERIODS, GATEWAY, "proxy_user")
    return (
        *_numbers(),
        rows(
            "CU-hours by queue",
            "Exactly, by day, week (from Monday) and month in UTC; empty where none are known.",
            *_columns(
                {
                    heading: with_workspace_name(filled(expr, "queue"), "workspace_id, queue")
                    for heading, expr in by_queue.items()
                }
            ),
            columns={"queue": "Queue", "workspace_name": "Workspace"},
            sort_by="Yesterday",
            width=12,
            height=7,
        ),
        rows(
            "CU-hours by user, all queues",
            "Exactly, as by queue; the counters of users know no queue.",
            *_columns({heading: filled(expr, "proxy_user") for heading, expr in by_user.items()}),
            columns={"proxy_user": "User"},
            sort_by="Yesterday",
            width=12,
            height=7,
        ),
        rows(
            "Budgets: used, and where the day or month ends at this pace",
            "The budgets of budgets.yml or of the chart; a user's are for all workspaces.",
            *_budgets(),
            columns={
                "scope": "Budget of",
                "period": "Period",
                "workspace_name": "Workspace",
                "queue": "Queue",
                "proxy_user": "User",
            },
            height=5,
        ),
        rows(
            "CU-hours by workspace",
            "Exactly, as by queue.",
            *_columns(
                {heading: with_workspace_name(expr) for heading, expr in by_workspace.items()}
            ),
            columns={"workspace_name": "Workspace"},
            sort_by="Yesterday",
            height=5,
        ),
        note("Since when each figure counts", SINCE, height=5),
    )


def _present_rates() -> tuple[Placed, ...]:
    return (
        lines(
            "CUs in use by queue",
            "CU-hours burned per hour, as the service reports them.",
            Query(f"3600 * {filled(burned(CU_HOURS, 'queue'), 'queue')}", "{{queue}}"),
            stacked=True,
        ),
        lines(
            "CUs in use by user, all queues",
            "CU-hours burned per hour by the users for whom sessions run.",
            Query(
                f"3600 * {filled(burned(USER_CU_HOURS, 'proxy_user'), 'proxy_user')}",
                "{{proxy_user}}",
            ),
            stacked=True,
        ),
        lines(
            "CUs in use by gateway",
            "CU-hours burned per hour by gateway.",
            Query(
                f"3600 * {with_gateway_name(burned(CU_HOURS, 'workspace_id, livy_compute_id'))}",
                "{{name}}",
            ),
            stacked=True,
        ),
        lines(
            "CUs in use by workspace",
            "CU-hours burned per hour by workspace.",
            Query(
                f"3600 * {with_workspace_name(burned(CU_HOURS, 'workspace_id'))}",
                "{{workspace_name}}",
            ),
            stacked=True,
        ),
        lines(
            "Vcores in use",
            "Vcore-seconds per second, by queue.",
            Query(
                filled(burned(f"{P}livy_vcore_seconds_total{{{QUEUE}}}", "queue"), "queue"),
                "{{queue}}",
            ),
            stacked=True,
        ),
        lines(
            "Memory in use",
            "MB-seconds per second, by queue; the size of the service's MB is not documented.",
            Query(
                filled(burned(f"{P}livy_mb_seconds_total{{{QUEUE}}}", "queue"), "queue"),
                "{{queue}}",
            ),
            unit="decmbytes",
            stacked=True,
        ),
    )


def _sessions() -> str:
    session = "workspace_id, livy_compute_id, session_id"
    used = f"max by ({session}) ({P}livy_session_cu_hours{{{GATEWAY}}})"
    info = f"max by ({session}, name, queue, proxy_user) ({P}livy_session_info{{{QUEUE}}})"
    named = (
        f"{used} * on ({session}) group_left (name, queue, proxy_user) "
        f"topk by ({session}) (1, {info})"
    )
    return f"topk(20, sum by (session_id, name, queue, proxy_user) ({named}))"


def _window(metric: str, filters: str, by: str) -> str:
    """Return what counters rose by in the time that is shown, over replaced pods too.

    `metric` is recorded: by ledger, which outlives the address at which it was scraped.
    """
    grown = f"max without (ledger) (increase({metric}{{{filters}}}[$__range]))"
    return f"topk(20, {filled(f'sum by ({by}) ({grown})', by)})"


def usage() -> dict[str, Any]:
    """Build the dashboard."""
    overcounted = f"sum by (queue) ({once(f'{P}livy_cu_hours_overcounted{{{QUEUE}}}')})"
    return board(
        "emr-serverless-spark-usage",
        "EMR Serverless Spark / Usage and cost",
        "CU-hours, vcore-seconds and MB-seconds of Livy sessions. Neither list API tells the usage "
        "of session clusters.",
        {
            "Which queue, which user, over budget?": _answers(),
            "In use": _present_rates(),
            "Burned": (
                lines(
                    "CU-hours of today",
                    "Burned since midnight (UTC), exactly; it starts again at 0 each day.",
                    Query(filled(f"sum by (queue) ({DAY}{{{QUEUE}}})", "queue"), "{{queue}}"),
                    stacked=True,
                ),
                lines(
                    "CU-hours of each day",
                    "Burned on the day (UTC) that ends at the bar, exactly; the last 31 days.",
                    Query(
                        filled(f"sum by (queue) (max_over_time({DAY}{{{QUEUE}}}[1d]))", "queue"),
                        "{{queue}}",
                    ),
                    stacked=True,
                    bars=True,
                    period="31d",
                ),
                lines(
                    "CU-hours in 1 h by queue",
                    "Burned in the hour before, against which EmrSparkLivyBurnHigh compares.",
                    Query(
                        filled(
                            f"sum by (queue) (queue:{P}livy_cu_hours:increase1h{{{QUEUE}}})",
                            "queue",
                        ),
                        "{{queue}}",
                    ),
                ),
                lines(
                    "CU-hours in 1 d by user, all queues",
                    "Burned in the day before, by the users for whom sessions run.",
                    Query(
                        filled(
                            "sum by (proxy_user) "
                            f"(user:{P}livy_proxy_user_cu_hours:increase1d{{{GATEWAY}}})",
                            "proxy_user",
                        ),
                        "{{proxy_user}}",
                    ),
                ),
            ),
            "Top consumers in the time shown, estimated": (
                rows(
                    "Queues",
                    "CU-hours by queue in the time shown.",
                    Figure(
                        "CU-hours",
                        Query(_window(f"ledger_queue:{P}livy_cu_hours_total:max", QUEUE, "queue")),
                        unit="locale",
                        decimals=2,
                    ),
                    columns={"queue": "Queue"},
                    width=12,
                    height=6,
                ),
                rows(
                    "Users by CU-hours, all queues",
                    "CU-hours by user in the time shown.",
                    Figure(
                        "CU-hours",
                        Query(_window(f"{LEDGER_USER}_cu_hours_total:max", GATEWAY, "proxy_user")),
                        unit="locale",
                        decimals=2,
                    ),
                    columns={"proxy_user": "User"},
                    width=12,
                    height=6,
                ),
                rows(
                    "Users by vcore-seconds, all queues",
                    "Vcore-seconds by user in the time shown.",
                    Figure(
                        "Vcore-seconds",
                        Query(
                            _window(f"{LEDGER_USER}_vcore_seconds_total:max", GATEWAY, "proxy_user")
                        ),
                        "locale",
                        0,
                    ),
                    columns={"proxy_user": "User"},
                    width=12,
                    height=6,
                ),
                rows(
                    "Users by MB-seconds, all queues",
                    "MB-seconds by user in the time shown.",
                    Figure(
                        "MB-seconds",
                        Query(
                            _window(f"{LEDGER_USER}_mb_seconds_total:max", GATEWAY, "proxy_user")
                        ),
                        "locale",
                        0,
                    ),
                    columns={"proxy_user": "User"},
                    width=12,
                    height=6,
                ),
                rows(
                    "Sessions",
                    "Live and recently ended Livy sessions that burned most, since their start.",
                    Figure("CU-hours", Query(_sessions()), decimals=2),
                    columns={
                        "name": "Name",
                        "queue": "Queue",
                        "proxy_user": "User",
                        "session_id": "Id",
                    },
                    link=SESSION_LINK,
                ),
                rows(
                    "Overcounted by queue",
                    "CU-hours that the service took back by revising estimates down.",
                    Figure("CU-hours", Query(overcounted), decimals=3),
                    columns={"queue": "Queue"},
                    height=6,
                ),
            ),
        },
        since="now-24h",
        extra=(
            text_variable("cu_price", "Price of a CU-hour", ""),
            text_variable("currency", "Currency", ""),
            exporter_url(),
        ),
    )
