"""The dashboard *Exporter*: whether its targets are polled, at which price, and how it fares."""

from typing import Any

from grafana.board import board, exporter_url
from grafana.parts import (
    BLUE,
    STATUS_PAGE,
    TARGET,
    WORKSPACE,
    Figure,
    P,
    Placed,
    Query,
    lines,
    number,
    once,
    or_none,
    or_zero,
    risen,
    rows,
    with_gateway_name,
    with_names,
    with_workspace_name,
)
from grafana.replicas import high_availability

E = f"{P}exporter_"
EVERY_TARGET = "source, workspace_id, livy_compute_id"
OURS = f"* on (job, instance) group_left () max by (job, instance) ({E}build_info)"
TARGET_COLUMNS = {"source": "Source", "workspace_name": "Workspace", "name": "Gateway"}


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({E}{metric}{{{more}}}[$__rate_interval]))"


def _by_target(metric: str, shape: str = "{}") -> tuple[Query, Query]:
    """Show a metric of every target, called by the names of gateways and workspaces."""
    clusters = shape.format(once(f'{E}{metric}{{{TARGET},source="session_clusters"}}'))
    sessions = shape.format(once(f'{E}{metric}{{{TARGET},source="livy_sessions"}}'))
    return (
        Query(with_gateway_name(sessions), "{{name}}"),
        Query(with_workspace_name(clusters), "{{workspace_name}} clusters"),
    )


def _targets() -> tuple[Placed, ...]:
    age = f"time() - {once(f'{E}target_last_success_timestamp_seconds{{{TARGET}}}')}"
    limit = once(f"{E}target_stale_after_seconds{{{TARGET}}}")
    reasons = f"max by ({EVERY_TARGET}, reason) ({E}target_error_info{{{TARGET}}})"
    return (
        rows(
            "States of targets",
            "1: the last finished poll succeeded completely; 0: it failed.",
            Figure(
                "Up",
                Query(
                    with_names(f"max by ({EVERY_TARGET}) ({E}target_up{{{TARGET}}})", EVERY_TARGET)
                ),
            ),
            columns=TARGET_COLUMNS,
            link=f"{STATUS_PAGE}#targets",
            height=6,
        ),
        rows(
            "Targets that fail, and why",
            "The reason of the last failure; the status page and the log say more.",
            Figure(
                "Failing",
                Query(
                    or_none(
                        with_names(reasons, EVERY_TARGET),
                        "source",
                        "no target fails",
                        f"{E}target_up{{{TARGET}}}",
                    )
                ),
            ),
            columns={**TARGET_COLUMNS, "reason": "Reason"},
            link=f"{STATUS_PAGE}#targets",
            height=5,
        ),
        rows(
            "Time until a target is stale",
            "When the gauges of a target are withdrawn if no poll succeeds.",
            Figure(
                "Left",
                Query(with_names(f"max by ({EVERY_TARGET}) ({limit} - ({age}))", EVERY_TARGET)),
                unit="s",
                decimals=0,
            ),
            columns=TARGET_COLUMNS,
            height=6,
        ),
        lines(
            "Age of the last good poll",
            "How old what is shown is, by target.",
            *_by_target("target_last_success_timestamp_seconds", "time() - {}"),
            unit="s",
            width=8,
        ),
        lines(
            "Duration of polls",
            "How long the last finished poll of each target took.",
            *_by_target("target_last_poll_duration_seconds"),
            unit="s",
            width=8,
        ),
        lines(
            "Requests of a poll",
            "HTTP requests that the last finished poll of each target made.",
            *_by_target("target_last_poll_requests"),
            decimals=0,
            width=8,
        ),
        lines(
            "Polls",
            "Finished polls; those skipped while the one before still ran; late ones lacked CPU.",
            Query(_rate("polls_total", "source"), "{{source}}"),
            Query(_rate("polls_skipped_total", "source"), "{{source}} skipped"),
            Query(_rate("polls_late_total", "source"), "{{source}} late"),
            unit="cps",
            width=8,
        ),
        lines(
            "Failed polls by reason",
            "Polls that failed; none is the healthy state.",
            Query(or_none(f"{_rate('poll_failures_total', 'reason')} > 0", "reason"), "{{reason}}"),
            unit="cps",
            width=8,
        ),
        lines(
            "Discovery",
            "1: the last discovery of workspaces, or of the gateways of a workspace, succeeded.",
            Query(
                with_workspace_name(f'max by (workspace_id) ({E}discovery_up{{workspace_id!=""}})'),
                "{{workspace_name}}",
            ),
            Query(
                f'min by (region_id) ({E}discovery_up{{workspace_id=""}})',
                "workspaces in {{region_id}}",
            ),
            decimals=0,
            top=1,
            width=8,
        ),
    )


def _scans(metric: str) -> str:
    pages = f"max by (workspace_id, livy_compute_id) ({E}{metric}{{{TARGET}}})"
    return or_none(with_gateway_name(pages), "name", "no scan")


def _api() -> tuple[Placed, ...]:
    seconds = f"sum by (le) (rate({E}api_request_duration_seconds_bucket[$__rate_interval]))"
    return (
        lines(
            "Requests to the API",
            "HTTP requests per second by action, retries among them, and the limit at present.",
            Query(_rate("api_requests_total", "action"), "{{action}}"),
            Query(f"min by (region_id) ({E}api_request_rate_limit)", "limit {{region_id}}"),
            unit="reqps",
            width=8,
        ),
        lines(
            "Failed requests by reason",
            "Every attempt counts; throttled means that the quota of the account is used up.",
            Query(
                or_none(f"{_rate('api_request_failures_total', 'reason')} > 0", "reason"),
                "{{reason}}",
            ),
            unit="reqps",
            width=8,
        ),
        lines(
            "Time of requests",
            "Time from sending a request to the last byte of its answer: median, 95% and 99%.",
            Query(f"histogram_quantile(0.5, {seconds})", "median"),
            Query(f"histogram_quantile(0.95, {seconds})", "95%"),
            Query(f"histogram_quantile(0.99, {seconds})", "99%"),
            unit="s",
            width=8,
        ),
        lines(
            "Retries and throttled requests",
            "Requests that repeated a failed one, and requests that were refused as too many.",
            Query(f"sum({_rate('api_retries_total', 'action')})", "retries"),
            Query(
                "sum(" + _rate("api_request_failures_total", "action", 'reason="throttled"') + ")",
                "throttled",
            ),
            unit="reqps",
            width=8,
        ),
        lines(
            "Full scans of Livy histories",
            "Pages read and expected, only while a scan is on its way.",
            Query(_scans("livy_walk_pages"), "{{name}} read"),
            Query(_scans("livy_walk_pages_expected"), "{{name}} expected"),
            decimals=0,
            width=8,
        ),
        lines(
            "What could not be understood",
            "Readings of records that were left out, or in a state that is not documented.",
            Query(f"sum({_rate('malformed_records_total', 'source')})", "malformed"),
            Query(f"sum({_rate('unknown_states_total', 'source')})", "unknown state"),
            unit="cps",
            width=8,
        ),
    )


def _ledger() -> tuple[Placed, ...]:
    return (
        lines(
            "Sessions in the ledger",
            "Livy sessions that the ledger remembers.",
            Query(f"{E}ledger_sessions", "{{instance}}"),
            decimals=0,
            width=8,
        ),
        lines(
            "Held series",
            "Counter series that do not show their increases yet (ledger.birth-hold).",
            Query(f"{E}ledger_held_series", "{{instance}}"),
            decimals=0,
            width=8,
        ),
        lines(
            "Failures of the ledger",
            "Attempts to write that failed; none is the healthy state.",
            Query(
                or_none(f"{_rate('ledger_failures_total', 'reason')} > 0", "reason"), "{{reason}}"
            ),
            unit="cps",
            width=8,
        ),
        lines(
            "Revisions and readmissions in 1 h",
            "Estimates revised down; sessions that came back after they were forgotten.",
            Query(risen("", f"{E}usage_revisions_total{{{WORKSPACE}}}"), "revisions"),
            Query(risen("", f"{E}sessions_readmitted_total{{{WORKSPACE}}}"), "readmitted"),
            decimals=0,
            width=8,
        ),
        lines(
            "Sessions without series",
            "Livy sessions beyond sessions.max-series-sessions, by gateway.",
            Query(
                with_gateway_name(
                    "max by (workspace_id, livy_compute_id) "
                    f"({E}sessions_without_series{{{WORKSPACE}}})"
                ),
                "{{name}}",
            ),
            decimals=0,
            width=8,
        ),
        lines(
            "Truncated histories",
            "1: the service stops returning pages before the end of a gateway's history.",
            Query(
                with_gateway_name(
                    "max by (workspace_id, livy_compute_id) "
                    f"({E}livy_history_truncated{{{WORKSPACE}}})"
                ),
                "{{name}}",
            ),
            decimals=0,
            top=1,
            width=8,
        ),
    )


def _process() -> tuple[Placed, ...]:
    return (
        lines(
            "Memory",
            "Resident memory of the process.",
            Query(f"process_resident_memory_bytes {OURS}", "{{instance}}"),
            unit="bytes",
            width=8,
        ),
        lines(
            "CPU",
            "CPU time that the process uses; 100% is one core.",
            Query(f"rate(process_cpu_seconds_total[$__rate_interval]) {OURS}", "{{instance}}"),
            unit="percentunit",
            width=8,
        ),
        lines(
            "Open files",
            "File descriptors that the process holds.",
            Query(f"process_open_fds {OURS}", "{{instance}}"),
            decimals=0,
            width=8,
        ),
    )


def exporter() -> dict[str, Any]:
    """Build the dashboard."""
    up = once(f"{E}target_up{{{TARGET}}}")
    return board(
        "emr-serverless-spark-exporter",
        "EMR Serverless Spark / Exporter",
        "The exporter itself: targets, freshness, API budget, ledger, replicas, process.",
        {
            "Now": (
                number(
                    "Version",
                    "What is running.",
                    Query(f"max by (version) ({E}build_info)", "{{version}}"),
                    shows_name=True,
                    color=BLUE,
                ),
                number(
                    "Targets",
                    "What is polled on its own: the session clusters of a workspace, a gateway.",
                    Query(f"count({up})"),
                    color=BLUE,
                ),
                number(
                    "Failing targets",
                    "Targets whose last poll failed.",
                    Query(or_zero(f"count({up} == 0)", up)),
                    bad_from=1,
                ),
                number(
                    "Age of the ledger",
                    "Time since the ledger was created; counters started with it.",
                    Query(f"time() - max({E}ledger_created_timestamp_seconds)"),
                    unit="s",
                    decimals=0,
                    color=BLUE,
                ),
                number(
                    "Size of the ledger",
                    "Size of the ledger's file.",
                    Query(f"max({E}ledger_size_bytes)"),
                    unit="bytes",
                    decimals=1,
                    color=BLUE,
                ),
                number(
                    "Bad web config",
                    "1: the file of web.config.file was invalid when it was last read.",
                    Query(or_zero(f"max({E}web_config_last_reload_successful == bool 0)")),
                    bad_from=1,
                ),
            ),
            "Targets": _targets(),
            "API": _api(),
            "Ledger": _ledger(),
            "High availability": high_availability(),
            "Process": _process(),
        },
        since="now-6h",
        has_queues=False,
        extra=(exporter_url(),),
    )
