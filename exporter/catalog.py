"""The one table of every metric: name, type, labels, help.

Names are a contract with dashboards and alerts; a golden file holds this table.
Units are those of the API and of the bill (CU-hours, vcore-seconds, MB-seconds), so that a
number can be held against the console without arithmetic.
"""

from dataclasses import dataclass
from typing import Literal

PREFIX = "emr_serverless_spark_"

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family. `name` is complete: with prefix, and with `_total` for a counter."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str

    @property
    def family(self) -> str:
        """The OpenMetrics family name: without `_total`."""
        return self.name.removesuffix("_total") if self.kind == "counter" else self.name


def _metric(name: str, kind: Kind, labels: str, text: str) -> Metric:
    return Metric(PREFIX + name, kind, tuple(labels.split()), text)


_CLUSTER = "workspace_id session_cluster_id"
_GATEWAY = "workspace_id livy_compute_id"
_SESSION = f"{_GATEWAY} session_id"
_TARGET = f"source {_GATEWAY}"
_POLLED = "Refreshed every poll."

SESSION_CLUSTERS = _metric(
    "session_clusters",
    "gauge",
    "workspace_id kind queue state",
    f"Session clusters by state; every known state is present. {_POLLED}",
)
SESSION_CLUSTER_STATE = _metric(
    "session_cluster_state",
    "gauge",
    f"{_CLUSTER} state",
    f"1 for the state that the session cluster is in, 0 for the others. {_POLLED}",
)
SESSION_CLUSTER_INFO = _metric(
    "session_cluster_info",
    "gauge",
    f"{_CLUSTER} name kind queue user_name release_version fusion",
    f"Attributes of a session cluster; always 1. {_POLLED}",
)
SESSION_CLUSTER_CREATED = _metric(
    "session_cluster_created_timestamp_seconds",
    "gauge",
    _CLUSTER,
    f"When the session cluster was created. {_POLLED}",
)
SESSION_CLUSTER_START = _metric(
    "session_cluster_start_timestamp_seconds",
    "gauge",
    _CLUSTER,
    f"When the session cluster was last started. {_POLLED}",
)
SESSION_CLUSTER_AUTO_START = _metric(
    "session_cluster_auto_start_enabled",
    "gauge",
    _CLUSTER,
    f"1 if the session cluster starts by itself when it is used, else 0. {_POLLED}",
)
SESSION_CLUSTER_AUTO_STOP = _metric(
    "session_cluster_auto_stop_enabled",
    "gauge",
    _CLUSTER,
    f"1 if the session cluster stops by itself when it is idle, else 0. {_POLLED}",
)
SESSION_CLUSTER_IDLE_TIMEOUT = _metric(
    "session_cluster_auto_stop_idle_timeout_seconds",
    "gauge",
    _CLUSTER,
    f"Idle time after which the session cluster stops; absent where auto-stop is off. {_POLLED}",
)
SESSION_CLUSTER_PUBLIC_ENDPOINT = _metric(
    "session_cluster_public_endpoint_enabled",
    "gauge",
    _CLUSTER,
    f"1 if the session cluster can be reached from the internet, else 0. {_POLLED}",
)
SESSION_CLUSTER_ERROR_INFO = _metric(
    "session_cluster_error_info",
    "gauge",
    f"{_CLUSTER} code",
    f"The service's code for why the session cluster is in error; only while it is. {_POLLED}",
)
SESSION_CLUSTER_STATE_SINCE = _metric(
    "session_cluster_state_since_timestamp_seconds",
    "gauge",
    _CLUSTER,
    f"When the session cluster was first seen in the state that it is in. {_POLLED}",
)
SESSION_CLUSTER_STATE_ENTRIES = _metric(
    "session_cluster_state_entries_total",
    "counter",
    "workspace_id kind queue state",
    f"Times that session clusters entered a state, by comparing consecutive polls. {_POLLED}",
)
LIVY_SESSIONS = _metric(
    "livy_sessions",
    "gauge",
    f"{_GATEWAY} queue state",
    f"Livy sessions as listed now, ended ones included; every known state is present. {_POLLED}",
)
LIVY_SESSION_STATE = _metric(
    "livy_session_state",
    "gauge",
    f"{_SESSION} state",
    "1 for the state that the Livy session is in, 0 for the others; live and recently ended "
    f"sessions. {_POLLED}",
)
LIVY_SESSION_INFO = _metric(
    "livy_session_info",
    "gauge",
    f"{_SESSION} name queue proxy_user",
    f"Attributes of a live or recently ended Livy session; always 1. {_POLLED}",
)
LIVY_SESSION_CREATED = _metric(
    "livy_session_created_timestamp_seconds",
    "gauge",
    _SESSION,
    f"When the Livy session was created. {_POLLED}",
)
LIVY_SESSION_END = _metric(
    "livy_session_end_timestamp_seconds",
    "gauge",
    _SESSION,
    f"When the Livy session ended; absent while it has not. {_POLLED}",
)
LIVY_SESSION_CU_HOURS = _metric(
    "livy_session_cu_hours",
    "gauge",
    _SESSION,
    f"CU-hours of a live or recently ended Livy session, as estimated by the service. {_POLLED}",
)
LIVY_SESSION_VCORE_SECONDS = _metric(
    "livy_session_vcore_seconds",
    "gauge",
    _SESSION,
    f"Vcore-seconds of a live or recently ended Livy session. {_POLLED}",
)
LIVY_SESSION_MB_SECONDS = _metric(
    "livy_session_mb_seconds",
    "gauge",
    _SESSION,
    f"MB-seconds of a live or recently ended Livy session, in the service's MB. {_POLLED}",
)
LIVY_CU_HOURS = _metric(
    "livy_cu_hours_total",
    "counter",
    f"{_GATEWAY} queue",
    f"CU-hours of Livy sessions; each session is counted once, across restarts of the exporter. "
    f"{_POLLED}",
)
LIVY_VCORE_SECONDS = _metric(
    "livy_vcore_seconds_total",
    "counter",
    f"{_GATEWAY} queue",
    f"Vcore-seconds of Livy sessions, counted like livy_cu_hours_total. {_POLLED}",
)
LIVY_MB_SECONDS = _metric(
    "livy_mb_seconds_total",
    "counter",
    f"{_GATEWAY} queue",
    "MB-seconds of Livy sessions, in the service's MB, counted like livy_cu_hours_total. "
    f"{_POLLED}",
)
LIVY_PROXY_USER_CU_HOURS = _metric(
    "livy_proxy_user_cu_hours_total",
    "counter",
    f"{_GATEWAY} proxy_user",
    f"CU-hours of Livy sessions by the user they run for. {_POLLED}",
)
LIVY_PROXY_USER_VCORE_SECONDS = _metric(
    "livy_proxy_user_vcore_seconds_total",
    "counter",
    f"{_GATEWAY} proxy_user",
    f"Vcore-seconds of Livy sessions by the user they run for. {_POLLED}",
)
LIVY_PROXY_USER_MB_SECONDS = _metric(
    "livy_proxy_user_mb_seconds_total",
    "counter",
    f"{_GATEWAY} proxy_user",
    f"MB-seconds of Livy sessions by the user they run for, in the service's MB. {_POLLED}",
)
LIVY_OVERCOUNTED = _metric(
    "livy_cu_hours_overcounted",
    "gauge",
    f"{_GATEWAY} queue",
    "CU-hours by which the service later revised its estimates down; net usage is the total minus "
    f"this. {_POLLED}",
)
LIVY_SESSIONS_STARTED = _metric(
    "livy_sessions_started_total",
    "counter",
    f"{_GATEWAY} queue",
    f"Livy sessions seen for the first time. {_POLLED}",
)
LIVY_SESSIONS_ENDED = _metric(
    "livy_sessions_ended_total",
    "counter",
    f"{_GATEWAY} queue state",
    "Livy sessions that ended, by final state; unknown: the session disappeared from the list "
    "while it was open, or ended in an undocumented state. A session that is listed again and "
    f"fails is then counted as error too. {_POLLED}",
)
WORKSPACE_INFO = _metric(
    "workspace_info",
    "gauge",
    "workspace_id workspace_name region_id account",
    "A polled workspace; always 1. workspace_name is the id if the name is unknown.",
)
LIVY_GATEWAY_INFO = _metric(
    "livy_gateway_info",
    "gauge",
    f"{_GATEWAY} name queue status",
    "A polled Livy gateway; always 1. name is the id if the name is unknown.",
)
BUILD_INFO = _metric(
    "exporter_build_info",
    "gauge",
    "version revision python_version",
    "Versions of the running exporter and its Python; always 1.",
)
TARGET_UP = _metric(
    "exporter_target_up",
    "gauge",
    _TARGET,
    "1 if the last finished poll of the target succeeded completely, else 0.",
)
TARGET_ERROR_INFO = _metric(
    "exporter_target_error_info",
    "gauge",
    f"{_TARGET} reason",
    "Why the last poll of the target failed; only while it fails.",
)
TARGET_LAST_SUCCESS = _metric(
    "exporter_target_last_success_timestamp_seconds",
    "gauge",
    _TARGET,
    "When the last successful poll of the target ended.",
)
TARGET_STALE_AFTER = _metric(
    "exporter_target_stale_after_seconds",
    "gauge",
    _TARGET,
    "Age of the last successful poll at which the target's gauges are withdrawn.",
)
TARGET_POLL_DURATION = _metric(
    "exporter_target_last_poll_duration_seconds",
    "gauge",
    _TARGET,
    "How long the last finished poll of the target took.",
)
TARGET_POLL_REQUESTS = _metric(
    "exporter_target_last_poll_requests",
    "gauge",
    _TARGET,
    "HTTP requests that the last finished poll of the target made.",
)
DISCOVERY_UP = _metric(
    "exporter_discovery_up",
    "gauge",
    "account region_id workspace_id",
    "1 if the last discovery succeeded, else 0; of workspaces (workspace_id is empty), or of the "
    "gateways of a workspace. Refreshed every discovery.interval.",
)
DISCOVERY_ERROR_INFO = _metric(
    "exporter_discovery_error_info",
    "gauge",
    "account region_id workspace_id reason",
    "Why the last discovery failed; only while it fails.",
)
DISCOVERY_LAST_SUCCESS = _metric(
    "exporter_discovery_last_success_timestamp_seconds",
    "gauge",
    "account region_id workspace_id",
    "When the last successful discovery ended. Refreshed every discovery.interval.",
)
POLLS = _metric("exporter_polls_total", "counter", "source", "Finished polls.")
POLL_FAILURES = _metric(
    "exporter_poll_failures_total", "counter", "source reason", "Polls that failed, by reason."
)
POLLS_SKIPPED = _metric(
    "exporter_polls_skipped_total",
    "counter",
    "source",
    "Polls that did not start because the one before them was still running.",
)
POLLS_LATE = _metric(
    "exporter_polls_late_total",
    "counter",
    "source",
    "Polls that began late, by more than a second and a tenth of poll.interval: the process has "
    "too little CPU.",
)
API_REQUESTS = _metric(
    "exporter_api_requests_total",
    "counter",
    "account region_id action",
    "HTTP requests to the API; every attempt counts.",
)
API_FAILURES = _metric(
    "exporter_api_request_failures_total",
    "counter",
    "account region_id action reason",
    "HTTP requests to the API that failed, by reason.",
)
API_RETRIES = _metric(
    "exporter_api_retries_total",
    "counter",
    "account region_id action",
    "HTTP requests to the API that repeated a failed one.",
)
API_DURATION = _metric(
    "exporter_api_request_duration_seconds",
    "histogram",
    "action",
    "Time from sending an HTTP request to the last byte of its response.",
)
API_RATE_LIMIT = _metric(
    "exporter_api_request_rate_limit",
    "gauge",
    "account region_id",
    "Current limit on requests per second; it is lowered when the service throttles.",
)
WALK_PAGES = _metric(
    "exporter_livy_walk_pages",
    "gauge",
    _GATEWAY,
    "Pages that the full scan of a Livy history has read so far; only during one.",
)
WALK_PAGES_EXPECTED = _metric(
    "exporter_livy_walk_pages_expected",
    "gauge",
    _GATEWAY,
    "Pages that the full scan of a Livy history is expected to read; only during one.",
)
HISTORY_TRUNCATED = _metric(
    "exporter_livy_history_truncated",
    "gauge",
    _GATEWAY,
    f"1 if the service stops returning pages before the end of a Livy history. {_POLLED}",
)
MALFORMED_RECORDS = _metric(
    "exporter_malformed_records_total",
    "counter",
    "source",
    "Malformed records that were left out; a record counts each time it is read.",
)
MALFORMED_RECORD_IDS = _metric(
    "exporter_malformed_record_ids",
    "gauge",
    "source",
    "Distinct malformed records since the exporter started.",
)
UNKNOWN_STATES = _metric(
    "exporter_unknown_states_total",
    "counter",
    "source",
    "Records in an undocumented state; a record counts each time it is read.",
)
USAGE_REVISIONS = _metric(
    "exporter_usage_revisions_total",
    "counter",
    _GATEWAY,
    "Times that the CU-hours of a Livy session were lower than when last read.",
)
SESSIONS_READMITTED = _metric(
    "exporter_sessions_readmitted_total",
    "counter",
    _GATEWAY,
    "Livy sessions that were listed again after the ledger had forgotten them; they add nothing "
    "to the totals.",
)
SESSIONS_WITHOUT_SERIES = _metric(
    "exporter_sessions_without_series",
    "gauge",
    _GATEWAY,
    "Live and recently ended Livy sessions without series of their own, because there are more "
    f"than sessions.max-series-sessions. {_POLLED}",
)
LEDGER_CREATED = _metric(
    "exporter_ledger_created_timestamp_seconds",
    "gauge",
    "",
    "When the ledger was created; a change means that the counters were reset.",
)
LEDGER_SESSIONS = _metric(
    "exporter_ledger_sessions", "gauge", "", "Livy sessions that the ledger remembers."
)
LEDGER_SIZE = _metric(
    "exporter_ledger_size_bytes",
    "gauge",
    "",
    "Size of the ledger: of its file, or of its tables in PostgreSQL.",
)
LEDGER_HELD_SERIES = _metric(
    "exporter_ledger_held_series",
    "gauge",
    "",
    "Counter series that do not show increases yet; see ledger.birth-hold.",
)
LEDGER_FAILURES = _metric(
    "exporter_ledger_failures_total",
    "counter",
    "reason",
    "Failed attempts to write the ledger; the usage is counted once writing succeeds again.",
)

LEDGER_UP = _metric(
    "exporter_ledger_up",
    "gauge",
    "",
    "1 if the last use of the ledger succeeded, else 0.",
)
LEDGER_COMMIT_DURATION = _metric(
    "exporter_ledger_commit_duration_seconds",
    "histogram",
    "",
    "Duration of successful transactions of the ledger.",
)
LEDGER_REWINDS = _metric(
    "exporter_ledger_rewinds_total",
    "counter",
    "",
    "Times that this replica took over a ledger whose database server may have lost commits.",
)
LEASE_HOLDER = _metric(
    "exporter_lease_holder",
    "gauge",
    "",
    "1 if this replica owns the ledger and polls, else 0; only with ledger.url.",
)
LEASE_ACQUISITIONS = _metric(
    "exporter_lease_acquisitions_total",
    "counter",
    "",
    "Times that this replica became the owner of the ledger.",
)
LEASE_LOSSES = _metric(
    "exporter_lease_losses_total",
    "counter",
    "reason",
    "Times that this replica lost the ownership of the ledger.",
)
LEASE_SETTINGS_DIFFER = _metric(
    "exporter_lease_settings_differ",
    "gauge",
    "",
    "1 if another replica polls or counts with different settings, else 0.",
)

WEB_CONFIG_RELOADED = _metric(
    "exporter_web_config_last_reload_successful",
    "gauge",
    "",
    "1 if the file of --web.config.file was valid when it was last read, else 0.",
)

CATALOG: tuple[Metric, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)
"""Every metric, in the order of the page."""
