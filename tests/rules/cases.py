"""What happens to a fleet and its exporter, and which alerts that gives; see `Case`."""

from tests.support.promtool import PREFIX, Case
from tests.support.rule_series import (
    CLUSTER,
    CU,
    GATEWAY,
    QUEUE,
    W,
    alive,
    at,
    cluster,
    ledger,
    target,
    up,
)

LAST = "exporter_target_last_success_timestamp_seconds"
LIMIT = "exporter_target_stale_after_seconds"
ERROR = "exporter_target_error_info"

IN_ERROR = "EmrSparkSessionClusterInError"
STUCK = "EmrSparkSessionClusterStuck"
DAYS = "EmrSparkSessionClusterRunsForDays"
PUBLIC = "EmrSparkSessionClusterPublicEndpoint"
FAILED = "EmrSparkLivySessionFailed"
RATIO = "EmrSparkLivyFailureRatioHigh"
BURN = "EmrSparkLivyBurnHigh"
BUDGET = "EmrSparkLivyBudgetExceeded"
UNREACHABLE = "EmrSparkExporterUnreachable"
ABSENT = "EmrSparkExporterAbsent"
DOWN = "EmrSparkExporterTargetDown"
NEVER_UP = "EmrSparkExporterTargetNeverUp"
STALE = "EmrSparkExporterTargetStale"
NOTHING = "EmrSparkExporterNothingPolled"
DISCOVERY = "EmrSparkExporterDiscoveryFailing"
THROTTLED = "EmrSparkExporterThrottled"
REFUSED = "EmrSparkExporterAccessRefused"
OVERRUN = "EmrSparkExporterPollsOverrun"
BEHIND = "EmrSparkExporterCannotKeepUp"
MALFORMED = "EmrSparkExporterRecordsMalformed"
UNKNOWN = "EmrSparkExporterStatesUnknown"
TRUNCATED = "EmrSparkExporterHistoryTruncated"
NOT_PERSISTENT = "EmrSparkExporterLedgerNotPersistent"
LEDGER = "EmrSparkExporterLedgerFailing"
WEB_CONFIG = "EmrSparkExporterWebConfigBad"

ACCEPTED = f"session_cluster:{PREFIX}session_cluster_public_endpoint_enabled:accepted"

SESSION_CLUSTER_CASES = (
    Case(
        "a cluster goes to error and recovers",
        {**alive(), **up("1@60"), **cluster("error", "0@10 1@10 0@40")},
        {9: [], 10.5: [], 12: [IN_ERROR], 19: [IN_ERROR], 21: [], 50: []},
    ),
    Case(
        "an error that is gone before a minute is over",
        {**alive(), **up("1@60"), **cluster("error", "0@10 1@0.5 0@40")},
        {11: [], 12: [], 13: []},
    ),
    Case(
        "a cluster in error is deleted: it resolves, and no later outage brings it back",
        {
            **alive(),
            **up("1@20 0@30 1@10"),
            **cluster("error", "1@10 stale"),
        },
        {9: [IN_ERROR], 11: [], 30: [], 34: [], 49: [DOWN], 55: []},
    ),
    Case(
        "one failed poll changes nothing, in error or not",
        {
            **alive(),
            **up("1@10 0@0.5 1@20"),
            **cluster("error", "1@30"),
            at("session_cluster_state", f'{W},session_cluster_id="well",state="error"'): "0@30",
        },
        {9: [IN_ERROR], 10: [IN_ERROR], 10.5: [IN_ERROR], 11: [IN_ERROR], 20: [IN_ERROR]},
    ),
    Case(
        "every other poll fails",
        {
            **alive(),
            **up(" ".join(["1 0"] * 30)),
            **cluster("error", "0@10 1@20"),
        },
        {9: [], 12: [IN_ERROR], 12.5: [IN_ERROR], 13: [IN_ERROR], 25: [IN_ERROR]},
    ),
    Case(
        "an outage of five minutes: no false resolve, and what is new is seen after it",
        {
            **alive(),
            **up("1@10 0@5 1@15"),
            **cluster("error", "1@30"),
        },
        {9: [IN_ERROR], 12: [IN_ERROR], 15: [IN_ERROR], 16: [IN_ERROR], 25: [IN_ERROR]},
    ),
    Case(
        "an outage of hours, in which the gauges are withdrawn; it recovered meanwhile",
        {
            **alive(),
            **up("1@10 0@180 1@15"),
            **cluster("error", "1@15 stale _@175 0@15"),
        },
        {
            14: [IN_ERROR],
            60: [IN_ERROR, DOWN],
            189: [IN_ERROR, DOWN],
            191: [],
        },
    ),
    Case(
        "recovered before an outage of hours: it stays resolved",
        {
            **alive(),
            **up("1@10 0@180"),
            **cluster("error", "1@5 0@10 stale"),
        },
        {4: [IN_ERROR], 8: [], 16: [], 60: [DOWN], 180: [DOWN]},
    ),
    Case(
        "a restart: nothing is on the page until the first poll has finished",
        {
            **alive("1@10 stale _@1 1@20"),
            **up("1@10 stale _@2 1@20"),
            **cluster("error", "1@10 stale _@2 1@20"),
        },
        {9: [IN_ERROR], 10.5: [IN_ERROR], 11: [IN_ERROR], 12.5: [IN_ERROR], 20: [IN_ERROR]},
    ),
    Case(
        "the pod is replaced; the new one sees the recovery, and then has an outage",
        {
            **alive("1@10 stale"),
            **alive("_@11 1@100", "b"),
            **up("1@10 stale"),
            **up("_@12 1@8 0@60", "b"),
            **cluster("error", "1@10 stale"),
            **cluster("error", "_@12 1@4 0@10 stale", "b"),
        },
        {9: [IN_ERROR], 11: [IN_ERROR], 13: [IN_ERROR], 15: [IN_ERROR], 18: [], 30: [], 60: [DOWN]},
    ),
    Case(
        "the exporter is away for good: what was seen last is held for 12 hours and then dropped",
        {
            **alive("1@10 stale"),
            **up("1@10 stale"),
            **cluster("error", "1@10 stale"),
        },
        {5: [IN_ERROR], 60: [IN_ERROR, ABSENT], 700: [IN_ERROR, ABSENT], 735: [ABSENT]},
        step=300,
    ),
    Case(
        "a workspace with a cluster in error is removed, and the exporter is restarted later",
        {
            **alive(),
            at("workspace_info", W): "1@30 stale",
            **target(LIMIT, "300@20 stale"),
            **up("1@20 stale"),
            **cluster("error", "1@20 stale"),
        },
        {19: [IN_ERROR], 21: [], 40: []},
    ),
    Case(
        "one exporter polls session clusters and is away; another knows the workspace for Livy",
        {
            **alive("1@20 stale"),
            **alive(instance="b"),
            at("workspace_info", W): "1@20 stale",
            at("workspace_info", W, "b"): "1@60",
            **target(LIMIT, "300@20 stale"),
            at(LIMIT, f'source="livy_sessions",{GATEWAY}', "b"): "300@60",
            **up("1@20 stale"),
            **cluster("error", "1@20 stale"),
        },
        {19: [IN_ERROR], 21: [IN_ERROR], 50: [IN_ERROR]},
    ),
    Case(
        "a restart, after which the workspace is discovered but not yet polled",
        {
            **alive("1@10 stale _@2 1@20"),
            at("workspace_info", W): "1@10 stale _@3 1@20",
            **target(LIMIT, "300@10 stale _@3 300@20"),
            **up("1@10 stale _@5 1@20"),
            **cluster("error", "1@10 stale _@5 1@20"),
        },
        {9: [IN_ERROR], 12: [IN_ERROR], 14: [IN_ERROR], 20: [IN_ERROR]},
    ),
    Case(
        "two clusters, one of another workspace whose polls succeed",
        {
            **alive(),
            **up("0@30"),
            **cluster("error", "1@5 stale"),
            at("exporter_target_up", 'source="session_clusters",workspace_id="w2"'): "1@30",
            at(
                "session_cluster_state",
                'workspace_id="w2",session_cluster_id="sc",state="error"',
            ): "1@5 stale",
            at(
                "session_cluster_info",
                'workspace_id="w2",session_cluster_id="sc",name="n",kind="SQL",queue="q"',
            ): "1@5 stale",
        },
        {4: [IN_ERROR, IN_ERROR], 8: [IN_ERROR]},
    ),
    Case(
        "a cluster in error is renamed, and then polls fail",
        {
            **alive(),
            **up("1@20 0@30"),
            **cluster("error", "1@40"),
            **cluster("error", "1@10 stale"),
            at("session_cluster_state", f'{CLUSTER},state="error"'): "1@25 stale",
            at(
                "session_cluster_info", f'{CLUSTER},name="new",kind="SQL",queue="q"'
            ): "_@10 1@15 stale",
        },
        {9: [IN_ERROR], 12: [IN_ERROR], 24: [IN_ERROR], 30: [IN_ERROR]},
    ),
    Case(
        "two exporters see the same cluster; one of them loses the API",
        {
            **alive(),
            **alive(instance="b"),
            **up("1@60"),
            **up("1@10 0@50", "b"),
            **cluster("error", "1@20 0@40"),
            **cluster("error", "1@15 stale", "b"),
        },
        {9: [IN_ERROR], 16: [IN_ERROR], 22: [], 40: []},
    ),
    Case(
        "starting for too long, then running",
        {
            **alive(),
            **up("1@60"),
            **cluster("starting", "0@5 1@30 0@25"),
            at("session_cluster_state_since_timestamp_seconds", CLUSTER): "0@5 300@30 2100@25",
        },
        {20: [], 25: [], 28: [STUCK], 34: [STUCK], 36: []},
    ),
    Case(
        "stopping: an outage neither makes it stuck nor ends that it is",
        {
            **alive(),
            **up("1@10 0@30 1@20 0@40 1@10"),
            **cluster("stopping", "1@15 stale _@24.5 1@25 stale _@34.5 0@10"),
            at(
                "session_cluster_state_since_timestamp_seconds", CLUSTER
            ): "0@15 stale _@24.5 0@25 stale _@34.5 6000@10",
        },
        {
            22: [],
            30: [DOWN],
            39: [DOWN],
            43: [STUCK],
            66: [STUCK],
            99: [STUCK, DOWN],
            102: [],
        },
    ),
    Case(
        "running for days without auto-stop, through an outage; then auto-stop is set",
        {
            **alive("1@3600"),
            **up("1@2900 0@60 1@60"),
            **cluster("running", "1@2905 stale _@50 1@60"),
            at("session_cluster_start_timestamp_seconds", CLUSTER): "60@2905 stale _@50 60@60",
            at("session_cluster_auto_stop_enabled", CLUSTER): "0@2905 stale _@50 0@30 1@30",
        },
        {2880: [], 2895: [DAYS], 2940: [DAYS, DOWN], 2970: [DAYS], 2995: []},
        step=300,
    ),
    Case(
        "running for days with auto-stop, or stopped without it",
        {
            **alive("1@3600"),
            **up("1@3000"),
            **cluster("running", "1@3000"),
            at("session_cluster_start_timestamp_seconds", CLUSTER): "60@3000",
            at("session_cluster_auto_stop_enabled", CLUSTER): "1@3000",
            at(
                "session_cluster_start_timestamp_seconds", f'{W},session_cluster_id="off"'
            ): "60@3000",
            at("session_cluster_auto_stop_enabled", f'{W},session_cluster_id="off"'): "0@3000",
        },
        {2990: []},
        step=300,
    ),
    Case(
        "a public endpoint is enabled, through an outage, until it is disabled",
        {
            **alive(),
            **up("1@20 0@30 1@20"),
            **cluster("running", "1@25 stale _@24.5 1@20"),
            at(
                "session_cluster_public_endpoint_enabled", CLUSTER
            ): "0@5 1@20 stale _@24.5 1@10 0@10",
        },
        {4: [], 9: [], 11: [PUBLIC], 45: [PUBLIC, DOWN], 58: [PUBLIC], 62: []},
    ),
    Case(
        "a public endpoint that was accepted, and one of another cluster",
        {
            **alive(),
            **up("1@60"),
            **cluster("running", "1@60"),
            at("session_cluster_public_endpoint_enabled", CLUSTER): "1@60",
            **{
                at(metric, f'{W},session_cluster_id="other"{more}'): "1@60"
                for metric, more in (
                    ("session_cluster_public_endpoint_enabled", ""),
                    ("session_cluster_info", ',name="n",kind="SQL",queue="q"'),
                )
            },
            f'{ACCEPTED}{{session_cluster_id="sc"}}': "1@60",
        },
        {4: [], 11: [PUBLIC], 50: [PUBLIC]},
    ),
)


def livy(metric: str, values: str, more: str = "", instance: str = "a") -> dict[str, str]:
    """Show a metric of the queue `q` of a Livy gateway."""
    return {at(metric, ",".join(filter(None, [QUEUE, more])), instance): values}


def livy_up(values: str, instance: str = "a") -> dict[str, str]:
    """Whether polls of the gateway succeed."""
    return up(values, instance, "livy_sessions")


QUEUE_OF_W = 'workspace_id="w",queue="q"'


def budget(values: str, scope: str, period: str, labels: str) -> dict[str, str]:
    """Set a budget, as a rule of budgets.yml would."""
    inner = ",".join(filter(None, (f'scope="{scope}",period="{period}"', labels)))
    return {f"scope:{PREFIX}livy_cu_hours:budget{{{inner}}}": values}


def malformed(readings: str, records: str, instance: str = "a") -> dict[str, str]:
    """Let a process read malformed records of the source livy_sessions."""
    return {
        at("exporter_malformed_records_total", 'source="livy_sessions"', instance): readings,
        at("exporter_malformed_record_ids", 'source="livy_sessions"', instance): records,
    }


ENDED = "livy_sessions_ended_total"
BAD, GOOD = 'state="error"', 'state="terminated"'

LIVY_CASES = (
    Case(
        "one session fails, between two polls",
        {
            **alive(),
            **ledger(),
            **livy_up("1@90"),
            **livy(ENDED, "7@30 8@60", BAD),
            **livy(
                "livy_session_info",
                "_@30 1@15 stale",
                'session_id="s-1",name="etl",proxy_user="ann"',
            ),
            **livy("livy_session_info", "1@90", 'session_id="s-2",name="good"'),
            at("livy_session_state", f'{GATEWAY},session_id="s-1",{BAD}'): "_@30 1@15 stale",
            at("livy_session_state", f'{GATEWAY},session_id="s-2",{BAD}'): "0@90",
        },
        {29: [], 31: [FAILED], 44: [FAILED], 52: []},
        only=FAILED,
    ),
    Case(
        "a failed session is counted when the exporter is back, with another pod",
        {
            **alive("1@20 stale"),
            **alive("_@25 1@60", "b"),
            **ledger("1000@20 stale"),
            **ledger("_@25 1000@60", "b"),
            **livy_up("1@20 stale"),
            **livy_up("_@26 1@60", "b"),
            **livy(ENDED, "7@20 stale", BAD),
            **livy(ENDED, "_@25 7@1.5 8@60", BAD, "b"),
        },
        {19: [], 25: [], 26: [], 28: [FAILED], 50: []},
        only=FAILED,
    ),
    Case(
        "a first contact, a restart, a failed poll and a lost ledger are no failed session",
        {
            **alive("1@20 stale _@1 1@100"),
            **ledger("1000@20 stale _@1 1000@20 5000@60"),
            **livy_up("1@10 0@0.5 1@9.5 stale _@2 1@100"),
            **livy(ENDED, "_@5 7@15 stale _@1 7@20 3@60", BAD),
        },
        {6: [], 11: [], 22: [], 30: [], 42: [], 50: [], 70: []},
        only=FAILED,
    ),
    Case(
        "half of the sessions of a queue fail; an outage of three hours does not end it",
        {
            **alive("1@400"),
            **ledger("1000@400"),
            **livy_up("1@90 0@180 1@120"),
            **livy(ENDED, "0@20 0+1@20 20@350", BAD),
            **livy(ENDED, "0@20 0+1@20 20@350", GOOD),
        },
        {19: [], 40: [RATIO], 89: [RATIO], 200: [RATIO], 268: [RATIO], 300: []},
        only=RATIO,
    ),
    Case(
        "few sessions fail since minutes ago, when polls begin to fail",
        {
            **alive("1@400"),
            **ledger("1000@400"),
            **livy_up("1@46 0@180 1@60"),
            **livy(ENDED, "0@20 0+1@10 19@300", BAD),
            **livy(ENDED, "0@40 0+10@5 90@300", GOOD),
        },
        {30: [RATIO], 45: [RATIO], 58: [], 100: [], 200: []},
        only=RATIO,
    ),
    Case(
        "half of the sessions of a gateway fail, and it is removed; its counters stay",
        {
            **alive("1@400"),
            **ledger("1000@400"),
            at("livy_gateway_info", f'{GATEWAY},name="etl"'): "1@400",
            at(LIMIT, f'source="livy_sessions",{GATEWAY}'): "300@60 stale",
            **livy_up("1@60 stale"),
            **livy(ENDED, "0@20 0+1@20 20@350", BAD),
            **livy(ENDED, "0@20 0+1@20 20@350", GOOD),
        },
        {40: [RATIO], 59: [RATIO], 115: [], 300: []},
        only=RATIO,
    ),
    Case(
        "few sessions fail, or there are few",
        {
            **alive(),
            **ledger(),
            **livy_up("1@120"),
            **livy(ENDED, "0@20 0+1@20 40@80", BAD),
            **livy(ENDED, "0@20 0+9@20 360@80", GOOD),
            at(ENDED, f'{GATEWAY},queue="small",{BAD}'): "0@20 1@100",
            at(ENDED, f'{GATEWAY},queue="small",{GOOD}'): "0@20 1@100",
        },
        {30: [], 60: [], 100: []},
        only=RATIO,
    ),
    Case(
        "ten times the usual burn, held through an outage, until it ends",
        {
            **alive("1@3940"),
            **ledger("1000@3940"),
            **livy_up("1@3340 0@120 1@200"),
            # 60 CU-hours an hour on the first days, then 600.
            **livy("livy_cu_hours_total", "0+5@3240 3240+50@100 4240@120 4240+50@60 4840@140"),
        },
        {3235: [], 3260: [], 3290: [BURN], 3335: [BURN], 3455: [BURN], 3510: [BURN], 3590: []},
        only=BURN,
        step=300,
    ),
    *(
        Case(
            f"a burn {falls} minutes ago, when polls begin to fail",
            {
                **alive("1@3940"),
                **ledger("1000@3940"),
                **livy_up("1@3360 0@120 1@200"),
                **livy("livy_cu_hours_total", f"0+5@3240 3240+50@100 {then}"),
            },
            {3335: [BURN], 3358: [BURN], 3385: [], 3460: []},
            only=BURN,
            step=300,
        )
        for falls, then in (("ended", "4240@320"), ("fell to the usual one", "4240+5@320"))
    ),
    Case(
        "a gateway that burns too much is removed; its counters stay",
        {
            **alive("1@3940"),
            **ledger("1000@3940"),
            at("livy_gateway_info", f'{GATEWAY},name="etl"'): "1@3940",
            at(LIMIT, f'source="livy_sessions",{GATEWAY}'): "300@3340 stale",
            **livy_up("1@3340 stale"),
            **livy("livy_cu_hours_total", "0+5@3240 3240+50@100 4240@600"),
        },
        {3290: [BURN], 3335: [BURN], 3365: [], 3540: []},
        only=BURN,
        step=300,
    ),
    Case(
        "the catch-up after an outage and after a restart of the exporter is no burn",
        {
            **alive("1@3940"),
            **ledger("1000@3240 stale _@15 1000@600"),
            **livy_up("1@3140 0@60 1@40 stale _@20 1@600"),
            **livy(
                "livy_cu_hours_total",
                "0+5@3140 3140@60 3200+5@40 stale _@15 3240@5 3640+5@500",
            ),
        },
        {3200: [], 3215: [], 3230: [], 3265: [], 3280: [], 3300: [], 3340: []},
        only=BURN,
        step=300,
    ),
    Case(
        "a burn below 20 CU-hours an hour, and one without two days before",
        {
            **alive("1@3940"),
            **ledger("1000@3940"),
            **livy_up("1@3940"),
            **livy("livy_cu_hours_total", "0+0.1@3240 64.8+1@200"),
            at(CU, f'{GATEWAY},queue="new"'): "_@2440 0+90@800",
            # A quiet first day, then many times as much.
            at(CU, f'{GATEWAY},queue="young"'): "_@700 0+5@2540 2540+50@200",
        },
        {3140: [], 3290: [], 3340: []},
        only=BURN,
        step=300,
    ),
    Case(
        "neither a first contact nor a replaced pod nor a lost ledger burns a budget",
        {
            **alive("1@2000"),
            **budget("1000@2000", "queue", "day", QUEUE_OF_W),
            **ledger("1000@300 stale"),
            **ledger("_@305 1000@300 7000@600", "b"),
            **livy("livy_cu_hours_total", "5000@300 stale"),
            **livy("livy_cu_hours_total", "_@305 5000+1@300 3000@600", instance="b"),
        },
        {10: [], 310: [], 600: [], 620: [], 1100: []},
        only=BUDGET,
        step=300,
    ),
)


WHERE = 'region_id="cn-hangzhou"'
NOWHERE = 'region_id="cn-beijing",account="a",workspace_id=""'
KNOWN = 'region_id="known",account="a",workspace_id=""'

EXPORTER_CASES = (
    Case(
        "polls fail for long, now and then, and not at all",
        {
            **alive(),
            **up("1@10 0@20 1@10"),
            **livy_up(" ".join(["1 1 0"] * 40)),
            at("exporter_target_up", 'source="livy_sessions",workspace_id="x"'): "1@60",
        },
        {24: [], 26: [DOWN], 29: [DOWN], 31: [], 45: []},
        only=DOWN,
    ),
    Case(
        "polls fail, and some scrapes do too",
        {**alive(), **up("1@10 0@10 stale 0@8 stale 0@10 1@10")},
        {24: [], 26: [DOWN], 28.5: [DOWN], 29: [DOWN], 36: [DOWN], 41: []},
        only=DOWN,
    ),
    Case(
        "polls fail from one pod to the next",
        {
            **alive(),
            **up("1@10 0@10 stale"),
            **up("_@20 0@20", "b"),
        },
        {24: [], 26: [DOWN], 39: [DOWN]},
        only=DOWN,
    ),
    Case(
        "a target without a success, one with a success before a restart, and a first poll",
        {
            **alive(),
            **target(LIMIT, "300@60"),
            **up("_@5 0@55"),
            at(LIMIT, 'source="session_clusters",workspace_id="old"'): "300@60",
            at(
                "exporter_target_up", 'source="session_clusters",workspace_id="old"'
            ): "1@5 stale _@5 0@50",
            at(LIMIT, 'source="session_clusters",workspace_id="slow"'): "300@60",
            at("exporter_target_up", 'source="session_clusters",workspace_id="slow"'): "_@10 1@50",
        },
        {14: [], 16: [NEVER_UP], 50: [NEVER_UP]},
        only=NEVER_UP,
    ),
    Case(
        "the first scan of a very long history; that of another gateway fails again and again",
        {
            **alive(),
            at(LIMIT, f'source="livy_sessions",{GATEWAY}'): "300@90",
            at("exporter_livy_walk_pages", GATEWAY): "0+50@40 stale",
            at("exporter_target_up", f'source="livy_sessions",{GATEWAY}'): "_@40 1@50",
            at(LIMIT, f'source="livy_sessions",{W},livy_compute_id="bad"'): "300@90",
            at("exporter_livy_walk_pages", f'{W},livy_compute_id="bad"'): "0+50@90",
            at(
                "exporter_target_up", f'source="livy_sessions",{W},livy_compute_id="bad"'
            ): "_@20 0@70",
        },
        {19: [], 34: [], 38: [NEVER_UP], 60: [NEVER_UP]},
        only=NEVER_UP,
    ),
    Case(
        "the last success is too long ago, also where a restart has forgotten it",
        {
            **alive(),
            **target(LAST, "0+30@10 600@10 stale _@30 3000+30@10"),
            **target(LIMIT, "300@120"),
        },
        {9: [], 17: [], 29: [], 32: [STALE], 49: [STALE], 52: []},
        only=STALE,
    ),
    Case(
        "no poll succeeds for days after a restart, and some scrapes fail",
        {
            **alive(),
            **target(LAST, "0+300@20 1200@10 stale"),
            **target(LIMIT, "300@1500 stale 300@1500"),
        },
        {25: [], 50: [STALE], 1430: [STALE], 1500: [STALE], 2900: [STALE]},
        only=STALE,
        step=300,
    ),
    Case(
        "an outage of the API: first a warning, then what wakes somebody, and neither at first",
        {
            **alive("1@200"),
            at("workspace_info", f'{W},region_id="r",account=""'): "1@200",
            **up("1@20 0@6 1@34 0@60 1@30"),
            **target(LAST, "0+30@20 1200@6 1560+30@34 3600@60 7200+30@30"),
            **target(LIMIT, "300@200"),
        },
        {27: [], 74: [], 77: [DOWN], 79: [DOWN], 82: [DOWN, STALE], 119: [DOWN, STALE], 122: []},
    ),
    Case(
        "a target that was removed is not stale",
        {**alive(), **target(LAST, "0+30@10 stale"), **target(LIMIT, "300@10 stale")},
        {9: [], 20: [], 60: []},
        only=STALE,
    ),
    Case(
        "discovery fails for long, or once",
        {
            **alive(),
            at("exporter_discovery_up", f'account="",{WHERE},workspace_id=""'): "1@10 0@40 1@20",
            at("exporter_discovery_up", f'account="",{WHERE},workspace_id="w"'): "1@10 0@20 1@40",
        },
        {30: [], 34: [], 36: [DISCOVERY], 49: [DISCOVERY], 51: []},
        only=DISCOVERY,
    ),
    Case(
        "there is no credential, so nothing is discovered, from one pod to the next",
        {
            **alive(),
            at("exporter_discovery_up", NOWHERE): "0@40 1@20",
            at("exporter_discovery_error_info", f'{NOWHERE},reason="credential"'): "1@20 stale",
            at(
                "exporter_discovery_error_info", f'{NOWHERE},reason="credential"', "b"
            ): "_@20.5 1@19.5 stale",
            # Another region, in which a workspace is known.
            at("workspace_info", f'{W},region_id="known",account="a"'): "1@60",
            at("exporter_discovery_up", KNOWN): "0@60",
            at("exporter_discovery_error_info", f'{KNOWN},reason="network"'): "1@60",
        },
        {
            4: [],
            6: [NOTHING, REFUSED],
            21: [NOTHING, REFUSED],
            39: [NOTHING, REFUSED, DISCOVERY],
            44: [DISCOVERY],
        },
    ),
    Case(
        "the gateways of a workspace may not be listed",
        {
            **alive(),
            at("workspace_info", f'{W},region_id="known",account="a"'): "1@60",
            at(
                "exporter_discovery_error_info",
                'region_id="known",account="a",workspace_id="w",reason="permission"',
            ): "1@20 stale",
        },
        {4: [], 6: [REFUSED], 24: []},
    ),
    Case(
        "discovery fails, and some scrapes do too",
        {
            **alive(),
            at("exporter_discovery_up", f'account="",{WHERE},workspace_id=""'): (
                "1@10 0@20 stale 0@8 stale 0@10 1@20"
            ),
        },
        {34: [], 36: [DISCOVERY], 38.5: [DISCOVERY], 40: [DISCOVERY], 51: []},
        only=DISCOVERY,
    ),
    Case(
        "a tenth of the requests is throttled, or one in a hundred",
        {
            **alive(),
            at("exporter_api_requests_total", f'{WHERE},action="A"'): "0+10@90",
            at(
                "exporter_api_request_failures_total", f'{WHERE},action="A",reason="throttled"'
            ): "0@10 0+1@30 60@50",
            at("exporter_api_requests_total", 'region_id="cn-beijing",action="A"'): "0+100@90",
            at(
                "exporter_api_request_failures_total",
                'region_id="cn-beijing",action="A",reason="throttled"',
            ): "0@10 0+1@30 60@50",
            at("exporter_api_requests_total", 'region_id="idle",action="A"'): "0@90",
            at(
                "exporter_api_request_failures_total",
                'region_id="idle",action="A",reason="throttled"',
            ): "0@90",
        },
        {15: [], 28: [THROTTLED], 40: [THROTTLED], 65: []},
        only=THROTTLED,
    ),
    Case(
        "permission is lacking for long, from one pod to the next; a timeout is no matter",
        {
            **alive(),
            **target(ERROR, "_@5 1@10 stale", 'reason="permission"'),
            **target(ERROR, "_@15 1@10 stale", 'reason="permission"', "b"),
            at(ERROR, f'source="livy_sessions",{GATEWAY},reason="timeout"'): "1@40",
            at(ERROR, f'source="livy_sessions",{GATEWAY},reason="credential"'): "_@10 1@0.5 stale",
        },
        {9: [], 11: [REFUSED], 16: [REFUSED], 24: [REFUSED], 28: []},
        only=REFUSED,
    ),
    Case(
        "permission is lacking, and some scrapes fail; a poll fails once",
        {
            **alive(),
            **target(ERROR, "_@5 1@3 stale 1@6 stale 1@6 stale", 'reason="permission"'),
            at(ERROR, f'source="livy_sessions",{GATEWAY},reason="clock"'): "_@10 1@1 stale",
        },
        {9: [], 11: [REFUSED], 15: [REFUSED], 19: [REFUSED], 24: []},
        only=REFUSED,
    ),
    Case(
        "polls are skipped for an hour, or once",
        {
            **alive(),
            at("exporter_polls_skipped_total", 'source="livy_sessions"'): "0@20 0+1@60 120@60",
            at("exporter_polls_skipped_total", 'source="session_clusters"'): "0@20 1@70",
        },
        {19: [], 45: [], 65: [OVERRUN], 80: [OVERRUN], 115: []},
        only=OVERRUN,
    ),
    Case(
        "the first scan of a long history takes ten minutes, in which its polls are skipped",
        {
            **alive(),
            at("exporter_polls_skipped_total", 'source="livy_sessions"'): "0@20 0+1@10 20@90",
        },
        {29: [], 40: [], 60: [], 90: []},
        only=OVERRUN,
    ),
    Case(
        "the same right after the exporter was seen for the first time",
        {
            **alive(),
            at("exporter_polls_skipped_total", 'source="livy_sessions"'): "_@5 0+1@10 20@90",
        },
        {8: [], 14: [], 20: [], 25: [], 60: []},
        only=OVERRUN,
    ),
    Case(
        "a fifth of the polls begin late for half an hour, and once some do when the clock is set",
        {
            **alive(),
            at("exporter_polls_total", 'source="livy_sessions"'): "0+100@180",
            at("exporter_polls_late_total", 'source="livy_sessions"'): "0@20 0+20@40 800@60 900@60",
        },
        {19: [], 30: [], 50: [BEHIND], 60: [BEHIND], 100: [], 130: [], 140: []},
        only=BEHIND,
    ),
    Case(
        "records cannot be understood",
        {
            **alive(),
            **malformed("0@20 0+1@10 20@90", "0@20 2@100"),
            at("exporter_malformed_records_total", 'source="session_clusters"'): "3@120",
            at("exporter_malformed_record_ids", 'source="session_clusters"'): "1@120",
        },
        {19: [], 27: [MALFORMED], 50: [MALFORMED], 90: []},
        only=MALFORMED,
    ),
    Case(
        "records cannot be understood until the exporter is updated, at the same address",
        {**alive(), **malformed("0@20 0+2@20 0@90", "0@20 2@20 0@90")},
        {19: [], 27: [MALFORMED], 39: [MALFORMED], 57: [], 65: []},
        only=MALFORMED,
    ),
    Case(
        "records cannot be understood until the pod is replaced by an updated one",
        {
            **alive(),
            **malformed("0@20 0+2@20 stale", "0@20 2@20 stale"),
            **malformed("_@41 0@90", "_@41 0@90", "b"),
        },
        {27: [MALFORMED], 39: [MALFORMED], 62: [], 68: []},
        only=MALFORMED,
    ),
    Case(
        "records cannot be understood, after a restart as before, and a scrape fails",
        {
            **alive(),
            **malformed(
                "0@20 0+2@20 0@5 0+2@10 stale 44+2@10",
                "0@20 2@20 0@5 2@10 stale 2@10",
            ),
        },
        {minute: [MALFORMED] for minute in (27, 39, 41, 44, 50, 56, 60)},
        only=MALFORMED,
    ),
    Case(
        "states are not known",
        {
            **alive(),
            at("exporter_unknown_states_total", 'source="livy_sessions"'): "0@20 0+1@10 20@90",
            at("exporter_unknown_states_total", 'source="session_clusters"'): "3@120",
        },
        {19: [], 27: [UNKNOWN], 50: [UNKNOWN], 90: []},
        only=UNKNOWN,
    ),
    Case(
        "a history cannot be read to its end, through a restart and a replaced pod",
        {
            **alive(),
            at("exporter_livy_history_truncated", GATEWAY): "0@10 1@20 stale",
            at("exporter_livy_history_truncated", GATEWAY, "b"): "_@40 1@20 0@90",
            at("exporter_livy_history_truncated", f'{W},livy_compute_id="good"'): "0@150",
        },
        {9: [], 24: [], 26: [TRUNCATED], 35: [TRUNCATED], 58: [TRUNCATED], 125: []},
        only=TRUNCATED,
    ),
    Case(
        "the ledger is lost with the pod",
        {
            **alive("1@3000"),
            **ledger("1000@60 stale"),
            **ledger("_@65 4660@2000", "b"),
        },
        {55: [], 70: [], 80: [NOT_PERSISTENT], 1400: [NOT_PERSISTENT], 1520: []},
        only=NOT_PERSISTENT,
        step=300,
    ),
    Case(
        "the ledger is lost in a rolling update, with both pods alive for a while",
        {
            **alive("1@300"),
            **ledger("1000@65 stale"),
            **ledger("_@60 3580@200", "b"),
        },
        {59: [], 64: [], 78: [NOT_PERSISTENT], 140: [NOT_PERSISTENT]},
        only=NOT_PERSISTENT,
    ),
    Case(
        "the ledger is lost at the same address",
        {**alive("1@300"), **ledger("1000@60 stale _@1 4660@200")},
        {59: [], 73: [NOT_PERSISTENT]},
        only=NOT_PERSISTENT,
    ),
    Case(
        "two exporters with a ledger each; one of them restarts, with another pod",
        {
            **alive("1@300"),
            **ledger("1000@300"),
            **ledger("2000@60 stale", "b"),
            **ledger("_@65 2000@200", "c"),
        },
        {30: [], 61: [], 80: [], 200: []},
        only=NOT_PERSISTENT,
    ),
    Case(
        "two exporters with a ledger each, and one of them is taken away",
        {
            **alive("1@4000"),
            **ledger("1000@4000"),
            **ledger("2000@2000 stale", "b"),
        },
        {1990: [], 2070: [], 3000: [], 3500: []},
        only=NOT_PERSISTENT,
        step=300,
    ),
    Case(
        "the ledger cannot be written, once and for long",
        {
            **alive(),
            at("exporter_ledger_failures_total", 'reason="full"'): "0@20 0+1@20 40@60",
            at("exporter_ledger_failures_total", 'reason="io"'): "0@100",
        },
        {19: [], 27: [LEDGER], 40: [LEDGER], 65: []},
        only=LEDGER,
    ),
    Case(
        "a bad web configuration, and a scrape that fails",
        {
            **alive(),
            at("exporter_web_config_last_reload_successful"): "1@10 0@3 stale 0@7 1@10",
            at("exporter_web_config_last_reload_successful", instance="b"): "1@40",
        },
        {9: [], 14: [], 16: [WEB_CONFIG], 21: []},
        only=WEB_CONFIG,
    ),
    Case(
        "the exporter is gone, and another pod comes",
        {**alive("1@10 stale"), **alive("_@30 1@30", "b")},
        {9: [], 14: [], 16: [ABSENT], 29: [ABSENT], 31: []},
        only=ABSENT,
    ),
    Case(
        "of two exporters with targets of their own one is gone, and comes back",
        {
            **alive("1@90"),
            at("up"): "1@90",
            **alive("1@10 stale _@30 1@40", "b"),
            at("up", instance="b"): "1@10 0@30 1@40",
            # Scraped by the same Prometheus, and not ours.
            'up{job="node",instance="a:9100"}': "0@90",
        },
        {9: [], 14: [], 16: [UNREACHABLE], 39: [UNREACHABLE], 42: []},
        only=UNREACHABLE,
    ),
    Case(
        "a replaced pod is not out of reach, nor is one that restarts",
        {
            **alive("1@10 stale"),
            at("up"): "1@10 0@1 stale",
            **alive("_@12 1@20 stale _@2 1@20", "b"),
            at("up", instance="b"): "_@12 1@20 0@2 1@20",
        },
        {9: [], 12: [], 16: [], 34: [], 40: []},
        only=UNREACHABLE,
    ),
    Case(
        "a restart is no absence", {**alive("1@10 stale _@2 1@30")}, {9: [], 11: [], 13: [], 20: []}
    ),
)

USAGE_CASES = (
    Case(
        "a day's usage is exact, over a replaced pod, and the days add up",
        {
            **ledger("1000@700 stale"),
            **ledger("_@710 1000@5300", "b"),
            # One CU-hour a minute; what is burned without an exporter shows after the birth-hold.
            **livy(CU, "100+5@700 stale"),
            **livy(CU, "_@710 795@5 830+5@5285", instance="b"),
        },
        values={
            (690, f"queue:{PREFIX}livy_cu_hours:day"): 690,
            # Until the last evaluation of Thursday 1970-01-01, UTC.
            (1435, f"queue:{PREFIX}livy_cu_hours:day"): 1450,
            (1440, f"queue:{PREFIX}livy_cu_hours:day"): 5,
            (2875, f"queue:{PREFIX}livy_cu_hours:day"): 1440,
            (2875, f"queue:{PREFIX}livy_cu_hours:week"): 1450 + 1440,
            (2875, f"queue:{PREFIX}livy_cu_hours:month"): 1450 + 1440,
        },
        step=300,
    ),
    Case(
        "a week begins on Monday",
        {**ledger("1000@6000"), **livy(CU, "100+5@6000")},
        values={
            # Time begins on a Thursday.
            (5755, f"queue:{PREFIX}livy_cu_hours:week"): 5755,
            (5770, f"queue:{PREFIX}livy_cu_hours:week"): 15,
        },
        step=300,
    ),
    Case(
        "two exporters with a ledger each are not added up, nor is one that takes over a burn",
        {
            **ledger("1000@300"),
            **ledger("2000@100 stale", "b"),
            **livy(CU, "100+0.5@300"),
            **livy(CU, "9000+0.5@100 stale", instance="b"),
        },
        values={
            (90, f"queue:{PREFIX}livy_cu_hours:day"): 90,
            (200, f"queue:{PREFIX}livy_cu_hours:day"): 200,
        },
    ),
    Case(
        "the share of failed sessions, and no share where none ended",
        {
            **ledger(),
            **livy(ENDED, "0@20 0+1@20 40@40", BAD),
            **livy(ENDED, "0@20 0+3@20 120@40", GOOD),
            at(ENDED, f'{GATEWAY},queue="idle",{BAD}'): "0@100",
            at(ENDED, f'{GATEWAY},queue="idle",{GOOD}'): "0@100",
        },
        values={
            (60, f"queue:{PREFIX}livy_sessions_ended:failure_ratio1h"): 0.25,
            (10, f"queue:{PREFIX}livy_sessions_ended:failure_ratio1h"): None,
        },
    ),
    Case(
        "two exporters in two namespaces are not added up",
        {
            **{
                f'{metric}{{{labels},namespace="{each}",instance="{each}",job="emr"}}': values
                for each in ("a", "b")
                for metric, labels, values in (
                    ("livy_sessions", f'{QUEUE},state="running"', "3@10"),
                    ("session_clusters", f'{W},kind="SQL",queue="q",state="running"', "2@10"),
                )
            },
        },
        values={
            (5, f"queue_state:{PREFIX}livy_sessions:sum"): 3,
            (5, f"workspace_state:{PREFIX}session_clusters:sum"): 2,
        },
    ),
    Case(
        "an exporter that is scraped twice, as by two ServiceMonitors, burns once",
        {
            f'{metric}{{{labels}endpoint="{each}",instance="a:9825",job="emr"}}': values
            for each in ("http", "metrics")
            for metric, labels, values in (
                ("exporter_ledger_created_timestamp_seconds", "", "1000@100"),
                (CU, f"{QUEUE},", "100+0.5@100"),
            )
        },
        values={(90, f"max(ledger_queue:{PREFIX}livy_cu_hours_total:max)"): 190},
    ),
    Case(
        "burn of a queue and of a user",
        {
            **ledger(),
            **livy(CU, "100+0.5@300"),
            at("livy_proxy_user_cu_hours_total", f'{GATEWAY},proxy_user="ann"'): "7+0.25@300",
        },
        values={
            (200, f"queue:{PREFIX}livy_cu_hours:increase15m"): 15,
            (200, f"queue:{PREFIX}livy_cu_hours:increase1h"): 60,
            (200, f"user:{PREFIX}livy_proxy_user_cu_hours:increase1h"): 30,
        },
    ),
    Case(
        "sessions now, by two exporters",
        {
            **livy("livy_sessions", "3@10", 'state="running"'),
            **livy("livy_sessions", "4@10", 'state="running"', "b"),
            at("session_clusters", f'{W},kind="SQL",queue="q",state="running"'): "2@10",
            at("session_clusters", f'{W},kind="NOTEBOOK",queue="q",state="running"'): "1@10",
        },
        values={
            (5, f"queue_state:{PREFIX}livy_sessions:sum"): 4,
            (5, f"workspace_state:{PREFIX}session_clusters:sum"): 3,
        },
    ),
)

EXPORTER_ALERTS = (DOWN, STALE, NOTHING, DISCOVERY, REFUSED, ABSENT)

CASES = (
    *((case, (IN_ERROR, STUCK, DAYS, PUBLIC, DOWN, ABSENT)) for case in SESSION_CLUSTER_CASES),
    *((case, (case.only,)) for case in LIVY_CASES),
    *((case, (case.only,) if case.only else EXPORTER_ALERTS) for case in EXPORTER_CASES),
    *((case, ()) for case in USAGE_CASES),
)
"""Each with the alerts that are looked at; all of them in each case would take minutes."""
