"""The row of the dashboard *Exporter* on replicas that share a ledger in PostgreSQL."""

from grafana.parts import Figure, P, Placed, Query, lines, or_none, rows

E = f"{P}exporter_"
NO_REPLICAS = "no ledger.url"
OWNED_SINCE = f"instance:{E}lease_holder:since_timestamp"


def _by_replica(expr: str, legend: str = "{{instance}}") -> Query:
    return Query(or_none(f"max by (instance) ({expr})", "instance", NO_REPLICAS), legend)


def high_availability() -> tuple[Placed, ...]:
    """Show who owns the ledger, since when, and how its database fares."""
    commits = f"sum by (le) (rate({E}ledger_commit_duration_seconds_bucket[$__rate_interval]))"
    owned = f"(time() - {OWNED_SINCE} or 0 * {E}lease_holder)"
    usable = f"{E}ledger_up and on (job, instance) {E}lease_holder"
    acquired = f"sum(increase({E}lease_acquisitions_total[1h]))"
    lost = f"sum by (reason) (increase({E}lease_losses_total[1h]))"
    return (
        rows(
            "Replicas",
            "Which replica owns the ledger and polls, for how long, and whether each can use it.",
            Figure(
                "Ledger",
                _by_replica(f"{E}lease_holder"),
                texts={"0": "stands by", "1": "owns it"},
            ),
            Figure("Owner for", _by_replica(owned), unit="s", texts={"0": "-"}),
            Figure("Database", _by_replica(usable), texts={"0": "not usable", "1": "usable"}),
            columns={"instance": "Replica"},
            width=12,
            height=7,
        ),
        lines(
            "Owner of the ledger",
            "1: the replica owns the ledger and polls. One does at a time, or none in a hand-over.",
            _by_replica(f"{E}lease_holder"),
            decimals=0,
            top=1,
        ),
        lines(
            "Failovers in 1 h",
            "How often a replica became the owner; how owners ceased to be it, by reason.",
            Query(or_none(acquired, "reason", NO_REPLICAS), "acquired {{reason}}"),
            Query(or_none(f"{lost} > 0", "reason"), "ceased: {{reason}}"),
            decimals=0,
            width=6,
        ),
        lines(
            "Duration of commits",
            "How long writing to the ledger took, in a file too: median, 95% and 99%.",
            Query(f"histogram_quantile(0.5, {commits})", "median"),
            Query(f"histogram_quantile(0.95, {commits})", "95%"),
            Query(f"histogram_quantile(0.99, {commits})", "99%"),
            unit="s",
            width=6,
        ),
        lines(
            "Ledger usable",
            "1: the last use of the ledger succeeded; of a standby, its look at the lease.",
            Query(f"max by (instance) ({E}ledger_up)", "{{instance}}"),
            decimals=0,
            top=1,
            width=6,
        ),
        lines(
            "Settings differ, commits lost in 1 h",
            "1: replicas poll or count by other settings. How often a database that was taken over "
            "may have lost commits.",
            _by_replica(f"{E}lease_settings_differ", "settings {{instance}}"),
            Query(or_none(f"sum(increase({E}ledger_rewinds_total[1h]))", "reason"), "commits lost"),
            decimals=0,
            width=6,
        ),
    )
