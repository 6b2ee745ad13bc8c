"""What the page shows while a ledger fails and afterwards, wherever the ledger is kept.

The world of these tests has one session, `livy-a`.
"""

from contextlib import suppress
from pathlib import Path

from tests.support.harness import Harness
from tests.support.worlds import WORKSPACE


def total(harness: Harness) -> float:
    """Return the CU-hours on the page."""
    return harness.peek().value("livy_cu_hours_total", workspace_id=WORKSPACE)


async def assert_trouble(harness: Harness, reason: str, total_before: float, words: str) -> None:
    """Poll; check that the page keeps its totals and names the failure."""
    before = harness.peek().value("exporter_ledger_failures_total", reason=reason)
    await harness.poll("livy_sessions")
    page = harness.peek()
    assert total(harness) == total_before
    assert page.value("exporter_ledger_failures_total", reason=reason) == before + 1
    assert page.value("exporter_target_up", source="livy_sessions") == 0
    assert page.has("exporter_target_error_info", source="livy_sessions", reason="ledger")
    # What was read is true, whether or not it could be counted.
    assert page.value("livy_session_cu_hours", session_id="livy-a") > total_before
    ready = await harness.get("/-/ready")
    assert (ready.status_code, words in ready.text) == (503, True), ready.text


async def assert_well(harness: Harness, expected: float) -> None:
    """Poll; check that everything is counted and no failure is shown."""
    await harness.poll()
    ready = await harness.get("/-/ready")
    assert ready.status_code == 200, ready.text
    assert total(harness) == expected
    assert harness.peek().value("exporter_target_up", source="livy_sessions") == 1


async def assert_same_after_restart(harness: Harness) -> None:
    """Check that the page shows the same after a restart."""
    before = total(harness)
    await harness.restart()
    assert total(harness) == before


def fill(folder: Path) -> None:
    """Use up all that is left of a file system."""
    with suppress(OSError), (folder / "rest").open("wb", buffering=0) as rest:
        while True:
            rest.write(b"x" * 1024)
