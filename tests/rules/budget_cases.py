"""Budgets of workspaces, queues and users, for a day or a month, and which one applies."""

from tests.rules.cases import BUDGET, QUEUE_OF_W, budget, livy, livy_up
from tests.support.promtool import PREFIX, Case
from tests.support.rule_series import CU, GATEWAY, QUEUE, W, alive, at, ledger

_USER_CU = "livy_proxy_user_cu_hours_total"
_ELSEWHERE = 'workspace_id="x",livy_compute_id="lx"'

_BURN = {
    **alive("1@2000"),
    **ledger("1000@2000"),
    **livy(CU, "5000+10@600 6190@1400"),
    at(CU, f'{_ELSEWHERE},queue="q"'): "5000+4@600 5476@1400",
    at(_USER_CU, f'{GATEWAY},proxy_user="ann"'): "10+8@600 962@1400",
    at(_USER_CU, f'{_ELSEWHERE},proxy_user="ann"'): "10+2@600 248@1400",
}
"""In ten hours queue q burns 1190 CU-hours in one workspace and 476 in another, ann 1190 in all."""

_BUDGETS = (
    ("queue", "day", QUEUE_OF_W, 1, 0),
    ("queue", "day", 'queue="q"', 1, 0),
    ("queue", "month", QUEUE_OF_W, 1, 1),
    ("queue", "month", 'workspace_id="x",queue="q"', 0, 0),
    ("queue", "day", 'queue="*"', 1, 0),
    ("queue", "day", 'workspace_id="w",queue="*"', 1, 0),
    ("queue", "day", 'workspace_id="x",queue="*"', 0, 0),
    ("queue", "day", 'queue="other"', 0, 0),
    ("workspace", "day", 'workspace_id="w"', 1, 0),
    ("workspace", "month", 'workspace_id="w"', 1, 1),
    ("workspace", "month", "", 1, 1),
    ("user", "day", 'proxy_user="ann"', 1, 0),
    ("user", "month", 'proxy_user="*"', 1, 1),
    ("user", "month", 'proxy_user="bob"', 0, 0),
)
"""Scope, period and labels of a budget of 1000, and how many exceed it that day and the next."""

_CASES = (
    *(
        Case(
            f"a budget of a {scope} for a {period}: {labels}",
            {**_BURN, **budget("1000@2000", scope, period, labels)},
            {400: [], 580: [BUDGET] * today, 1430: [BUDGET] * today, 1460: [BUDGET] * tomorrow},
            only=BUDGET,
            step=300,
        )
        for scope, period, labels, today, tomorrow in _BUDGETS
    ),
    Case("there are no budgets", _BURN, {400: [], 580: [], 1430: []}, only=BUDGET, step=300),
    Case(
        "a budget of one's own goes before one for everybody, and of a workspace before of any",
        {
            **_BURN,
            **budget("10@2000", "queue", "day", 'queue="*"'),
            **budget("20@2000", "queue", "day", 'workspace_id="w",queue="*"'),
            **budget("20@2000", "queue", "day", 'workspace_id="x",queue="*"'),
            **budget("9000@2000", "queue", "day", 'queue="q"'),
            **budget("9000@2000", "queue", "day", QUEUE_OF_W),
            **budget("10@2000", "user", "day", 'proxy_user="*"'),
            **budget("9000@2000", "user", "day", 'proxy_user="ann"'),
        },
        {400: [], 580: [], 1430: []},
        only=BUDGET,
        step=300,
    ),
    Case(
        "a budget for every user is not held against all those beyond the limit together",
        {
            **_BURN,
            at(_USER_CU, f'{GATEWAY},proxy_user="_other"'): "10+20@600 2390@1400",
            **budget("1000@2000", "user", "day", 'proxy_user="*"'),
        },
        {400: [], 580: [BUDGET], 1430: [BUDGET], 1460: []},
        only=BUDGET,
        step=300,
    ),
    Case(
        "a budget stays exceeded while the exporter is down for hours, until midnight",
        {
            **alive("1@2000"),
            **ledger("1000@600 _@300 1000@1100"),
            **livy_up("1@2000"),
            **budget("1000@2000", "queue", "day", QUEUE_OF_W),
            **livy(CU, "5000+10@600 _@300 6190@1100"),
        },
        {400: [], 520: [BUDGET], 880: [BUDGET], 910: [BUDGET], 1430: [BUDGET], 1460: []},
        only=BUDGET,
        step=300,
    ),
    Case(
        "two exporters in two namespaces burn two thirds of a budget each",
        {
            **budget("1000@700", "queue", "day", QUEUE_OF_W),
            **{
                f'{metric}{{{labels}namespace="{name}",instance="{name}",job="emr"}}': values
                for name in ("a", "b")
                for metric, labels, values in (
                    ("exporter_ledger_created_timestamp_seconds", "", "1000@700"),
                    (CU, f"{QUEUE},", "5000+5@600 5600@100"),
                )
            },
        },
        {400: [], 690: []},
        only=BUDGET,
        step=300,
    ),
)


def _projected(scope: str, period: str, labels: str) -> str:
    return f'scope:{PREFIX}livy_cu_hours:projected{{scope="{scope}",period="{period}",{labels}}}'


_PACE_CASES = (
    Case(
        "at the average pace since the ledger was created, the rest of the day and of the month",
        _BURN,
        values={
            (60, _projected("queue", "day", QUEUE_OF_W)): None,  # too early to tell
            (580, _projected("queue", "day", QUEUE_OF_W)): 1160 * (51_600 / 33_800 + 1),
            (580, _projected("user", "day", 'proxy_user="ann"')): 1160 * (51_600 / 33_800 + 1),
            (1450, _projected("queue", "month", QUEUE_OF_W)): None,
            (1460, _projected("queue", "day", QUEUE_OF_W)): None,
            (1700, _projected("queue", "month", QUEUE_OF_W)): 1190 * (2_576_400 / 101_000 + 1),
            (1700, _projected("workspace", "month", W)): 1190 * (2_576_400 / 101_000 + 1),
        },
        step=300,
    ),
    Case(
        "a pace is that of the time in which usage was known",
        {
            **ledger("1000@4000"),
            at(CU, QUEUE): "5000+10@600 6190@3400",
        },
        values={
            (1400, _projected("queue", "day", QUEUE_OF_W)): 590 * (2_400 / 66_000 + 1),
            (3050, _projected("queue", "month", QUEUE_OF_W)): 590 * (2_495_400 / 165_000 + 1),
        },
        step=300,
        prometheus="_@300 1@3700",
    ),
)

BUDGET_CASES = (*((case, (BUDGET,)) for case in _CASES), *((case, ()) for case in _PACE_CASES))
