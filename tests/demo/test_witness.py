import pytest

from exporter.demo import (
    NANO,
    GatewayKey,
    SessionKey,
    SimulatedCluster,
    SimulatedSession,
    SimulatedUsage,
    World,
    faults,
    survey,
)
from exporter.demo.faults import Effect
from tests.support.cloud_client import REGION, SESSIONS, get, small_cloud, small_world

KEY = SessionKey("w-1", "lc-1", "livy-7", 7)
ALL = f"pageSize=100&{REGION}"


def test_the_truth_is_the_sum_of_the_rows() -> None:
    """By workspace, gateway, queue and user; states are counted as they are served."""
    world = small_world()
    for n, (queue, user) in enumerate([("a", "u"), ("a", None), ("b", "u")]):
        usage = SimulatedUsage(n * NANO, 10 * n, 100 * n)
        world.put_session(
            SimulatedSession("w-1", "lc-1", f"s-{n}", n, queue=queue, proxy_user=user, usage=usage)
        )
    world.put_cluster(SimulatedCluster("w-1", "sc-1", state="Error"))
    truth = survey(world)
    total = SimulatedUsage(3 * NANO, 30, 300)
    assert truth.by_workspace == {"w-1": total}
    assert truth.by_gateway == {GatewayKey("w-1", "lc-1"): total}
    assert truth.by_queue["w-1", "lc-1", "a"] == SimulatedUsage(NANO, 10, 100)
    assert truth.by_proxy_user["w-1", "lc-1", "u"] == SimulatedUsage(2 * NANO, 20, 200)
    assert truth.by_proxy_user["w-1", "lc-1", None] == SimulatedUsage(NANO, 10, 100)
    assert truth.clusters == {("w-1", "SQL", "root_queue", "Error"): 1}
    assert truth.sessions["w-1", "lc-1", "a", "running"] == 2


def test_what_was_delivered_equals_the_truth_after_a_whole_scan() -> None:
    """Every row of every page is noted, and no other."""
    cloud = small_cloud(sessions=150)
    get(cloud, SESSIONS, ALL)
    assert len(cloud.delivered.highest) == 100
    get(cloud, SESSIONS, f"pageNum=2&{ALL}")
    assert cloud.delivered.by_queue() == cloud.truth().by_queue
    assert cloud.delivered.by_gateway() == cloud.truth().by_gateway
    assert cloud.delivered.by_proxy_user() == cloud.truth().by_proxy_user


def test_the_highest_of_each_figure_is_kept_beside_the_latest() -> None:
    """A revision down changes the latest only; a session that is gone is remembered."""
    cloud = small_cloud(sessions=10)
    for usage in (SimulatedUsage(9, 1, 5), SimulatedUsage(3, 4, 5)):
        cloud.world.revise(KEY, usage)
        get(cloud, SESSIONS)
    cloud.world.remove_session(KEY)
    get(cloud, SESSIONS)
    assert cloud.delivered.highest[KEY] == SimulatedUsage(9, 4, 5)
    assert cloud.delivered.latest[KEY] == SimulatedUsage(3, 4, 5)


def test_an_id_that_comes_back_later_is_another_session() -> None:
    """Both count."""
    cloud = small_cloud(sessions=10)
    cloud.world.put_session(
        SimulatedSession("w-1", "lc-1", "livy-7", 5000, usage=SimulatedUsage(1, 1, 1))
    )
    get(cloud, SESSIONS)
    assert cloud.delivered.highest[KEY] == SimulatedUsage(7, 7, 7)
    assert cloud.delivered.highest[KEY._replace(create_time_ms=5000)] == SimulatedUsage(1, 1, 1)


@pytest.mark.parametrize(
    "effect", [faults.UNAVAILABLE, faults.Cut(), faults.Truncate(), faults.NULL, faults.Flood(9)]
)
def test_an_incompletely_sent_page_delivers_nothing(effect: Effect) -> None:
    """Errors, cuts and rubbish bring no figures."""
    cloud = small_cloud(sessions=10)
    cloud.faults.add(effect)
    get(cloud, SESSIONS)
    assert cloud.delivered.highest == {}


@pytest.mark.parametrize(("raw", "counts"), [({"cuHours": "x"}, 9), ({"name": 5}, 10), ("{}", 9)])
def test_rows_that_lie_about_their_figures_are_not_noted(raw: object, counts: int) -> None:
    """A lie about something else does not matter."""
    cloud = small_cloud(sessions=10)
    cloud.world.change_session(KEY, raw=raw)
    get(cloud, SESSIONS)
    assert len(cloud.delivered.highest) == counts


def test_an_empty_world_has_an_empty_truth() -> None:
    """No key without a row."""
    assert survey(World()).by_workspace == {}
