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
        """Give the OpenMetrics family name: without `_total`."""
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
    f"Whether the session cluster starts by itself when it is used. {_POLLED}",
)
SESSION_CLUSTER_AUTO_STOP = _metric(
    "session_cluster_auto_stop_enabled",
    "gauge",
    _CLUSTER,
    f"Whether the session cluster stops by itself when it is idle. {_POLLED}",
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
    f"Whether the session cluster can be reached from the internet. {_POLLED}",
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
    f"Entries of session clusters into a state, by comparing polls. {_POLLED}",
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
    f"CU-hours of a live or recently ended Livy session, as the service estimates. {_POLLED}",
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
    f"CU-hours of Livy sessions, each counted once and over restarts. {_POLLED}",
)
LIVY_VCORE_SECONDS = _metric(
    "livy_vcore_seconds_total",
    "counter",
    f"{_GATEWAY} queue",
    f"Vcore-seconds of Livy sessions, each counted once and over restarts. {_POLLED}",
)
LIVY_MB_SECONDS = _metric(
    "livy_mb_seconds_total",
    "counter",
    f"{_GATEWAY} queue",
    "MB-seconds of Livy sessions, in the service's MB, each counted once and over restarts. "
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
    "CU-hours that the service took back by revising estimates down; the net is the total minus "
    f"this. {_POLLED}",
)
LIVY_SESSIONS_STARTED = _metric(
    "livy_sessions_started_total",
    "counter",
    f"{_GATEWAY} queue",
    f"Livy sessions that were seen for the first time. {_POLLED}",
)
LIVY_SESSIONS_ENDED = _metric(
    "livy_sessions_ended_total",
    "counter",
    f"{_GATEWAY} queue state",
    "Livy sessions that ended, by how; unknown means that the session vanished while it was "
    "open, or ended in a state that is not documented. One that is listed again and fails is "
    f"counted as error too. {_POLLED}",
)
WORKSPACE_INFO = _metric(
    "workspace_info",
    "gauge",
    "workspace_id workspace_name region_id account",
    "A polled workspace; always 1. The name is the id where it is not known.",
)
LIVY_GATEWAY_INFO = _metric(
    "livy_gateway_info",
    "gauge",
    f"{_GATEWAY} name queue status",
    "A polled Livy gateway; always 1. The name is the id where it is not known.",
)
BUILD_INFO = _metric(
    "exporter_build_info",
    "gauge",
    "version revision python_version",
    "What is running; always 1.",
)
TARGET_UP = _metric(
    "exporter_target_up",
    "gauge",
    _TARGET,
    "Whether the last finished poll of the target succeeded completely.",
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
    "Age of the last good poll at which the target's gauges are withdrawn.",
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
    "Whether the last discovery succeeded: of workspaces (empty workspace_id), or of the gateways "
    "of a workspace. Refreshed every discovery.interval.",
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
    "Polls that began a tenth of poll.interval, and more than a second, after they were due: the"
    " process has too little CPU.",
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
    "Time from sending an HTTP request to the last byte of its answer.",
)
API_RATE_LIMIT = _metric(
    "exporter_api_request_rate_limit",
    "gauge",
    "account region_id",
    "Requests per second that the exporter allows itself at present; it falls under throttling.",
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
    f"Whether the service does not let us read a Livy history to its end. {_POLLED}",
)
MALFORMED_RECORDS = _metric(
    "exporter_malformed_records_total",
    "counter",
    "source",
    "Readings of records that could not be understood and were left out.",
)
MALFORMED_RECORD_IDS = _metric(
    "exporter_malformed_record_ids",
    "gauge",
    "source",
    "Different records that could not be understood since the exporter started.",
)
UNKNOWN_STATES = _metric(
    "exporter_unknown_states_total",
    "counter",
    "source",
    "Readings of records in a state outside the documented vocabulary.",
)
USAGE_REVISIONS = _metric(
    "exporter_usage_revisions_total",
    "counter",
    _GATEWAY,
    "Readings in which the CU-hours of a Livy session were lower than before.",
)
SESSIONS_READMITTED = _metric(
    "exporter_sessions_readmitted_total",
    "counter",
    _GATEWAY,
    "Livy sessions that came back after the ledger had forgotten them; they add nothing.",
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
    "When the ledger was created; a change means that counters started anew.",
)
LEDGER_SESSIONS = _metric(
    "exporter_ledger_sessions", "gauge", "", "Livy sessions that the ledger remembers."
)
LEDGER_SIZE = _metric("exporter_ledger_size_bytes", "gauge", "", "Size of the ledger's file.")
LEDGER_HELD_SERIES = _metric(
    "exporter_ledger_held_series",
    "gauge",
    "",
    "Counter series that do not show their increases yet; see ledger.birth-hold.",
)
LEDGER_FAILURES = _metric(
    "exporter_ledger_failures_total",
    "counter",
    "reason",
    "Attempts to write the ledger that failed; the usage is counted when writing works again.",
)

LEDGER_UP = _metric(
    "exporter_ledger_up",
    "gauge",
    "",
    "Whether the last use of the ledger succeeded.",
)
LEDGER_COMMIT_DURATION = _metric(
    "exporter_ledger_commit_duration_seconds",
    "histogram",
    "",
    "How long writing to the ledger took, for each transaction that succeeded.",
)
LEDGER_REWINDS = _metric(
    "exporter_ledger_rewinds_total",
    "counter",
    "",
    "Times that this replica took a ledger over whose server may have lost commits.",
)
LEASE_HOLDER = _metric(
    "exporter_lease_holder",
    "gauge",
    "",
    "Whether this replica owns the ledger, and polls; with ledger.url.",
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
    "Times that this replica ceased to be the owner of the ledger.",
)
LEASE_SETTINGS_DIFFER = _metric(
    "exporter_lease_settings_differ",
    "gauge",
    "",
    "Whether another replica polls or counts by other settings.",
)

WEB_CONFIG_RELOADED = _metric(
    "exporter_web_config_last_reload_successful",
    "gauge",
    "",
    "Whether the file of --web.config.file was good when it was last read.",
)

CATALOG: tuple[Metric, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)
"""Every metric, in the order of the page."""
