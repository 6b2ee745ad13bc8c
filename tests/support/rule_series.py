"""The series of an exporter as Prometheus stores them, for tests of rules: see `promtool.Case`."""

W = 'workspace_id="w"'
CLUSTER = f'{W},session_cluster_id="sc"'
GATEWAY = f'{W},livy_compute_id="lc"'
CU = "livy_cu_hours_total"
QUEUE = f'{GATEWAY},queue="q"'


def at(metric: str, labels: str = "", instance: str = "a") -> str:
    """Name a series as Prometheus stores it: with the job, the instance and the pod."""
    inner = ",".join(
        filter(None, [labels, f'job="emr",instance="{instance}:9825",pod="{instance}"'])
    )
    return f"{metric}{{{inner}}}"


def up(values: str, instance: str = "a", source: str = "session_clusters") -> dict[str, str]:
    """Whether polls succeed; how long a target takes to be stale does not change."""
    labels = f'source="{source}",{W if source == "session_clusters" else GATEWAY}'
    return {at("exporter_target_up", labels, instance): values}


def cluster(state: str, values: str, instance: str = "a", name: str = "etl") -> dict[str, str]:
    """Show one state of a session cluster, and its name for as long as it has a state."""
    known = " ".join(_presence(part) for part in values.split())
    labels = f'{CLUSTER},name="{name}",kind="SQL",queue="q",user_name="u",release_version="r"'
    return {
        at("session_cluster_state", f'{CLUSTER},state="{state}"', instance): values,
        at("session_cluster_info", f'{labels},fusion="false"', instance): known,
    }


def _presence(part: str) -> str:
    value, _, minutes = part.partition("@")
    return f"1@{minutes}" if minutes and value != "_" else part


def target(metric: str, values: str, more: str = "", instance: str = "a") -> dict[str, str]:
    """Show a metric of the target of the session clusters."""
    labels = ",".join(filter(None, [f'source="session_clusters",{W}', more]))
    return {at(metric, labels, instance): values}


def alive(values: str = "1@300", instance: str = "a") -> dict[str, str]:
    """Let an exporter be scraped."""
    return {at("exporter_build_info", 'version="1"', instance): values}


def ledger(created: str = "1000@300", instance: str = "a") -> dict[str, str]:
    """Let an exporter have a ledger."""
    return {at("exporter_ledger_created_timestamp_seconds", "", instance): created}
