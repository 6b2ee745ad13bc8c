"""From a complete listing to gauges: pure functions."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from exporter import catalog
from exporter.catalog import Metric
from exporter.errors import IncompleteError
from exporter.model import (
    LIVY_SESSION_STATES,
    NANO,
    SESSION_CLUSTER_STATES,
    LivySession,
    SessionCluster,
    Usage,
)
from exporter.snapshot import Sample, Samples
from exporter.sources import session_clusters
from exporter.sources.listing import DisappearanceGuard
from exporter.sources.livy_sessions.series import Gauges
from tests.sources.listings import counts_of

GATEWAY = ("w", "lc")


def sole(samples: Samples, metric: Metric) -> Sample:
    """Return the only sample of a metric."""
    (sample,) = samples[metric]
    return sample


def clusters(*found: SessionCluster, since: dict[str, float] | None = None) -> Samples:
    """Return the gauges of session clusters."""
    return session_clusters.samples("w", found, since or {}, session_clusters.sample_cache("w"))


def sessions(*found: LivySession, ended: frozenset[str] = frozenset(), most: int = 5000) -> Samples:
    """Return the gauges of Livy sessions."""
    return Gauges(GATEWAY, most).samples(found, ended, counts_of(found))


def with_series(samples: Samples) -> list[str]:
    """Return the ids of the sessions that have series of their own."""
    return [sample.labels[2] for sample in samples.get(catalog.LIVY_SESSION_INFO, ())]


def test_every_known_state_is_counted() -> None:
    """For a kind and queue that exists, states without a cluster are 0."""
    found = clusters(
        SessionCluster("a", "running", kind="SQL", queue="q"),
        SessionCluster("b", "running", kind="SQL", queue="q"),
        SessionCluster("c", "error", kind="SQL", queue="q"),
    )
    counts = {sample.labels[3]: sample.value for sample in found[catalog.SESSION_CLUSTERS]}
    assert counts == {**dict.fromkeys(SESSION_CLUSTER_STATES, 0), "running": 2, "error": 1}


def test_a_cluster_of_which_nothing_is_known_but_its_state() -> None:
    """What the service left out has no sample, and an empty label in the attributes."""
    found = clusters(SessionCluster("a", "starting"))
    assert set(found) == {
        catalog.SESSION_CLUSTERS,
        catalog.SESSION_CLUSTER_STATE,
        catalog.SESSION_CLUSTER_INFO,
    }
    assert sole(found, catalog.SESSION_CLUSTER_INFO).labels == ("w", "a", "", "", "", "", "", "")


@pytest.mark.parametrize(
    ("auto_stop", "minutes", "expected"),
    [(True, 45, 2700), (True, 0, 0), (True, None, None), (False, 45, None), (None, 45, None)],
)
def test_an_idle_timeout_only_where_it_stops_by_itself(
    auto_stop: bool | None,  # noqa: FBT001
    minutes: int | None,
    expected: float | None,
) -> None:
    """In seconds; absent where auto-stop is off or the time is not known."""
    cluster = SessionCluster("a", "running", auto_stop=auto_stop, auto_stop_idle_minutes=minutes)
    found = clusters(cluster).get(catalog.SESSION_CLUSTER_IDLE_TIMEOUT, ())
    assert [sample.value for sample in found] == ([] if expected is None else [expected])


@pytest.mark.parametrize("state", SESSION_CLUSTER_STATES)
def test_an_error_code_only_while_in_error(state: str) -> None:
    """The vendor gives a code in other states too, where it is no error."""
    found = clusters(SessionCluster("a", state, state_code="200"))
    assert (catalog.SESSION_CLUSTER_ERROR_INFO in found) is (state == "error")


def test_times_are_seconds_to_the_millisecond() -> None:
    """The service gives milliseconds; when a state was entered is known by the ledger."""
    found = clusters(
        SessionCluster("a", "running", created_ms=1_001, started_ms=2_002), since={"a": 3.5}
    )
    assert sole(found, catalog.SESSION_CLUSTER_CREATED).value == 1.001
    assert sole(found, catalog.SESSION_CLUSTER_START).value == 2.002
    assert sole(found, catalog.SESSION_CLUSTER_STATE_SINCE).value == 3.5


def test_all_sessions_are_counted_by_queue_and_state() -> None:
    """Ended ones too, whether or not they have series of their own."""
    found = sessions(
        LivySession("a", "running", queue="q"),
        LivySession("b", "terminated", queue="q"),
        LivySession("c", "error", queue="p"),
    )
    counts = {sample.labels[2:]: sample.value for sample in found[catalog.LIVY_SESSIONS]}
    assert len(counts) == 2 * len(LIVY_SESSION_STATES)
    assert {labels: count for labels, count in counts.items() if count} == {
        ("q", "running"): 1,
        ("q", "terminated"): 1,
        ("p", "error"): 1,
    }


@pytest.mark.parametrize("state", LIVY_SESSION_STATES)
def test_an_end_time_counts_for_an_ended_session_only(state: str) -> None:
    """The vendor's own sample has a running session with an end time."""
    session = LivySession("a", state, ended_ms=5_000)
    found = sessions(session, ended=frozenset({"a"}))
    assert (catalog.LIVY_SESSION_END in found) is (state in {"terminated", "error"})


def test_a_figure_that_is_missing_is_not_zero() -> None:
    """Usage comes in CU-hours, vcore-seconds and MB-seconds, each for itself."""
    known = sessions(LivySession("a", "running", usage=Usage(3 * NANO // 2, 0, None)))
    assert sole(known, catalog.LIVY_SESSION_CU_HOURS).value == 1.5
    assert sole(known, catalog.LIVY_SESSION_VCORE_SECONDS).value == 0
    assert catalog.LIVY_SESSION_MB_SECONDS not in known


def test_an_ended_session_has_series_only_for_a_while() -> None:
    """Live ones always."""
    found = sessions(
        LivySession("live", "running"),
        LivySession("news", "terminated"),
        LivySession("history", "error"),
        ended=frozenset({"news"}),
    )
    assert sorted(with_series(found)) == ["live", "news"]


def test_which_sessions_keep_their_series_beyond_the_limit() -> None:
    """Failed ones, then live ones by newest, then ended ones; equals by id."""
    found = [
        LivySession("ended", "terminated", created_ms=9),
        LivySession("old", "running", created_ms=1),
        LivySession("twin-b", "starting", created_ms=5),
        LivySession("twin-a", "running", created_ms=5),
        LivySession("failed-old", "error", created_ms=1),
        LivySession("ageless", "running"),
        LivySession("failed-new", "error", created_ms=8),
    ]
    order = ["failed-new", "failed-old", "ageless", "twin-a", "twin-b", "old", "ended"]
    ended = frozenset(each.session_id for each in found)
    for most in range(len(order) + 2):
        chosen = sessions(*found, ended=ended, most=most)
        assert with_series(chosen) == order[:most]
        assert sole(chosen, catalog.SESSIONS_WITHOUT_SERIES).value == max(0, len(order) - most)


@pytest.mark.parametrize("turned", [False, True])
def test_of_one_id_the_newest_session_is_shown(turned: bool) -> None:  # noqa: FBT001
    """Whichever comes first in the listing; an older live one does not come back."""
    found = [
        LivySession("a", "running", queue="old", created_ms=1),
        LivySession("a", "terminated", queue="new", created_ms=5_000),
    ]
    samples = sessions(*(reversed(found) if turned else found))
    assert with_series(samples) == []


def test_an_empty_gateway_has_only_the_number_of_sessions_without_series() -> None:
    """No queue, no state."""
    assert set(sessions()) == {catalog.SESSIONS_WITHOUT_SERIES}


@pytest.mark.parametrize(
    ("counts", "refused"),
    [
        ([0, 0], []),
        ([5, 0], [1]),
        ([5, 0, 0], [1]),
        ([5, 0, 5, 0], [1, 3]),
        ([5, 0, 0, 0], [1]),
        ([5, 0, 0, 7, 0], [1, 4]),
        ([5, 1, 2], []),
    ],
)
def test_an_empty_listing_after_one_with_sessions_must_be_repeated(
    counts: list[int], refused: list[int]
) -> None:
    """The first empty listing after one that was not is refused, the second is believed."""
    guard = DisappearanceGuard(_told(0))
    assert verdicts(guard, counts)[0] == refused


@pytest.mark.parametrize(
    ("listed", "counts", "refused", "unconfirmed"),
    [
        (3, [0, 0], [0], []),
        (3, [0, 3, 0], [0, 2], []),
        (3, [3, 0], [1], []),
        (0, [0, 0, 0], [], [0]),
        (0, [0, 2, 0], [2], [0]),
    ],
)
def test_the_first_listing_of_a_process_is_judged_by_the_ledger(
    listed: int, counts: list[int], refused: list[int], unconfirmed: list[int]
) -> None:
    """What was listed before is known; an empty listing of what never was has to be confirmed."""
    guard = DisappearanceGuard(_told(listed))
    assert verdicts(guard, counts) == (refused, unconfirmed)


def _told(listed: int) -> Callable[[], Awaitable[int]]:
    """Answer what the ledger would."""

    async def answer() -> int:
        return listed

    return answer


def verdicts(guard: DisappearanceGuard, counts: list[int]) -> tuple[list[int], list[int]]:
    """Return the numbers of the listings that are refused, and of those that are unconfirmed."""

    async def judge() -> tuple[list[int], list[int]]:
        refused, unconfirmed = [], []
        for number, count in enumerate(counts):
            try:
                if not await guard.check(count):
                    unconfirmed.append(number)
            except IncompleteError:
                refused.append(number)
        return refused, unconfirmed

    return asyncio.run(judge())
