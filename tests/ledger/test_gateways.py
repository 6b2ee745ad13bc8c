"""Gateways: first contact, leaving, forgetting and coming back."""

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

DAY = 86400.0
A = 1_000_000


def test_the_first_complete_listing_is_the_starting_value() -> None:
    """What the first complete listing holds is what the series start with, held back or not."""
    ledger = memory(hold=90)
    listed(ledger, record("a", 5), record("b", 7, state="terminated"))
    assert values(ledger) == shown(ledger) == {"q": 12}
    assert values(ledger, catalog.LIVY_SESSIONS_STARTED) == {"q": 2}
    assert shown(ledger, catalog.LIVY_SESSIONS_ENDED) == {"terminated": 1, "error": 0, "unknown": 0}
    assert values(ledger, catalog.USAGE_REVISIONS) == {"lc-1": 0}
    assert values(ledger, catalog.SESSIONS_READMITTED) == {"lc-1": 0}


def test_an_empty_first_listing_is_contact_too() -> None:
    """A gateway that lists nothing at first has contact: all that comes is an increase."""
    ledger = memory(hold=90)
    listed(ledger)
    listed(ledger, record(cu=5))
    assert values(ledger) == {"q": 5}
    assert shown(ledger) == {"q": 0}


def test_a_later_listing_is_an_increase_whatever_its_create_times() -> None:
    """After first contact even a session from long ago is an increase."""
    ledger = memory(hold=90)
    listed(ledger, record("a", 5))
    listed(ledger, record("a", 5), record("old", 7, created=1))
    assert values(ledger) == {"q": 12}
    assert shown(ledger) == {"q": 5}


def test_a_partial_scan_starts_no_counters() -> None:
    """What a partial scan brings before first contact is staged, without any series."""
    ledger = memory()
    listed(ledger, record("a", 5), complete=False)
    assert ledger.state.counters == {}
    assert ledger.state.sessions == 1


def test_what_is_staged_survives_a_restart_and_adds_nothing(tmp_path: Path) -> None:
    """Staged sessions become part of the starting value, once, also after a restart."""
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


def test_a_partial_scan_adds_usage_after_first_contact() -> None:
    """Once there was contact, a partial scan counts what it brings, known or new."""
    ledger = memory()
    listed(ledger, record("a", 5), record("b", 5))
    listed(ledger, record("a", 6), record("c", 1), complete=False)
    assert values(ledger) == {"q": 12}


def test_a_partial_scan_never_concludes_that_something_is_gone() -> None:
    """A session that a partial scan lacks has not left."""
    clock = ManualClock()
    ledger = memory(clock, days=1)
    listed(ledger, record("a", 5), record("b", 5))
    clock.advance(2 * DAY)
    listed(ledger, record("a", 6), complete=False)
    assert ledger.state.sessions == 2
    assert values(ledger, catalog.LIVY_SESSIONS_ENDED)["unknown"] == 0


def test_an_open_session_that_vanishes_ends_as_unknown() -> None:
    """A session that a complete listing lacks ends as unknown, unless its end was seen."""
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
def test_a_listing_that_is_false_for_a_while_does_no_harm(short: tuple[LivySession, ...]) -> None:
    """Listings falsely empty or short change no total, and growth meanwhile counts once."""
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


def test_an_unreadable_record_does_not_leave() -> None:
    """A session whose record cannot be read is still listed."""
    ledger = memory()
    listed(ledger, record("a", 5), record("b", 5))
    listed(ledger, record("a", 5), unreadable="b")
    assert values(ledger, catalog.LIVY_SESSIONS_ENDED)["unknown"] == 0
    listed(ledger, record("a", 5))
    assert values(ledger, catalog.LIVY_SESSIONS_ENDED)["unknown"] == 1


def test_a_session_is_remembered_for_as_long_as_configured() -> None:
    """The row of a session that left is dropped after `forget_after`; its usage stays."""
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
def test_a_forgotten_session_that_comes_back_adds_nothing(tmp_path: Path, restarts: bool) -> None:  # noqa: FBT001
    """A forgotten session is readmitted as counted; what it uses from then on counts."""
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


def test_a_readmitted_session_counts_no_second_end() -> None:
    """A session that left ended as unknown; when it comes back its end is not counted again."""
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


def test_a_session_without_create_time_is_never_forgotten() -> None:
    """A session that could not be recognised when it comes back keeps its row."""
    clock = ManualClock()
    ledger = memory(clock, days=10)
    listed(ledger, record("a", 5, created=None))
    listed(ledger)
    clock.advance(11 * DAY)
    listed(ledger)
    listed(ledger, record("a", 5))
    assert values(ledger) == {"q": 5}


YEARS_AHEAD = int((START + 50 * 365 * DAY) * 1000)


def test_a_create_time_far_ahead_does_not_end_the_counting() -> None:
    """A session is not created after it left: those that come later are counted."""
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


def test_a_session_that_comes_back_without_a_create_time_is_not_counted_twice() -> None:
    """A forgotten session is known by its id; a new one without a create time counts."""
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


def test_a_partial_scan_readmits_too() -> None:
    """Coming back is recognised in a partial scan as well."""
    clock = ManualClock()
    ledger = memory(clock, days=10)
    listed(ledger, record("a", 5))
    listed(ledger)
    clock.advance(11 * DAY)
    listed(ledger)
    listed(ledger, record("a", 5), complete=False)
    assert values(ledger) == {"q": 5}


def test_the_newest_that_was_dropped_never_gets_older() -> None:
    """Dropping an older session later does not forget that a newer one was dropped."""
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
def test_a_clock_that_steps_changes_no_total(step: float) -> None:
    """Wherever the wall clock steps, sessions that are listed, left or return count once."""
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
    """Let a gateway appear in a discovery that an earlier one lacked."""
    ledger.record_gateways(GATEWAY[0], [])
    ledger.record_gateways(GATEWAY[0], [Gateway(GATEWAY[1], queue="own")])


def test_a_gateway_created_meanwhile_starts_at_zero() -> None:
    """All that a gateway lists that an earlier discovery lacked is an increase."""
    ledger = memory(hold=90)
    ledger.record_gateways("w-1", [])
    ledger.record_gateways("w-1", [Gateway("lc-1", queue="q")])
    assert values(ledger) == {"q": 0}
    listed(ledger, record(cu=5))
    assert values(ledger) == {"q": 5}
    assert shown(ledger) == {"q": 0}


def test_the_gateways_of_a_first_discovery_start_with_what_they_list() -> None:
    """A gateway that the first discovery found starts with what it lists, also when seen again."""
    ledger = memory(hold=90)
    for _ in range(2):
        ledger.record_gateways("w-1", [Gateway("lc-1", queue="q")])
    assert values(ledger) == {}
    listed(ledger, record(cu=5))
    assert shown(ledger) == {"q": 5}


def test_a_forgotten_gateway_that_is_still_listed_starts_with_what_it_lists(tmp_path: Path) -> None:
    """What it used before is no increase: it starts anew with what it lists."""
    path = tmp_path / "ledger.db"
    for hold in (0.0, 90.0):
        ledger = opened(path, hold=hold)
        ledger.record_gateways("w-1", [Gateway("lc-1", queue="q")])
        listed(ledger, record(cu=5))
        assert values(ledger) == shown(ledger) == {"q": 5}
        ledger.close()
        assert forget_gateway(path, "lc-1") == [GATEWAY]


def test_a_gateway_that_is_counted_already_is_not_new() -> None:
    """A discovery does not touch a gateway that was polled without being discovered."""
    ledger = memory(hold=90)
    ledger.record_gateways("w-1", [])
    listed(ledger, record(cu=5))
    ledger.record_gateways("w-1", [Gateway("lc-1", queue="q")])
    listed(ledger, record(cu=5))
    assert values(ledger) == shown(ledger) == {"q": 5}


def test_a_gateway_added_later_starts_with_what_it_lists() -> None:
    """First contact is per gateway: one that is configured months later has a past of its own."""
    ledger = memory(hold=90)
    listed(ledger, record(cu=5))
    listed(ledger, record(cu=1000, queue="other"), gateway=("w-1", "lc-2"))
    assert values(ledger) == {"q": 5, "other": 1000}
    assert shown(ledger) == {"q": 5, "other": 1000}


def test_ends_are_events_only_after_first_contact() -> None:
    """Sessions that had ended before the first contact did not end recently."""
    clock = ManualClock()
    ledger = memory(clock)
    listed(ledger, record("a", state="terminated"), record("b"))
    clock.advance(10)
    listed(ledger, record("a", state="terminated"), record("b", state="error"))
    assert set(ledger.ended_since(GATEWAY, clock.now() - 5)) == {"b"}
    clock.advance(10)
    assert set(ledger.ended_since(GATEWAY, clock.now() - 5)) == set()


@pytest.mark.parametrize("days", [0.0, 11.0])
def test_the_end_of_a_session_that_was_not_listed_for_a_while_is_seen(days: float) -> None:
    """Whether its row was forgotten meanwhile or not: it ended when its end was seen."""
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


def test_a_listing_that_says_nothing_new_writes_no_row(tmp_path: Path) -> None:
    """A known listing changes neither sessions nor counters in the file."""
    path = tmp_path / "ledger.db"
    ledger = opened(path)
    rows = [record(f"s{n}", n) for n in range(1000)]
    listed(ledger, *rows)
    wal = path.with_name("ledger.db-wal")
    size = wal.stat().st_size
    before = ledger.state
    listed(ledger, *rows)
    assert wal.stat().st_size == size
    assert ledger.state.counters == before.counters


def test_the_order_of_a_listing_is_known_between_complete_readings_only() -> None:
    """A batch with new sessions ends it until the next one; known ones do not."""
    ledger = opened(None)
    listed(ledger, record("a"), record("b"))
    ledger.record_order(GATEWAY, "newest first", {})
    ledger.open_scan(GATEWAY).add([record("a", 7)])
    assert ledger.listing_order(GATEWAY) == "newest first"
    ledger.open_scan(GATEWAY).add([record("c")])
    assert ledger.listing_order(GATEWAY) == ""
    assert [*ledger.listed_sessions(GATEWAY)] == []
