"""The dashboard *Fleet*: what runs, in which state, for how long, and what fails."""

from typing import Any

from grafana.parts import (
    CLUSTER_LINK,
    QUEUE,
    SESSION_LINK,
    STATE_COLORS,
    STATUS_PAGE,
    WORKSPACE,
    P,
    Query,
    board,
    exporter_url,
    filled,
    lines,
    number,
    once,
    or_none,
    rows,
    total,
)

CLUSTERS = f'{WORKSPACE},queue=~"$queue"'
LIVE = 'state=~"starting|running|terminating"'
CLUSTER = "workspace_id, session_cluster_id"
SESSION = "workspace_id, livy_compute_id, session_id"
ENDED = "queue_state:emr_serverless_spark_livy_sessions_ended:increase1h"


def _cluster_names(*more: str) -> str:
    """Give the attributes of the session clusters that are chosen, one series for each."""
    labels = ", ".join((CLUSTER, "name", "kind", "queue", "user_name", *more))
    info = f"max by ({labels}) ({P}session_cluster_info{{{CLUSTERS}}})"
    return f"topk by ({CLUSTER}) (1, {info})"


def _session_names() -> str:
    info = f"max by ({SESSION}, name, queue, proxy_user) ({P}livy_session_info{{{QUEUE}}})"
    return f"topk by ({SESSION}) (1, {info})"


def _ages(states: str) -> str:
    """Give the seconds that session clusters have been in their states."""
    state = f"max by ({CLUSTER}, state) ({P}session_cluster_state{{{WORKSPACE}{states}}}) == 1"
    since = f"max by ({CLUSTER}) ({P}session_cluster_state_since_timestamp_seconds)"
    age = f"({state}) * on ({CLUSTER}) group_left () (time() - {since})"
    return (
        f"sum by (session_cluster_id, name, kind, queue, user_name, state) "
        f"(({age}) * on ({CLUSTER}) group_left (name, kind, queue, user_name) {_cluster_names()})"
    )


def _errors() -> str:
    code = f"max by ({CLUSTER}, code) ({P}session_cluster_error_info{{{WORKSPACE}}})"
    since = f"max by ({CLUSTER}) ({P}session_cluster_state_since_timestamp_seconds)"
    age = f"({code}) * on ({CLUSTER}) group_left () (time() - {since})"
    named = f"({age}) * on ({CLUSTER}) group_left (name, kind, queue) {_cluster_names()}"
    return or_none(
        f"sum by (session_cluster_id, name, kind, queue, code) ({named})",
        "name",
        "no cluster is in error",
    )


def _failed_sessions() -> str:
    state = f'max by ({SESSION}, state) ({P}livy_session_state{{{WORKSPACE},state="error"}}) == 1'
    end = f"max by ({SESSION}) ({P}livy_session_end_timestamp_seconds)"
    age = f"({state}) * on ({SESSION}) group_left () (time() - {end})"
    named = f"({age}) * on ({SESSION}) group_left (name, queue, proxy_user) {_session_names()}"
    listed = f"sum by (session_id, name, queue, proxy_user) ({named})"
    return or_none(listed, "name", "no session has failed lately")


def _live_sessions() -> str:
    state = f"max by ({SESSION}, state) ({P}livy_session_state{{{WORKSPACE},{LIVE}}}) == 1"
    used = f"max by ({SESSION}) ({P}livy_session_cu_hours)"
    burned = f"({state}) * on ({SESSION}) group_left () {used}"
    named = f"({burned}) * on ({SESSION}) group_left (name, queue, proxy_user) {_session_names()}"
    listed = f"sum by (session_id, name, queue, proxy_user, state) ({named})"
    return or_none(f"topk(100, {listed})", "name", "no session is live")


def fleet() -> dict[str, Any]:
    """Build the dashboard."""
    clusters = f"{P}session_clusters"
    up = once(f"{P}exporter_target_up{{{WORKSPACE}}}")
    entries = f"{P}session_cluster_state_entries_total{{{CLUSTERS}}}"
    return board(
        "emr-serverless-spark-fleet",
        "EMR Serverless Spark / Fleet",
        "Session clusters and Livy sessions: states, errors, time in state.",
        {
            "Now": (
                number(
                    "Clusters running",
                    "Session clusters in state running.",
                    Query(f'sum({once(f"""{clusters}{{{CLUSTERS},state="running"}}""")})'),
                ),
                number(
                    "Clusters in error",
                    "Session clusters in state error; the list below names them.",
                    Query(f'sum({once(f"""{clusters}{{{CLUSTERS},state="error"}}""")})'),
                    bad_from=1,
                ),
                number(
                    "Live sessions",
                    "Livy sessions that are starting, running or terminating.",
                    Query(f"sum({once(f'{P}livy_sessions{{{QUEUE},{LIVE}}}')})"),
                ),
                number(
                    "Failed in 1 h",
                    "Livy sessions that ended in error in the last hour, also between two polls.",
                    Query(f'round(sum({ENDED}{{{QUEUE},state="error"}}))'),
                    warn_from=1,
                    decimals=0,
                ),
                number(
                    "Failure ratio, 1 h",
                    "Share of the Livy sessions ended in the last hour that ended in error.",
                    Query(
                        f'sum({ENDED}{{{QUEUE},state="error"}})'
                        f" / (sum({ENDED}{{{QUEUE}}}) > 0) or vector(0)"
                    ),
                    unit="percentunit",
                    decimals=0,
                    warn_from=0.1,
                    bad_from=0.25,
                ),
                number(
                    "Failing targets",
                    "Targets whose last poll failed: what is shown of them may be old.",
                    Query(f"count({up} == 0) or vector(0)"),
                    bad_from=1,
                ),
            ),
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
                    Query(
                        "sum by (state) (" + once(f"increase({entries}[1h])") + ")",
                        "{{state}}",
                    ),
                    decimals=0,
                    colors=STATE_COLORS,
                ),
                rows(
                    "Session clusters in error",
                    "With the service's error code and the time since the error was first seen.",
                    Query(_errors()),
                    columns={
                        "name": "Name",
                        "code": "Code",
                        "kind": "Kind",
                        "queue": "Queue",
                        "session_cluster_id": "Id",
                    },
                    value="In error for",
                    unit="s",
                    decimals=0,
                    link=CLUSTER_LINK,
                    height=6,
                ),
                rows(
                    "Session clusters and their time in state",
                    "Every session cluster, and for how long it has been in its state.",
                    Query(_ages("")),
                    columns={
                        "name": "Name",
                        "state": "State",
                        "kind": "Kind",
                        "queue": "Queue",
                        "user_name": "User",
                        "session_cluster_id": "Id",
                    },
                    value="In state for",
                    unit="s",
                    decimals=0,
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
                            "sum by (queue) ("
                            + once(f"increase({P}livy_sessions_started_total{{{QUEUE}}}[1h])")
                            + ")",
                            "queue",
                        ),
                        "{{queue}}",
                    ),
                    decimals=0,
                ),
                lines(
                    "Failure ratio by queue",
                    "Share of the Livy sessions ended in the hour before that ended in error.",
                    Query(
                        filled(
                            "max by (queue) "
                            f"(queue:{P}livy_sessions_ended:failure_ratio1h{{{QUEUE}}})",
                            "queue",
                        ),
                        "{{queue}}",
                    ),
                    unit="percentunit",
                    decimals=0,
                    top=1,
                ),
                rows(
                    "Livy sessions that failed lately",
                    "Ended in error less than sessions.ended-retention ago.",
                    Query(_failed_sessions()),
                    columns={
                        "name": "Name",
                        "queue": "Queue",
                        "proxy_user": "User",
                        "session_id": "Id",
                    },
                    value="Ended ago",
                    unit="s",
                    decimals=0,
                    link=SESSION_LINK,
                    height=6,
                ),
                rows(
                    "Live Livy sessions",
                    "With what they have burned so far; the 100 that burned most.",
                    Query(_live_sessions()),
                    columns={
                        "name": "Name",
                        "state": "State",
                        "queue": "Queue",
                        "proxy_user": "User",
                        "session_id": "Id",
                    },
                    value="CU-hours",
                    decimals=2,
                    link=SESSION_LINK,
                ),
            ),
        },
        since="now-6h",
        extra=(exporter_url(),),
    )
