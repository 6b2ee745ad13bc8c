"""The dashboard *Usage and cost*: what Livy sessions burn, by whom, and what that may cost."""

from typing import Any

from grafana.parts import (
    BLUE,
    GATEWAY,
    QUEUE,
    SESSION_LINK,
    P,
    Placed,
    Query,
    board,
    burned,
    exporter_url,
    filled,
    lines,
    number,
    once,
    rows,
    text_variable,
    with_gateway_name,
    with_workspace_name,
)

CU_HOURS = f"{P}livy_cu_hours_total{{{QUEUE}}}"
USER_CU_HOURS = f"{P}livy_proxy_user_cu_hours_total{{{GATEWAY}}}"
LEDGER_USER = f"ledger_user:{P}livy_proxy_user"
DAY = f"queue:{P}livy_cu_hours:day"


def _period(title: str, period: str) -> Placed:
    return number(
        f"CU-hours {title}",
        f"Burned {title}, exactly, from the totals recorded at the start of the period (UTC).",
        Query(f"sum(queue:{P}livy_cu_hours:{period}{{{QUEUE}}})"),
        decimals=1,
        color=BLUE,
    )


def _cost(title: str, period: str) -> Placed:
    return number(
        f"Cost {title}, est.",
        f"CU-hours {title} (UTC) times the price above; an estimate, not a bill.",
        Query(f"sum(queue:{P}livy_cu_hours:{period}{{{QUEUE}}}) * $cu_price"),
        decimals=2,
        color=BLUE,
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
            "CUs in use by user",
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
    """Give what counters rose by in the time that is shown, over replaced pods too.

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
            "So far": (
                _period("today", "day"),
                _period("this week", "week"),
                _period("this month", "month"),
                _cost("today", "day"),
                _cost("this month", "month"),
                number(
                    "Overcounted",
                    "What estimates were revised down by, in total; net = counted - overcounted.",
                    Query(f"sum({once(f'{P}livy_cu_hours_overcounted{{{QUEUE}}}')})"),
                    decimals=2,
                    color=BLUE,
                ),
            ),
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
                    "Burned on the day (UTC) that ends at the bar, exactly; look at a week.",
                    Query(
                        filled(f"sum by (queue) (max_over_time({DAY}{{{QUEUE}}}[1d]))", "queue"),
                        "{{queue}}",
                    ),
                    stacked=True,
                    bars=True,
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
                    "CU-hours in 1 d by user",
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
            "Top consumers in the time shown": (
                rows(
                    "Queues",
                    "CU-hours by queue in the time shown.",
                    Query(_window(f"ledger_queue:{P}livy_cu_hours_total:max", QUEUE, "queue")),
                    columns={"queue": "Queue"},
                    value="CU-hours",
                    decimals=2,
                    width=12,
                    height=6,
                ),
                rows(
                    "Users by CU-hours",
                    "CU-hours by user in the time shown.",
                    Query(_window(f"{LEDGER_USER}_cu_hours_total:max", GATEWAY, "proxy_user")),
                    columns={"proxy_user": "User"},
                    value="CU-hours",
                    decimals=2,
                    width=12,
                    height=6,
                ),
                rows(
                    "Users by vcore-seconds",
                    "Vcore-seconds by user in the time shown.",
                    Query(_window(f"{LEDGER_USER}_vcore_seconds_total:max", GATEWAY, "proxy_user")),
                    columns={"proxy_user": "User"},
                    value="Vcore-seconds",
                    decimals=1,
                    width=12,
                    height=6,
                ),
                rows(
                    "Users by MB-seconds",
                    "MB-seconds by user in the time shown.",
                    Query(_window(f"{LEDGER_USER}_mb_seconds_total:max", GATEWAY, "proxy_user")),
                    columns={"proxy_user": "User"},
                    value="MB-seconds",
                    decimals=1,
                    width=12,
                    height=6,
                ),
                rows(
                    "Sessions",
                    "Live and recently ended Livy sessions that burned most, since their start.",
                    Query(_sessions()),
                    columns={
                        "name": "Name",
                        "queue": "Queue",
                        "proxy_user": "User",
                        "session_id": "Id",
                    },
                    value="CU-hours",
                    decimals=2,
                    link=SESSION_LINK,
                ),
                rows(
                    "Overcounted by queue",
                    "CU-hours that the service took back by revising estimates down.",
                    Query(overcounted),
                    columns={"queue": "Queue"},
                    value="CU-hours",
                    decimals=3,
                    height=6,
                ),
            ),
        },
        since="now-24h",
        timezone="utc",  # Grafana begins the bars of days at its own midnight; the rules know UTC's
        extra=(text_variable("cu_price", "Price of a CU-hour", "0.35"), exporter_url()),
    ) | {"weekStart": "monday"}
