from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.demo import Fleet, HistoryOrder, Truth, World, survey
from exporter.demo.lives import MB_PER_CU
from tests.support.budgets import examples

START = 1_780_000_000.0


def living(seed: int = 0, speed: float = 60.0) -> tuple[World, Fleet]:
    """Make a world with a life, as it is at the start."""
    world = World()
    return world, Fleet(world, seed=seed, speed=speed, start=START)


def rows(world: World) -> list[object]:
    """Return everything in a world."""
    return [*world.workspaces(), *world.gateways(), *world.clusters(), *world.sessions()]


def cu_hours(truth: Truth) -> int:
    """Add up all nano-CU-hours."""
    return sum(usage.nano_cu_hours for usage in truth.by_workspace.values())


@examples(0.1)
@given(
    seed=st.integers(0, 5),
    moments=st.lists(st.floats(0, 400, allow_nan=False), max_size=12),
    speed=st.sampled_from([1.0, 60.0, 600.0]),
)
def test_looking_more_often_changes_nothing(seed: int, moments: list[float], speed: float) -> None:
    """Any partition of time gives the same world; a clock that steps back stands still."""
    often, once = living(seed, speed), living(seed, speed)
    for moment in moments:
        often[1].advance(START + moment)
    once[1].advance(START + max(moments, default=0))
    assert rows(often[0]) == rows(once[0])


def test_the_seed_decides() -> None:
    """The same seed gives the same world, another one another."""
    assert rows(living(1)[0]) == rows(living(1)[0]) != rows(living(2)[0])


@pytest.mark.parametrize("seed", range(5))
def test_at_the_start_there_is_a_past_and_a_present(seed: int) -> None:
    """Every gateway has more history than one page holds, and something alive."""
    world, _ = living(seed)
    assert len(world.workspaces()) == 2
    assert len(world.gateways()) == 3
    states = Counter(row.state.lower() for row in world.sessions())
    assert min(states[state] for state in ("running", "terminated", "error")) > 0
    for gateway in world.gateways():
        history = list(world.history(*gateway.key))
        assert len(history) > 100
        assert all(row.create_time_ms <= START * 1000 for row in history)
        assert any(row.state == "running" for row in history)
    assert {row.kind for row in world.clusters()} == {"SQL", "THRIFT", "NOTEBOOK"}
    assert "NotStarted" in {row.state for row in world.clusters()}


@pytest.mark.parametrize("seed", range(5))
def test_within_the_first_minute_everything_moves(seed: int) -> None:
    """States change, sessions begin and fail, and usage grows in every few seconds."""
    world, fleet = living(seed)
    known = {row.key for row in world.sessions() if row.state == "error"}
    clusters = [row.state for row in world.clusters()]
    changes, failures, still = 0, set(), 0
    for second in range(5, 61, 5):
        before = {row.key: row.usage.vcore_seconds for row in world.sessions()}
        fleet.advance(START + second)
        after = {row.key: row.usage.vcore_seconds for row in world.sessions()}
        still += not any(used > before.get(key, 0) for key, used in after.items())
        failures |= {row.key for row in world.sessions() if row.state == "error"} - known
        states = [row.state for row in world.clusters()]
        changes, clusters = changes + (states != clusters), states
    assert still == 0
    assert len(failures) > 0
    assert changes > 1


def test_cluster_states_are_the_documented_ones_and_all_are_seen() -> None:
    """In an hour of demo every state has come up, and the start time follows."""
    world, fleet = living()
    seen: set[str] = set()
    for second in range(0, 1200, 2):
        fleet.advance(START + second)
        for row in world.clusters():
            seen.add(row.state)
            assert (row.start_time_ms is None) == (row.state == "NotStarted")
            assert bool(row.reason_code) == (row.state == "Error")
    assert seen == {"NotStarted", "Starting", "Running", "Stopping", "Stopped", "Error"}


def test_a_life_at_another_speed_burns_the_same() -> None:
    """A session of an hour that runs for a minute uses what it would have used in the hour."""
    slow, fast = World(), World()
    Fleet(slow, seed=4, speed=1.0, start=START)
    Fleet(fast, seed=4, speed=60.0, start=START)
    ended = {row.session_id: row.usage for row in slow.sessions() if row.state == "terminated"}
    compared = 0
    for row in fast.sessions():
        if row.state == "terminated" and row.session_id in ended:
            compared += 1
            # The moments are floats of the present epoch: good to a microsecond or so.
            assert row.usage.vcore_seconds == pytest.approx(
                ended[row.session_id].vcore_seconds, abs=2
            )
    assert compared > 100


def test_figures_belong_together_and_never_fall_while_a_session_runs() -> None:
    """Memory follows the cores; only after its end an estimate may be revised, a little."""
    world, fleet = living()
    before = {row.key: row for row in world.sessions()}
    revised = 0
    for second in range(1, 200):
        fleet.advance(START + second)
        for row in world.sessions():
            old = before.get(row.key, row)
            assert row.usage.vcore_seconds >= old.usage.vcore_seconds
            assert abs(row.usage.mb_seconds / MB_PER_CU - row.usage.vcore_seconds) <= 1
            if row.usage.nano_cu_hours < old.usage.nano_cu_hours:
                revised += 1
                assert old.end_time_ms is not None
        before = {row.key: row for row in world.sessions()}
    assert revised > 0


def test_a_long_demo_stays_small() -> None:
    """History rolls: after hours there are as many rows as at the start, and all are others."""
    world, fleet = living()
    at_start = {row.key for row in world.sessions()}
    fleet.advance(START + 6 * 3600)
    assert len(world.sessions()) == pytest.approx(len(at_start), rel=0.1)
    assert at_start.isdisjoint(row.key for row in world.sessions())


def test_names_hold_quotes_newlines_and_non_ascii() -> None:
    """Quotes, backslashes, newlines and Chinese characters, in names and users; some have none."""
    world, _ = living()
    names = "".join(row.name for row in world.sessions())
    users = {row.proxy_user for row in world.sessions()}
    assert all(character in names for character in '"\\\n汇')
    assert {None, 'o"brien', "CORP\\etl", "张伟"} <= users
    assert len({row.queue for row in world.sessions()}) > 3


def test_a_fleet_tolerates_changes_from_outside() -> None:
    """Trimmed lists and removed gateways do not stop it."""
    world = World(order=HistoryOrder.SHUFFLED)
    fleet = Fleet(world, seed=0, start=START)
    first, second, _ = world.gateways()
    world.trim_oldest(*first.key, 200)
    world.remove_gateway(*second.key)
    fleet.advance(START + 3600)
    assert len(survey(world).by_gateway) == 2
    assert cu_hours(survey(world)) > 0
