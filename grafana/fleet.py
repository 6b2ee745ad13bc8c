"""The dashboard *Fleet*: what is wrong, since when and why, then what runs in which state."""

from typing import Any

from grafana.board import board, exporter_url
from grafana.parts import (
    BLUE,
    CLUSTER_LINK,
    GATEWAY,
    QUEUE,
    RULES,
    SESSION_LINK,
    STATE_COLORS,
    STATUS_PAGE,
    TARGET,
    WORKSPACE,
    Figure,
    P,
    Placed,
    Query,
    filled,
    lines,
    number,
    once,
    or_none,
    or_zero,
    risen,
    rows,
    total,
    with_figure,
    with_names,
    with_workspace_name,
)

CLUSTERS = f'{WORKSPACE},queue=~"$queue"'
LIVE = 'state=~"starting|running|terminating"'
CLUSTER = "workspace_id, session_cluster_id"
SESSION = "workspace_id, livy_compute_id, session_id"
ENDED = "queue_state:emr_serverless_spark_livy_sessions_ended:increase1h"
UNKNOWN = {"-1": "unknown"}

# Series that tell 0 from unknown where there are no others: see `or_zero`.
CLUSTERS_KNOWN = f'{P}exporter_target_up{{{WORKSPACE},source="session_clusters"}} == 1'
SESSIONS_KNOWN = (
    f'({P}exporter_target_up{{{GATEWAY},source="livy_sessions"}} == 1'
    f" unless on (workspace_id, livy_compute_id) {P}exporter_livy_history_truncated == 1)"
)
ENDS_KNOWN = f"{SESSIONS_KNOWN} and on () {RULES}"


def _cluster_names(*more: str) -> str:
    """Return the attributes of the session clusters that are chosen, one series for each."""
    labels = ", ".join((CLUSTER, "name", "kind", "queue", "user_name", *more))
    info = f"max by ({labels}) ({P}session_cluster_info{{{CLUSTERS}}})"
    return f"topk by ({CLUSTER}) (1, {info})"


def _session_names() -> str:
    info = f"max by ({SESSION}, name, queue, proxy_user) ({P}livy_session_info{{{QUEUE}}})"
    return f"topk by ({SESSION}) (1, {info})"


def _ages(states: str) -> str:
    """Return the seconds that session clusters have been in their states."""
    state = f"max by ({CLUSTER}, state) ({P}session_cluster_state{{{WORKSPACE}{states}}}) == 1"
    since = f"max by ({CLUSTER}) ({P}session_cluster_state_since_timestamp_seconds)"
    age = with_figure(CLUSTER, state, f"time() - {since}")
    return (
        f"sum by (session_cluster_id, name, kind, queue, user_name, state) "
        f"({age} * on ({CLUSTER}) group_left (name, kind, queue, user_name) {_cluster_names()})"
    )


def _errors() -> str:
    code = f"max by ({CLUSTER}, code) ({P}session_cluster_error_info{{{WORKSPACE}}})"
    since = f"max by ({CLUSTER}) ({P}session_cluster_state_since_timestamp_seconds)"
    age = with_figure(CLUSTER, code, f"time() - {since}")
    named = f"{age} * on ({CLUSTER}) group_left (name, kind, queue) {_cluster_names()}"
    return or_none(
        f"sum by (session_cluster_id, name, kind, queue, code) ({named})",
        "name",
        "no cluster is in error",
        CLUSTERS_KNOWN,
    )


def _failed_sessions() -> str:
    """Return the 50 sessions that failed last in the time shown, and how long ago."""
    failed = f'livy_session_state{{{WORKSPACE},state="error"}}'
    state = f"max by ({SESSION}) (last_over_time({P}{failed}[$__range])) == 1"
    end = f"max by ({SESSION}) (last_over_time({P}livy_session_end_timestamp_seconds[$__range]))"
    labels = f"max by ({SESSION}, name, queue, proxy_user)"
    info = f"{labels} (last_over_time({P}livy_session_info{{{QUEUE}}}[$__range]))"
    age = with_figure(SESSION, state, f"time() - {end}")
    names = f"topk by ({SESSION}) (1, {info})"
    named = f"{age} * on ({SESSION}) group_left (name, queue, proxy_user) {names}"
    listed = f"bottomk(50, sum by (session_id, name, queue, proxy_user) ({named}))"
    return or_none(listed, "name", "no session has failed", SESSIONS_KNOWN)


ALERT = (
    "alertname, severity, account, region_id, workspace_id, livy_compute_id, session_cluster_id, "
    "name, queue, proxy_user, scope, period, source, reason, instance"
)
OURS = f'alertname=~"EmrSpark.+",{WORKSPACE[:-1]}|",queue=~"$queue|"'
FIRING = f'max by ({ALERT}) (ALERTS{{{OURS},alertstate="firing"}})'


def _alerts() -> str:
    """Return the seconds for which alerts have been firing or about to."""
    age = f"(time() - max by ({ALERT}) (ALERTS_FOR_STATE{{{OURS}}})) and on ({ALERT}) {FIRING}"
    return or_none(with_workspace_name(age, ALERT), "alertname", "no alert is firing", RULES)


def _failing_targets() -> str:
    """Return the seconds since the last success of what fails, -1 where there was none."""
    target = "source, workspace_id, livy_compute_id"
    reasons = f"max by ({target}, reason) ({P}exporter_target_error_info{{{TARGET}}})"
    success = f"max by ({target}) ({P}exporter_target_last_success_timestamp_seconds)"
    polls = with_figure(target, reasons, f"time() - {success}")
    place = "source, region_id, workspace_id"
    lacking = f'{P}exporter_discovery_error_info{{{WORKSPACE[:-1]}|"}}'
    reasons = f"max by ({place}, reason) ({_as_discovery(lacking)})"
    success = f"{P}exporter_discovery_last_success_timestamp_seconds"
    since = f"time() - max by ({place}) ({_as_discovery(success)})"
    discoveries = with_figure(place, reasons, since)
    by = "source, region_id, workspace_id, livy_compute_id, reason"
    failing = with_names(f"{polls} or {discoveries}", by)
    return or_none(failing, "source", "no target fails", f"{P}exporter_target_up{{{TARGET}}}")


def _as_discovery(expr: str) -> str:
    return f'label_replace({expr}, "source", "discovery", "", "")'


def _live_sessions() -> str:
    state = f"max by ({SESSION}, state) ({P}livy_session_state{{{WORKSPACE},{LIVE}}}) == 1"
    used = f"max by ({SESSION}) ({P}livy_session_cu_hours)"
    burned = with_figure(SESSION, state, used)
    named = f"{burned} * on ({SESSION}) group_left (name, queue, proxy_user) {_session_names()}"
    listed = f"sum by (session_id, name, queue, proxy_user, state) ({named})"
    return or_none(f"topk(100, {listed})", "name", "no session is live", SESSIONS_KNOWN)


def _failure_ratio(by: str = "") -> str:
    """Return the share of the sessions ended in an hour that failed, where any ended."""
    failed, ended = f'{ENDED}{{{QUEUE},state="error"}}', f"{ENDED}{{{QUEUE}}}"
    return f"sum by ({by}) ({failed}) / (sum by ({by}) ({ended}) > 0)"


def _numbers() -> tuple[Placed, ...]:
    clusters = f"{P}session_clusters"
    up = once(f"{P}exporter_target_up{{{TARGET}}}")
    return (
        number(
            "Firing alerts",
            "Alerts of the shipped rules that are firing; the list below names them.",
            Query(or_zero(f"count({FIRING})", RULES)),
            bad_from=1,
        ),
        number(
            "Clusters in error",
            "Session clusters in state error; the list below names them.",
            Query(
                or_zero(
                    f'sum({once(f"""{clusters}{{{CLUSTERS},state="error"}}""")})', CLUSTERS_KNOWN
                )
            ),
            bad_from=1,
        ),
        number(
            "Failed in 1 h",
            "Livy sessions that ended in error in the last hour, also between two polls.",
            Query(or_zero(f'round(sum({ENDED}{{{QUEUE},state="error"}}))', ENDS_KNOWN)),
            warn_from=1,
            decimals=0,
        ),
        number(
            "Failure ratio, 1 h",
            "Share of the Livy sessions ended in the last hour that ended in error.",
            Query(or_zero(_failure_ratio(), ENDS_KNOWN)),
            unit="percentunit",
            decimals=0,
            warn_from=0.1,
            bad_from=0.25,
        ),
        number(
            "Failing, all queues",
            "Targets whose last poll failed: what is shown of them may be old.",
            Query(or_zero(f"count({up} == 0)", up)),
            bad_from=1,
        ),
        number(
            "Live sessions",
            "Livy sessions that are starting, running or terminating.",
            Query(or_zero(f"sum({once(f'{P}livy_sessions{{{QUEUE},{LIVE}}}')})", SESSIONS_KNOWN)),
            color=BLUE,
        ),
    )


def _wrong() -> tuple[Placed, ...]:
    """Answer what is wrong, since when, which session, and why."""
    return (
        *_numbers(),
        rows(
            "Firing alerts, and for how long",
            "Of the shipped rules, where this Prometheus evaluates them.",
            Figure("Since", Query(_alerts()), unit="s", decimals=0),
            columns={
                "alertname": "Alert",
                "severity": "Severity",
                "workspace_name": "Workspace",
                "livy_compute_id": "Gateway",
                "name": "Session cluster",
                "queue": "Queue",
                "proxy_user": "User",
                "scope": "Budget of",
                "period": "Period",
                "source": "Source",
                "reason": "Reason",
                "account": "Account",
                "region_id": "Region",
                "instance": "Exporter",
            },
            link=f"{STATUS_PAGE}#verdict",
            height=5,
        ),
        rows(
            "Session clusters in error, and why",
            "The service's code, and the time since the error was first seen. The link of a name "
            "leads to its row on the status page, with the message and the Spark UI.",
            Figure("In error for", Query(_errors()), unit="s", decimals=0, texts=UNKNOWN),
            columns={
                "name": "Name",
                "code": "Code",
                "kind": "Kind",
                "queue": "Queue",
                "session_cluster_id": "Id",
            },
            link=CLUSTER_LINK,
            link_title=WHY,
            width=12,
            height=5,
        ),
        rows(
            "Livy sessions that failed in the time shown",
            "The latest 50. The link of a name leads to its row on the status page, with the "
            "message and the Spark UI; the exporter's log has both for older ones.",
            Figure("Ended ago", Query(_failed_sessions()), unit="s", decimals=0, texts=UNKNOWN),
            columns={
                "name": "Name",
                "proxy_user": "User",
                "queue": "Queue",
                "session_id": "Id",
            },
            link=SESSION_LINK,
            link_title=WHY,
            ascending=True,
            width=12,
            height=5,
        ),
        rows(
            "What is not polled, and why (all queues)",
            "Targets and discoveries whose last attempt failed; what is shown of them may be old.",
            Figure(
                "Last success ago",
                Query(_failing_targets()),
                unit="s",
                decimals=0,
                texts={"-1": "never"},
            ),
            columns={
                "source": "Source",
                "reason": "Reason",
                "workspace_name": "Workspace",
                "name": "Gateway",
                "region_id": "Region",
            },
            link=f"{STATUS_PAGE}#targets",
            height=4,
        ),
    )


WHY = "Why: message and Spark UI"


def fleet() -> dict[str, Any]:
    """Build the dashboard."""
    clusters = f"{P}session_clusters"
    entries = f"{P}session_cluster_state_entries_total{{{CLUSTERS}}}"
    return board(
        "emr-serverless-spark-fleet",
        "EMR Serverless Spark / Fleet",
        "Session clusters and Livy sessions: states, errors, time in state.",
        {
            "What is wrong": _wrong(),
            "Session clusters": (
                lines(
                    "Session clusters by state",
                    "How many session clusters are in each state.",
                    Query(total("state", f"{clusters}{{{CLUSTERS}}}"), "{{state}}"),
                    stacked=True,
                    decimals=0,
                    colors=STATE_COLORS,
                ),
                lines(
                    "Entries into states in 1 h",
                    "How often session clusters entered a state in the hour before.",
                    Query(risen("state", entries), "{{state}}"),
                    decimals=0,
                    colors=STATE_COLORS,
                ),
                rows(
                    "Session clusters and their time in state",
                    "Every session cluster, and for how long it has been in its state.",
                    Figure("In state for", Query(_ages("")), unit="s", decimals=0, texts=UNKNOWN),
                    columns={
                        "name": "Name",
                        "state": "State",
                        "kind": "Kind",
                        "queue": "Queue",
                        "user_name": "User",
                        "session_cluster_id": "Id",
                    },
                    link=f"{STATUS_PAGE}#clusters",
                ),
            ),
            "Livy sessions": (
                lines(
                    "Live sessions by queue",
                    "Livy sessions that are starting, running or terminating.",
                    Query(
                        filled(total("queue", f"{P}livy_sessions{{{QUEUE},{LIVE}}}"), "queue"),
                        "{{queue}}",
                    ),
                    stacked=True,
                    decimals=0,
                ),
                lines(
                    "Livy sessions ended in 1 h",
                    "How sessions ended in the hour before; unknown: it vanished while open.",
                    Query(f"sum by (state) ({ENDED}{{{QUEUE}}})", "{{state}}"),
                    decimals=0,
                    colors=STATE_COLORS,
                ),
                lines(
                    "Livy sessions started in 1 h",
                    "Livy sessions that were seen for the first time in the hour before.",
                    Query(
                        filled(
                            risen("queue", f"{P}livy_sessions_started_total{{{QUEUE}}}"), "queue"
                        ),
                        "{{queue}}",
                    ),
                    decimals=0,
                ),
                lines(
                    "Failure ratio by queue",
                    "Share of the Livy sessions ended in the hour before that ended in error.",
                    Query(filled(_failure_ratio("queue"), "queue"), "{{queue}}"),
                    unit="percentunit",
                    decimals=0,
                    top=1,
                ),
                rows(
                    "Live Livy sessions",
                    "With what they have burned so far; the 100 that burned most.",
                    Figure("CU-hours", Query(_live_sessions()), decimals=2, texts=UNKNOWN),
                    columns={
                        "name": "Name",
                        "state": "State",
                        "queue": "Queue",
                        "proxy_user": "User",
                        "session_id": "Id",
                    },
                    link=SESSION_LINK,
                ),
            ),
        },
        since="now-6h",
        extra=(exporter_url(),),
    )
