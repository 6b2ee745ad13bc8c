"""Gateways: the first listing, and sessions that leave it, are forgotten, and return."""

from pathlib import Path

import pytest

from exporter import catalog
from exporter.ledger import Ledger, forget_gateway
from exporter.model import Gateway, LivySession
from tests.support.harness import START, ManualClock
from tests.support.ledger_builders import (
    GATEWAY,
    listed,
    memory,
    opened,
    record,
    shown,
    values,
)
from tests.support.ledger_stores import Store, all_stores

pytestmark = all_stores

DAY = 86400.0
A = 1_000_000
LATER = A + 60_000


def test_counters_start_with_the_first_complete_listing() -> None:
    """Usage from before the exporter is no increase, so it is shown at once, even with a hold."""
    ledger = memory(hold=90)
    listed(ledger, record("a", 5), record("b", 7, state="terminated"))
    assert values(ledger) == shown(ledger) == {"q": 12}
    assert values(ledger, catalog.LIVY_SESSIONS_STARTED) == {"q": 2}
    assert shown(ledger, catalog.LIVY_SESSIONS_ENDED) == {"terminated": 1, "error": 0, "unknown": 0}
    assert values(ledger, catalog.USAGE_REVISIONS) == {"lc-1": 0}
    assert values(ledger, catalog.SESSIONS_READMITTED) == {"lc-1": 0}


def test_after_an_empty_first_listing_all_usage_is_an_increase() -> None:
    """The counters of a gateway without sessions start at 0."""
    ledger = memory(hold=90)
    listed(ledger)
    listed(ledger, record(cu=5))
    assert values(ledger) == {"q": 5}
    assert shown(ledger) == {"q": 0}


def test_session_first_listed_later_is_an_increase_however_old() -> None:
    """A late listing of an old session was not part of the starting value."""
    ledger = memory(hold=90)
    listed(ledger, record("a", 5))
    listed(ledger, record("a", 5), record("old", 7, created=1))
    assert values(ledger) == {"q": 12}
    assert shown(ledger) == {"q": 5}


def test_partial_first_scan_starts_no_counters() -> None:
    """Its sessions are stored, without any series."""
    ledger = memory()
    listed(ledger, record("a", 5), complete=False)
    assert ledger.state.counters == {}
    assert ledger.state.sessions == 1


def test_sessions_of_an_interrupted_first_scan_count_once_after_a_restart(tmp_path: Path) -> None:
    """They become part of the starting value when a scan completes."""
    path = tmp_path / "ledger.db"
    first = opened(path)
    listed(first, record("a", 5), record("gone", 2), complete=False)
    first.close()
    second = opened(path)
    assert second.state.counters == {}
    assert second.state.sessions == 2
    listed(second, record("a", 6), record("b", 1))
    assert values(second) == {"q": 9}
    listed(second, record("a", 6), record("b", 1))
    assert values(second) == {"q": 9}


def test_partial_scan_of_a_counted_gateway_adds_usage() -> None:
    """Known sessions add their growth and new ones all of their usage."""
    ledger = memory()
    listed(ledger, record("a", 5), record("b", 5))
    listed(ledger, record("a", 6), record("c", 1), complete=False)
    assert values(ledger) == {"q": 12}


def test_session_missing_from_a_partial_scan_has_not_left() -> None:
    """It may be on a page that was not read."""
    clock = ManualClock()
    ledger = memory(clock, days=1)
    listed(ledger, record("a", 5), record("b", 5))
    clock.advance(2 * DAY)
    listed(ledger, record("a", 6), complete=False)
    assert ledger.state.sessions == 2
    assert values(ledger, catalog.LIVY_SESSIONS_ENDED)["unknown"] == 0


def test_running_session_missing_from_a_complete_listing_ends_as_unknown() -> None:
    """One whose end was seen keeps its final state, and a late final state is not counted again."""
    ledger = memory()
    listed(ledger, record("a", 5), record("b", 5, state="error"))
    listed(ledger)
    assert values(ledger, catalog.LIVY_SESSIONS_ENDED) == {
        "terminated": 0,
        "error": 1,
        "unknown": 1,
    }
    listed(ledger, record("a", 5, state="terminated"))
    assert values(ledger, catalog.LIVY_SESSIONS_ENDED) == {
        "terminated": 0,
        "error": 1,
        "unknown": 1,
    }


@pytest.mark.parametrize("short", [(), (record("a", 5),)], ids=["empty", "short"])
def test_listing_that_is_wrongly_short_for_a_while_changes_no_total(
    short: tuple[LivySession, ...],
) -> None:
    """What sessions used while they were not listed counts once when they return."""
    ledger = memory()
    rows = [record(name, 5) for name in "abc"]
    listed(ledger, *rows)
    for _ in range(3):
        listed(ledger, *short)
    listed(ledger, *rows)
    assert values(ledger) == {"q": 15}
    listed(ledger, *short)
    listed(ledger, record("a", 5), record("b", 9), record("c", 5))
    assert values(ledger) == {"q": 19}
    assert values(ledger, catalog.LIVY_SESSIONS_STARTED) == {"q": 3}


def test_session_with_an_unreadable_record_is_still_listed() -> None:
    """It has not ended as unknown."""
    ledger = memory()
    listed(ledger, record("a", 5), record("b", 5))
    listed(ledger, record("a", 5), unreadable="b")
    assert values(ledger, catalog.LIVY_SESSIONS_ENDED)["unknown"] == 0
    listed(ledger, record("a", 5))
    assert values(ledger, catalog.LIVY_SESSIONS_ENDED)["unknown"] == 1


@pytest.mark.parametrize(
    ("known", "seen", "ended"),
    [
        ([A], [], 1),
        ([A], [A], 0),
        ([A, LATER], [LATER], 1),
        ([A, LATER], [], 0),
    ],
)
def test_session_that_left_without_a_create_time_has_ended_if_it_is_the_only_one_of_its_id(
    known: list[int], seen: list[int], ended: int
) -> None:
    """As one whose record became unreadable; what the scan has seen is still listed."""
    ledger = memory()
    listed(ledger, *(record("a", 5, created=created) for created in known))
    for _ in range(2):
        scan = ledger.open_scan(GATEWAY)
        records = [record("a", 6, created=created) for created in seen]
        scan.finish(records, left=[("a", None)], is_complete=False)
        assert values(ledger, catalog.LIVY_SESSIONS_ENDED)["unknown"] == ended


def test_unlisted_session_is_forgotten_after_ledger_forget_after() -> None:
    """Its row is dropped; its usage stays in the totals."""
    clock = ManualClock()
    ledger = memory(clock, days=10)
    listed(ledger, record("a", 5), record("b", 7))
    listed(ledger, record("a", 5))
    clock.advance(9.9 * DAY)
    listed(ledger, record("a", 5))
    assert ledger.state.sessions == 2
    clock.advance(0.2 * DAY)
    listed(ledger, record("a", 5))
    assert ledger.state.sessions == 1
    assert values(ledger) == {"q": 12}


@pytest.mark.parametrize("restarts", [False, True])
def test_forgotten_session_that_is_listed_again_is_not_counted_twice(
    tmp_path: Path,
    restarts: bool,  # noqa: FBT001
) -> None:
    """It is readmitted with its usage as counted; growth from then on is an increase."""
    clock = ManualClock()
    path = tmp_path / "ledger.db"
    ledger = opened(path, clock, days=10)
    listed(ledger, record("a", 5), record("b", 7, created=A + 60_000))
    listed(ledger)
    clock.advance(11 * DAY)
    listed(ledger)
    assert ledger.state.sessions == 0
    if restarts:
        ledger.close()
        ledger = opened(path, clock, days=10)
    back = [record("a", 5), record("b", 7, created=A + 60_000), record("c", 1, created=A + 60_001)]
    listed(ledger, *back)
    assert values(ledger) == {"q": 13}
    assert values(ledger, catalog.SESSIONS_READMITTED) == {"lc-1": 2}
    assert values(ledger, catalog.LIVY_SESSIONS_STARTED) == {"q": 3}
    listed(ledger, record("a", 6), *back[1:])
    assert values(ledger) == {"q": 14}


def test_readmitted_session_does_not_end_twice() -> None:
    """It was counted as ended (unknown) when it left the listing."""
    clock = ManualClock()
    ledger = memory(clock, days=10)
    listed(ledger, record("a", 5))
    listed(ledger)
    clock.advance(11 * DAY)
    listed(ledger)
    ends = values(ledger, catalog.LIVY_SESSIONS_ENDED)
    assert ends == {"terminated": 0, "error": 0, "unknown": 1}
    listed(ledger, record("a", 5))
    listed(ledger, record("a", 5, state="terminated"))
    listed(ledger)
    assert values(ledger, catalog.LIVY_SESSIONS_ENDED) == ends


def test_session_without_create_time_is_never_forgotten() -> None:
    """Without one it could not be recognised when it is listed again."""
    clock = ManualClock()
    ledger = memory(clock, days=10)
    listed(ledger, record("a", 5, created=None))
    listed(ledger)
    clock.advance(11 * DAY)
    listed(ledger)
    listed(ledger, record("a", 5))
    assert values(ledger) == {"q": 5}


YEARS_AHEAD = int((START + 50 * 365 * DAY) * 1000)


def test_create_time_far_in_the_future_does_not_stop_counting() -> None:
    """A forgotten session with such a time does not make every later one look forgotten."""
    clock = ManualClock()
    ledger = memory(clock, days=10)
    odd = record("odd", 5, created=YEARS_AHEAD)
    listed(ledger, odd)
    listed(ledger)
    clock.advance(11 * DAY)
    listed(ledger)
    assert ledger.state.sessions == 0
    new = record("new", 7, created=int(clock.now() * 1000))
    listed(ledger, new)
    assert values(ledger) == {"q": 12}
    listed(ledger, new, odd)
    assert values(ledger) == {"q": 12}
    assert values(ledger, catalog.SESSIONS_READMITTED) == {"lc-1": 1}


def test_forgotten_session_listed_again_without_create_time_is_not_counted_twice() -> None:
    """It is recognised by its id; a new session without a create time is counted."""
    clock = ManualClock()
    ledger = memory(clock, days=10)
    listed(ledger, record("a", 5))
    listed(ledger)
    clock.advance(11 * DAY)
    listed(ledger)
    listed(ledger, record("a", 5, created=None), record("new", 3, created=None))
    assert values(ledger) == {"q": 8}
    assert values(ledger, catalog.SESSIONS_READMITTED) == {"lc-1": 1}
    listed(ledger, record("a", 6), record("new", 4, created=int(clock.now() * 1000)))
    assert values(ledger) == {"q": 10}
    assert values(ledger, catalog.LIVY_SESSIONS_STARTED) == {"q": 2}


def test_partial_scan_readmits_a_forgotten_session() -> None:
    """A returning session is recognised before the scan is complete."""
    clock = ManualClock()
    ledger = memory(clock, days=10)
    listed(ledger, record("a", 5))
    listed(ledger)
    clock.advance(11 * DAY)
    listed(ledger)
    listed(ledger, record("a", 5), complete=False)
    assert values(ledger) == {"q": 5}


def test_forgetting_an_older_session_still_recognises_a_newer_one() -> None:
    """The newest create time that was forgotten only ever rises."""
    clock = ManualClock()
    ledger = memory(clock, days=10)
    new, old = record("new", 5, created=A + 60_000), record("old", 7)
    listed(ledger, new, old)
    listed(ledger, old)
    clock.advance(11 * DAY)
    listed(ledger)
    clock.advance(11 * DAY)
    listed(ledger)
    assert ledger.state.sessions == 0
    listed(ledger, new, old)
    assert values(ledger) == {"q": 12}
    assert values(ledger, catalog.SESSIONS_READMITTED) == {"lc-1": 2}


@pytest.mark.parametrize("step", [-500 * DAY, 500 * DAY])
def test_wall_clock_step_changes_no_total(step: float) -> None:
    """Sessions that stay, leave or return across a step of 500 days count once."""
    clock = ManualClock()
    ledger = memory(clock)
    rows = [record(name, 5) for name in "abc"]
    listed(ledger, *rows)
    listed(ledger, rows[0])
    clock.step(step)
    listed(ledger, rows[0])
    listed(ledger, *rows)
    clock.step(-2 * step)
    listed(ledger, rows[0])
    listed(ledger, *rows)
    assert values(ledger) == {"q": 15}
    assert values(ledger, catalog.LIVY_SESSIONS_STARTED) == {"q": 3}


def born(ledger: Ledger) -> None:
    """Let a second discovery find a gateway that the first did not."""
    ledger.record_gateways(GATEWAY[0], [])
    ledger.record_gateways(GATEWAY[0], [Gateway(GATEWAY[1], queue="own")])


def test_gateway_created_while_the_exporter_runs_starts_at_zero() -> None:
    """An earlier discovery did not find it, so all that it lists is an increase."""
    ledger = memory(hold=90)
    ledger.record_gateways("w-1", [])
    ledger.record_gateways("w-1", [Gateway("lc-1", queue="q")])
    assert values(ledger) == {"q": 0}
    listed(ledger, record(cu=5))
    assert values(ledger) == {"q": 5}
    assert shown(ledger) == {"q": 0}


def test_gateway_found_by_the_first_discovery_starts_with_its_past_usage() -> None:
    """It may be older than the exporter; a second discovery before its poll changes nothing."""
    ledger = memory(hold=90)
    for _ in range(2):
        ledger.record_gateways("w-1", [Gateway("lc-1", queue="q")])
    assert values(ledger) == {}
    listed(ledger, record(cu=5))
    assert shown(ledger) == {"q": 5}


def test_gateway_forgotten_by_command_starts_again_with_its_past_usage(
    tmp_path: Path, store: Store
) -> None:
    """After `ledger forget` its usage until then is a starting value, not an increase."""
    path = tmp_path / "ledger.db"
    for hold in (0.0, 90.0):
        ledger = opened(path, hold=hold)
        ledger.record_gateways("w-1", [Gateway("lc-1", queue="q")])
        listed(ledger, record(cu=5))
        assert values(ledger) == shown(ledger) == {"q": 5}
        ledger.close()
        assert forget_gateway(store.at(path), "lc-1", ManualClock()) == [GATEWAY]


def test_discovery_of_a_gateway_that_is_counted_already_changes_nothing() -> None:
    """It was configured by id, and polled before any discovery found it."""
    ledger = memory(hold=90)
    ledger.record_gateways("w-1", [])
    listed(ledger, record(cu=5))
    ledger.record_gateways("w-1", [Gateway("lc-1", queue="q")])
    listed(ledger, record(cu=5))
    assert values(ledger) == shown(ledger) == {"q": 5}


def test_gateway_configured_later_starts_with_its_past_usage() -> None:
    """Each gateway has its own first listing."""
    ledger = memory(hold=90)
    listed(ledger, record(cu=5))
    listed(ledger, record(cu=1000, queue="other"), gateway=("w-1", "lc-2"))
    assert values(ledger) == {"q": 5, "other": 1000}
    assert shown(ledger) == {"q": 5, "other": 1000}


def test_sessions_that_ended_before_the_first_listing_are_not_recent_ends() -> None:
    """Nobody saw when they ended."""
    clock = ManualClock()
    ledger = memory(clock)
    listed(ledger, record("a", state="terminated"), record("b"))
    clock.advance(10)
    listed(ledger, record("a", state="terminated"), record("b", state="error"))
    assert set(ledger.ended_since(GATEWAY, clock.now() - 5)) == {"b"}
    clock.advance(10)
    assert set(ledger.ended_since(GATEWAY, clock.now() - 5)) == set()


@pytest.mark.parametrize("days", [0.0, 11.0])
def test_end_of_a_session_that_was_unlisted_for_a_while_is_a_recent_end(days: float) -> None:
    """Its time is when the final state was seen, whether or not its row was forgotten meanwhile."""
    clock = ManualClock()
    ledger = memory(clock, days=10)
    listed(ledger, record("a", 5))
    listed(ledger)
    assert set(ledger.ended_since(GATEWAY, clock.now() - 1)) == {"a"}
    clock.advance(days * DAY)
    listed(ledger)
    listed(ledger, record("a", 5))
    assert set(ledger.ended_since(GATEWAY, 0)) == set()
    clock.advance(3600)
    listed(ledger, record("a", 5, state="error"))
    assert set(ledger.ended_since(GATEWAY, clock.now() - 1)) == {"a"}
    clock.advance(10)
    listed(ledger, record("a", 6, state="error"))
    assert set(ledger.ended_since(GATEWAY, clock.now() - 1)) == set()
    assert values(ledger, catalog.LIVY_SESSIONS_ENDED)["unknown"] == 1


def test_unchanged_listing_writes_nothing(tmp_path: Path, store: Store) -> None:
    """An idle account does not wear out the disk: the journal does not grow."""
    path = tmp_path / "ledger.db"
    ledger = opened(path)
    rows = [record(f"s{n}", n) for n in range(1000)]
    listed(ledger, *rows)
    trace = store.trace(path)
    before = ledger.state
    listed(ledger, *rows)
    assert store.trace(path) == trace
    assert ledger.state.counters == before.counters


def test_new_session_in_a_partial_scan_discards_the_known_listing_order() -> None:
    """A batch of known sessions keeps it; the next complete scan finds it again."""
    ledger = opened(None)
    listed(ledger, record("a"), record("b"))
    ledger.record_order(GATEWAY, "newest first", {})
    ledger.open_scan(GATEWAY).add([record("a", 7)])
    assert ledger.listing_order(GATEWAY) == "newest first"
    ledger.open_scan(GATEWAY).add([record("c")])
    assert ledger.listing_order(GATEWAY) == ""
    assert [*ledger.listed_sessions(GATEWAY)] == []
