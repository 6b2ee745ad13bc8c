"""What alerts say where a label is empty, or a figure has fallen to 0."""

from tests.rules.cases import (
    BAD,
    BUDGET,
    BURN,
    ENDED,
    FAILED,
    GOOD,
    IN_ERROR,
    MALFORMED,
    RATIO,
    budget,
    livy,
    livy_up,
    malformed,
)
from tests.support.promtool import Case
from tests.support.rule_series import CLUSTER, CU, GATEWAY, alive, at, ledger, up

_KNOWN = {**alive("1@4000"), **ledger("1000@4000"), **livy_up("1@4000")}
_USER_CU = "livy_proxy_user_cu_hours_total"
_BURN = "0+10@600 1190@200"


def _over_budget(name: str, scope: str, holder: str, series: dict[str, str]) -> Case:
    limit = budget("1000@800", scope, "day", holder)
    return Case(name, {**_KNOWN, **limit, **series}, only=BUDGET, step=300)


TEXT_CASES = (
    (
        _over_budget(
            "sessions without a user exceed the budget for every user",
            "user",
            'proxy_user="*"',
            {at(_USER_CU, GATEWAY): _BURN},
        ),
        590,
        "User (no user) is over budget today.",
        "The sessions of user (no user) have used 1180.0 CU-hours today (UTC),",
    ),
    (
        _over_budget(
            "the users beyond the limit exceed a budget of their own",
            "user",
            'proxy_user="_other"',
            {at(_USER_CU, f'{GATEWAY},proxy_user="_other"'): _BURN},
        ),
        590,
        "User _other is over budget today.",
        "The sessions of user _other have used 1180.0 CU-hours today (UTC),",
    ),
    (
        _over_budget(
            "sessions without a queue exceed the budget for every queue",
            "queue",
            'queue="*"',
            {at(CU, GATEWAY): _BURN},
        ),
        590,
        "Queue (no queue) of workspace w is over budget today.",
        "The sessions of queue (no queue), workspace w, have used 1180.0 CU-hours today (UTC),",
    ),
    (
        Case(
            "a cluster without a queue is in error",
            {
                **alive(),
                **up("1@60"),
                at("session_cluster_state", f'{CLUSTER},state="error"'): "1@60",
                at("session_cluster_info", f'{CLUSTER},name="etl",kind="SQL"'): "1@60",
            },
            only=IN_ERROR,
        ),
        12,
        'Session cluster "etl" is in error.',
        'Session cluster "etl" (sc, SQL, queue (no queue)) of workspace w is in state Error.',
    ),
    (
        Case(
            "a session without a queue fails",
            {**_KNOWN, at(ENDED, f"{GATEWAY},{BAD}"): "7@30 8@60"},
            only=FAILED,
        ),
        33,
        "1 Livy session(s) failed in queue (no queue).",
        "In queue (no queue) (gateway lc, workspace w), 1 Livy session(s) ended in error",
    ),
    (
        Case(
            "sessions without a queue fail",
            {
                **_KNOWN,
                at(ENDED, f"{GATEWAY},{BAD}"): "0@20 0+1@20 39@20",
                at(ENDED, f"{GATEWAY},{GOOD}"): "0@20 0+1@20 39@20",
            },
            only=RATIO,
        ),
        40,
        "50% of the Livy sessions of queue (no queue) fail.",
        "In queue (no queue) (gateway lc, workspace w), 50% of the Livy sessions that ended",
    ),
    (
        Case(
            "sessions without a queue burn ten times as much as before",
            {**_KNOWN, at(CU, GATEWAY): "0+5@3240 3240+50@100"},
            only=BURN,
            step=300,
        ),
        3300,
        "Queue (no queue) burns far more CU-hours than in the days before.",
        "The Livy sessions of queue (no queue) (gateway lc, workspace w) burn 600 CU-hours",
    ),
    (
        Case(
            "a third of the sessions fails, and then polls do, for longer than the hour",
            {
                **alive(),
                **ledger(),
                **livy_up("1@35 0@180"),
                **livy(ENDED, "0@20 0+1@10 19@250", BAD),
                **livy(ENDED, "0@30 0+5@4 35@250", GOOD),
            },
            only=RATIO,
        ),
        120,
        "35.19% of the Livy sessions of queue q fail.",
        "In queue q (gateway lc, workspace w), 35.19% of the Livy sessions that ended",
    ),
    (
        Case(
            "another replica took over an hour ago; the first one knows more malformed records",
            {
                **alive("1@200"),
                **malformed("0@20 0+5@10 95@100", "0@20 5@110"),
                **malformed("0@30 0+2@100", "0@30 2@100", "b"),
            },
            only=MALFORMED,
        ),
        90,
        "2 record(s) of livy_sessions cannot be understood.",
        "2 record(s) of livy_sessions cannot be understood. They are left out",
    ),
    (
        Case(
            "the exporter is replaced by one that understands all records but one",
            {
                **alive("1@200"),
                **malformed("0@20 0+5@10 stale", "0@20 5@10 stale"),
                **malformed("_@31 0+1@60", "_@31 1@60", "b"),
            },
            only=MALFORMED,
        ),
        45,
        "1 record(s) of livy_sessions cannot be understood.",
        "1 record(s) of livy_sessions cannot be understood. They are left out",
    ),
)
"""Each with a minute, the summary, and how the description begins; `only` is the alert."""
