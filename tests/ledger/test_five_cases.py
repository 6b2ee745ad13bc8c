"""The five ways in which exporters of finite jobs lose or invent usage, as Prometheus sees them.

Our exposition is recorded from the exporter itself, scrape by scrape, and promtool evaluates what
users write over it. `increase()` extrapolates to the edges of its window, so it is compared with a
tolerance of one scrape interval; the plain difference of samples has to be exact.
"""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from exporter.demo import World
from tests.ledger.recording import (
    HOLD_SECONDS,
    Event,
    Recording,
    record,
    start,
    stop,
    unit_test,
)
from tests.support.harness import Harness
from tests.support.ledger_stores import both_stores, for_harness
from tests.support.worlds import GATEWAY, WORKSPACE, empty_world, key, session, used

pytestmark = [pytest.mark.anyio, pytest.mark.real, both_stores]

TOTAL = "sum(emr_serverless_spark_livy_cu_hours_total)"
QUEUE = 'emr_serverless_spark_livy_cu_hours_total{queue="root_queue"}'
RULES = {"cu_hours:increase5m": f"sum(increase({QUEUE}[5m]))"}


async def check(
    promtool: Path,
    folder: Path,
    world: World,
    events: Mapping[int, Event],
    *,
    true_increase: float,
    minutes: int = 46,
) -> Recording:
    """Record the exporter for a while; see that Prometheus finds the true increase in it."""
    async with Harness(
        world, ledger=for_harness(folder / "ledger.db"), birth_hold=HOLD_SECONDS, sessions={}
    ) as harness:
        recording = await record(harness, minutes, events, "livy_cu_hours_total")
    tolerance = 0.06 * true_increase + 1e-9
    expected = {
        f"sum(last_over_time({QUEUE}[2h]) - min_over_time({QUEUE}[2h]))": true_increase,
        f"abs(sum(increase({QUEUE}[{minutes}m])) - {true_increase}) < bool {tolerance}": 1,
        f"abs(sum_over_time(cu_hours:increase5m[2h]) - {true_increase}) < bool {tolerance}": 1,
        f"sum(resets({QUEUE}[2h]))": 0,
    }
    rules, tests = unit_test(recording, RULES, expected, "rules.yml")
    (folder / "rules.yml").write_text(rules)
    (folder / "tests.yml").write_text(tests)
    evaluate(promtool, folder)
    return recording


def evaluate(promtool: Path, folder: Path) -> None:
    """Let promtool run the tests in a folder."""
    command: list[str | Path] = [promtool, "test", "rules", "tests.yml"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def promtool(real_tool: Callable[[str], Path]) -> Path:
    """Return promtool."""
    return real_tool("promtool")


@pytest.fixture
def world() -> World:
    """Make a world in which 100 CU-hours were used before anybody looked."""
    world = empty_world()
    world.put_session(session("livy-old", 100.0, age=86_400, state="terminated"))
    return world


def uses(session_id: str, cu_hours: float) -> Event:
    """Let a session use so many CU-hours from then on."""

    def happen(harness: Harness) -> None:
        harness.world.revise(key(session_id), used(cu_hours))

    return happen


def appears(session_id: str, cu_hours: float) -> Event:
    """Let a session appear that has used so many CU-hours already."""

    def happen(harness: Harness) -> None:
        harness.world.put_session(session(session_id, cu_hours))

    return happen


async def test_usage_of_a_first_session_is_an_increase(promtool: Path, memory_disk: Path) -> None:
    """Though the series of its queue is new: it shows 0 before 322.5."""
    events = {17: appears("livy-a", 322.5)}
    recording = await check(promtool, memory_disk, empty_world(), events, true_increase=322.5)
    (values,) = recording.series.values()
    assert {"0.0", "322.5", "_"} == set(values)


async def test_trimmed_history_is_no_counter_reset(
    promtool: Path, memory_disk: Path, world: World
) -> None:
    """Old sessions leave the listing; the increase is what was used."""

    def trim(harness: Harness) -> None:
        harness.world.trim_oldest(WORKSPACE, GATEWAY, 1)

    events = {11: appears("livy-a", 10.0), 23: trim, 37: uses("livy-a", 12.5)}
    await check(promtool, memory_disk, world, events, true_increase=12.5)


async def test_restart_counts_nothing_twice(
    promtool: Path, memory_disk: Path, world: World
) -> None:
    """The increase is what was used afterwards."""
    events: Mapping[int, Event] = {
        11: appears("livy-a", 10.0),
        23: Harness.restart,
        37: uses("livy-a", 12.5),
    }
    await check(promtool, memory_disk, world, events, true_increase=12.5)


async def test_usage_during_downtime_is_an_increase_afterwards(
    promtool: Path, memory_disk: Path, world: World
) -> None:
    """Also that of a session created meanwhile."""
    events: Mapping[int, Event] = {
        11: appears("livy-a", 10.0),
        23: stop,
        25: appears("livy-whole", 7.0),
        27: uses("livy-a", 12.5),
        29: start,
        40: uses("livy-a", 13.0),
    }
    await check(promtool, memory_disk, world, events, true_increase=20.0)


async def test_usage_during_an_outage_longer_than_the_range_is_not_lost(
    promtool: Path, memory_disk: Path, world: World
) -> None:
    """increase(...[5m]) contains all that was used during an outage of 20 minutes."""
    events: Mapping[int, Event] = {
        7: appears("livy-a", 10.0),
        17: stop,
        27: uses("livy-a", 60.0),
        37: start,
    }
    await check(promtool, memory_disk, world, events, true_increase=60.0)
