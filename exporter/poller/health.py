"""Whether the process does its work, read off the published picture: pure functions."""

from exporter.errors import Reason
from exporter.poller.polling import Timing
from exporter.snapshot import Snapshot


def problems_of_health(timing: Timing, last_sign_of_life: float, monotonic: float) -> list[str]:
    """Say why the process should be restarted; empty while polls go on, failing or not.

    A poll may start an interval (and its jitter) late and then wait `poll.timeout` for a sign
    of life; when not even that has come, polling itself has stopped.
    """
    silence = monotonic - last_sign_of_life
    if silence <= 2 * timing.interval + timing.timeout:
        return []
    return [f"no poll has made progress for {silence:.0f} s"]


def problems_of_readiness(snapshot: Snapshot) -> list[str]:
    """Say what keeps the exporter from doing its work; empty where it does it."""
    problems: list[str] = []
    regions: dict[tuple[str, str], bool] = {}
    for target, view in snapshot.targets.items():
        where = (target.account, target.region_id)
        has_success = view.last_success_at is not None
        regions[where] = regions.get(where, False) or has_success
        if view.failure is not None and view.failure.reason in _FATAL:
            problems.append(f"{target}: {view.failure.message}")
    problems.extend(
        f"no good poll yet in region {region_id}" + (f" of account {account}" if account else "")
        for (account, region_id), has_success in regions.items()
        if not has_success
    )
    return problems


_FATAL = frozenset((Reason.CREDENTIAL, Reason.LEDGER))
"""Reasons that concern the exporter as a whole, whichever target met them."""
