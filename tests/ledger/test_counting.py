"""What the records of a session add to which counters."""

import itertools
from collections import Counter
from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from exporter import catalog
from exporter.ledger.counting import (
    Key,
    SessionRow,
    SessionSum,
    increments,
    new_row,
    starting_values,
    unlisted_row,
    updated_row,
)
from exporter.ledger.location import open_database
from exporter.ledger.session_table import SessionTable
from exporter.model import LivySession
from tests.support.budgets import examples
from tests.support.harness import ManualClock
from tests.support.ledger_builders import GATEWAY, listed, memory, nonzero, record, row, values
from tests.support.ledger_stores import both_stores, for_an_example, postgres_alone

HIGHEST = 2**53 - 1
"""The highest usage that a record can carry: JSON numbers are exact up to here."""

figures = st.integers(0, HIGHEST) | st.none()
records = st.builds(
    record,
    st.just("s"),
    figures,
    created=st.sampled_from((None, 1, 2)),
    state=st.sampled_from(("starting", "running", "terminated", "error", "unknown")),
    queue=st.sampled_from(("", "q", "p")),
    user=st.sampled_from(("", "ann", "bob")),
)


def lives(readings: list[LivySession]) -> list[SessionRow]:
    """Return the row of a session after each of its records."""
    rows = [new_row(readings[0], 0, 1.0)]
    for reading in readings[1:]:
        rows.append(updated_row(rows[-1], reading, 2.0))
    return rows


def total(*parts: SessionRow | None) -> Counter[Key]:
    """Return the sum of the increments of a session that went through these rows."""
    sums: Counter[Key] = Counter()
    for before, after in itertools.pairwise(parts):
        assert after is not None
        for key, delta in increments(GATEWAY, before, after):
            sums[key] += delta
    return sums


def sums(rows: list[SessionRow]) -> list[SessionSum]:
    """Return the sums that the database computes of rows."""
    with (
        for_an_example() as store,
        closing(open_database(store.new(), ManualClock())) as db,
        db.translated(),
    ):
        db.ready()
        sessions = SessionTable(db, 1)
        with db.transaction():
            sessions.write(rows)
        return [*sessions.sums()]


@both_stores
def test_starting_values_beyond_64_bits_are_exact() -> None:
    """SQLite's own sum() would overflow at 2^63."""
    most = 10**18
    rows = [row(serial, nano_cu_hours=most, latest_nano_cu_hours=1) for serial in range(20)]
    (found,) = sums(rows)
    assert found.nano_cu_hours == 20 * most > 2**63
    assert found.overcounted == 20 * (most - 1)


def check_starting_values(readings: list[LivySession]) -> None:
    """Check that the starting values of sessions are what they would have added one by one."""
    rows = [new_row(each, serial, 1.0) for serial, each in enumerate(readings)]
    one_by_one: Counter[Key] = Counter()
    for each in rows:
        one_by_one += total(None, each)
    at_once: Counter[Key] = Counter()
    for key, value in starting_values(GATEWAY, sums(rows)):
        at_once[key] += value
    assert +at_once == +one_by_one


@given(st.lists(records, min_size=1, max_size=6))
def test_starting_values_equal_the_sum_of_increments(readings: list[LivySession]) -> None:
    """The first listing of a gateway counts like its sessions one by one."""
    check_starting_values(readings)


@postgres_alone
@examples(0.2)
@given(st.lists(records, min_size=1, max_size=6))
def test_starting_values_equal_the_sum_of_increments_on_postgres(
    readings: list[LivySession],
) -> None:
    """The same statement gives the same figures."""
    check_starting_values(readings)


@given(st.lists(records, min_size=1, max_size=6))
def test_session_adds_its_highest_usage_once(readings: list[LivySession]) -> None:
    """In whatever order its records arrive, each total rises to the highest value seen."""
    sums = total(None, *lives(readings))
    for metric, name in (
        (catalog.LIVY_CU_HOURS, "nano_cu_hours"),
        (catalog.LIVY_VCORE_SECONDS, "vcore_seconds"),
        (catalog.LIVY_MB_SECONDS, "mb_seconds"),
        (catalog.LIVY_PROXY_USER_CU_HOURS, "nano_cu_hours"),
        (catalog.LIVY_PROXY_USER_VCORE_SECONDS, "vcore_seconds"),
        (catalog.LIVY_PROXY_USER_MB_SECONDS, "mb_seconds"),
    ):
        highest = max(getattr(each.usage, name) or 0 for each in readings)
        assert sum(value for key, value in sums.items() if key.metric is metric) == highest


@given(st.lists(records, min_size=1, max_size=6))
def test_no_counter_decreases(readings: list[LivySession]) -> None:
    """Only the overcounted gauge may fall."""
    rows: list[SessionRow | None] = [None, *lives(readings)]
    for before, after in itertools.pairwise(rows):
        assert after is not None
        for key, delta in increments(GATEWAY, before, after):
            assert delta >= 0 or key.metric is catalog.LIVY_OVERCOUNTED


@given(st.lists(records, min_size=1, max_size=6))
def test_total_minus_overcounted_is_the_latest_usage_reported(readings: list[LivySession]) -> None:
    """The overcounted gauge is what to subtract where the service lowered an estimate."""
    rows = lives(readings)
    sums = total(None, *rows)
    net = sum(
        value * (1 if key.metric is catalog.LIVY_CU_HOURS else -1)
        for key, value in sums.items()
        if key.metric in {catalog.LIVY_CU_HOURS, catalog.LIVY_OVERCOUNTED}
    )
    stated = [each.usage.nano_cu_hours for each in readings if each.usage.nano_cu_hours is not None]
    assert net == (stated[-1] if stated else 0)


@given(st.lists(records, min_size=1, max_size=6), st.booleans())
def test_session_starts_once_and_ends_once(readings: list[LivySession], leaves: bool) -> None:  # noqa: FBT001
    """The end is counted with the first final state seen, or as unknown if it left without one."""
    rows = lives(readings)
    if leaves:
        rows.append(unlisted_row(rows[-1], 3.0))
    sums = total(None, *rows)
    by_metric: Counter[str] = Counter()
    for key, value in sums.items():
        by_metric[key.metric.name] += value
    ends = [each.state for each in readings if each.has_ended]
    first = ends[0] if ends else "unknown" if leaves else None
    assert by_metric[catalog.LIVY_SESSIONS_STARTED.name] == 1
    assert by_metric[catalog.LIVY_SESSIONS_ENDED.name] == (first is not None)
    assert {
        k.labels[-1] for k, v in sums.items() if k.metric is catalog.LIVY_SESSIONS_ENDED and v
    } == ({first} if first else set())


@both_stores
def test_missing_usage_is_not_zero() -> None:
    """A record without usage is neither an increase nor a downward revision."""
    ledger = memory()
    listed(ledger, record(cu=5))
    listed(ledger, record(cu=None))
    listed(ledger, record(cu=6))
    assert values(ledger) == {"q": 6}
    assert values(ledger, catalog.LIVY_OVERCOUNTED) == {"q": 0}
    assert values(ledger, catalog.USAGE_REVISIONS) == {"lc-1": 0}


@both_stores
def test_lowered_estimate_is_overcounted_and_counted_as_a_revision() -> None:
    """The total stays; the gauge shows the difference; the revision is counted once."""
    ledger = memory()
    listed(ledger, record(cu=10))
    listed(ledger, record(cu=7))
    assert values(ledger) == {"q": 10}
    assert values(ledger, catalog.LIVY_OVERCOUNTED) == {"q": 3}
    assert values(ledger, catalog.USAGE_REVISIONS) == {"lc-1": 1}
    listed(ledger, record(cu=7))
    assert values(ledger, catalog.USAGE_REVISIONS) == {"lc-1": 1}
    listed(ledger, record(cu=12))
    assert values(ledger) == {"q": 12}
    assert values(ledger, catalog.LIVY_OVERCOUNTED) == {"q": 0}


@both_stores
def test_usage_before_the_queue_or_proxy_user_is_known_keeps_the_empty_label() -> None:
    """The first record that names a queue or user sets it for what follows; nothing moves."""
    ledger = memory()
    listed(ledger)
    listed(ledger, record(cu=4, queue="", user=""))
    listed(ledger, record(cu=5, queue="q", user=""))
    listed(ledger, record(cu=7, queue="other", user="ann"))
    assert values(ledger) == {"": 4, "q": 3}
    assert values(ledger, catalog.LIVY_PROXY_USER_CU_HOURS) == {"": 5, "ann": 2}
    assert values(ledger, catalog.LIVY_SESSIONS_STARTED) == {"": 1, "q": 0}


@both_stores
def test_totals_beyond_64_bits_are_exact() -> None:
    """Also where increments are added to a total that passed 2^63."""
    ledger = memory()
    count = 3000
    listed(ledger, *(record(f"s{n}", HIGHEST) for n in range(count)))
    assert values(ledger) == {"q": count * HIGHEST}
    assert values(ledger)["q"] > 2**63
    listed(ledger, *(record(f"t{n}", HIGHEST) for n in range(count)))
    assert values(ledger) == {"q": 2 * count * HIGHEST}


@both_stores
def test_proxy_users_beyond_the_limit_share_the_label_other() -> None:
    """The users seen first keep series of their own."""
    ledger = memory(users=2)
    listed(ledger, record("a", 1, user="ann"), record("b", 2, user="bob"))
    listed(
        ledger, record("c", 4, user="cid"), record("d", 8, user="dan"), record("a", 3, user="ann")
    )
    assert values(ledger, catalog.LIVY_PROXY_USER_CU_HOURS) == {"ann": 3, "bob": 2, "_other": 12}


@both_stores
def test_limit_of_proxy_users_applies_to_the_first_listing() -> None:
    """Starting values are computed in SQL, on another path than increments."""
    ledger = memory(users=1)
    listed(ledger, *(record(f"s{n}", 1, user=f"u{n}") for n in range(9)))
    assert sorted(values(ledger, catalog.LIVY_PROXY_USER_CU_HOURS).values()) == [1, 8]


@both_stores
def test_proxy_user_limit_of_0_disables_the_counters_by_proxy_user() -> None:
    """The other counters are not affected."""
    ledger = memory(users=0)
    listed(ledger, record(cu=1))
    listed(ledger, record(cu=2))
    assert values(ledger, catalog.LIVY_PROXY_USER_CU_HOURS) == {}
    assert values(ledger) == {"q": 2}


@both_stores
def test_ended_sessions_are_counted_by_final_state() -> None:
    """The series of every final state exists at 0 before any session ends."""
    ledger = memory()
    listed(ledger, record("a"), record("b"), record("c"))
    listed(ledger, record("a", state="error"), record("b", state="terminated"), record("c"))
    assert values(ledger, catalog.LIVY_SESSIONS_ENDED) == {
        "terminated": 1,
        "error": 1,
        "unknown": 0,
    }
    listed(ledger, record("a", state="terminated"), record("b", state="terminated"))
    assert values(ledger, catalog.LIVY_SESSIONS_ENDED) == {
        "terminated": 1,
        "error": 1,
        "unknown": 1,
    }
    assert nonzero(values(ledger, catalog.LIVY_SESSIONS_STARTED)) == {"q": 3}


def test_row_overcounts_its_highest_minus_its_latest_usage() -> None:
    """A row keeps both."""
    assert row(nano_cu_hours=10, latest_nano_cu_hours=4).overcounted == 6
