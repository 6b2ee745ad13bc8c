"""Health and readiness of the process, from the published snapshot: pure functions."""

from exporter.errors import Reason
from exporter.model import Ownership, Standing
from exporter.poller.polling import Timing
from exporter.snapshot import Snapshot


def problems_of_health(
    snapshot: Snapshot, timing: Timing, *, discovery_interval: float, silence: float
) -> list[str]:
    """Return why the process should be restarted; empty while polls go on, failing or not.

    `silence` is the time in seconds since anything arrived or finished. Work may start an
    interval (and its jitter) late and then wait `poll.timeout` for a sign of life; when not
    even that has come, polling itself has stopped. Without targets only discoveries run.
    """
    interval = timing.interval if snapshot.targets else discovery_interval
    if silence <= 2 * interval + timing.timeout:
        return []
    return [f"no poll has made progress for {silence:.0f} s"]


def problems_of_readiness(snapshot: Snapshot) -> list[str]:
    """Return what keeps the exporter from being ready; empty when it is."""
    named = [(str(target), view.failure) for target, view in snapshot.targets.items()]
    named += [(str(scope), view.failure) for scope, view in snapshot.discoveries.items()]
    problems = [
        f"{name}: {failure.with_advice}"
        for name, failure in named
        if failure and failure.reason in _FATAL
    ]
    places = {(target.account, target.region_id) for target in snapshot.targets}
    places |= {(scope.account, scope.region_id) for scope in snapshot.discoveries}
    problems += [
        f"no successful poll yet in region {region_id}"
        + (f" of account {account}" if account else "")
        for account, region_id in sorted(places)
        if not _is_served(snapshot, account, region_id)
    ]
    return problems


def problems_of_looks(
    ownership: Ownership | None, timing: Timing, duration: float, at: float
) -> list[str]:
    """Return why the process should be restarted; empty while it reads or renews the lease.

    Looks are a sixth of the duration apart, and one that fails has ended, too.
    """
    if ownership is None or at - ownership.looked_at <= duration + timing.timeout:
        return []
    return [f"no attempt to read or renew the lease has ended for {at - ownership.looked_at:.0f} s"]


def problems_of_lease(ownership: Ownership | None, duration: float, at: float) -> list[str]:
    """Return what keeps a replica from taking over (seconds of the boot-time clock).

    It may well be the owner, or a standby: a standby that was not ready would stop a rolling
    update for ever.
    """
    if ownership is None or at - ownership.seen_at <= duration:
        return []
    problem = "the lease of the ledger could not be read for longer than lease.duration"
    return [": ".join(filter(None, (problem, ownership.failure)))]


def summary(snapshot: Snapshot, ownership: Ownership | None) -> str:
    """Return the state of the targets in one line."""
    if ownership is not None and ownership.standing is Standing.STANDBY:
        return f"standby: {ownership.holder or 'nobody'} owns the ledger"
    if not snapshot.targets:
        failures = [view.failure for view in snapshot.discoveries.values() if view.failure]
        reasons = ", ".join(sorted({failure.reason for failure in failures}))
        why = f"discovery fails ({reasons})" if reasons else "nothing is discovered"
        return f"nothing is polled yet: {why}"
    ups = [view.up for view in snapshot.targets.values()]
    said = f"{ups.count(True)} of {len(ups)} targets up"
    unknown = ups.count(None)
    return f"{said}, {unknown} not polled yet" if unknown else said


def _is_served(snapshot: Snapshot, account: str, region_id: str) -> bool:
    """Whether a poll has succeeded in a region, or discovery found nothing to poll there."""
    polled = [
        view.last_success_at is not None
        for target, view in snapshot.targets.items()
        if (target.account, target.region_id) == (account, region_id)
    ]
    discovered = [
        view.last_success_at is not None
        for scope, view in snapshot.discoveries.items()
        if (scope.account, scope.region_id) == (account, region_id)
    ]
    return any(polled) if polled else any(discovered)


_FATAL = frozenset((Reason.CREDENTIAL, Reason.LEDGER))
"""Reasons that concern the exporter as a whole, whichever target met them."""
