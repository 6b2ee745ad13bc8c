"""Which session a record belongs to."""

import pytest

from exporter.catalog import LIVY_CU_HOURS
from exporter.ledger.counting import SessionRow
from exporter.ledger.matching import match
from exporter.model import LivySession
from tests.support.ledger_builders import listed, memory, record, row, values
from tests.support.ledger_stores import both_stores

A = 1_000_000
"""A create time."""


def matched(
    rows: list[SessionRow], records: list[LivySession]
) -> list[tuple[int | None, list[int]]]:
    """Return serial (`None` for a new session) and places of the records, for each session."""
    found = [
        (
            known and known.serial,
            [next(i for i, r in enumerate(records) if r is each) for each in some],
        )
        for known, some in match(rows, records)
    ]
    return sorted(found, key=lambda each: each[1])


def dated(*created: int | None) -> list[LivySession]:
    """Make records with these create times."""
    return [record(created=each) for each in created]


@pytest.mark.parametrize(
    ("known", "read", "expected"),
    [
        pytest.param([], [A], [(None, [0])], id="an id not known opens a session"),
        pytest.param([], [None], [(None, [0])], id="so does one without a create time"),
        pytest.param([A], [A], [(0, [0])], id="the same create time is the same session"),
        pytest.param([A], [A + 1000], [(0, [0])], id="a second later is still the same"),
        pytest.param([A], [A + 1001], [(None, [0])], id="more than a second later is a new one"),
        pytest.param([A], [A - 5000], [(0, [0])], id="an earlier create time is the same session"),
        pytest.param([None], [A], [(0, [0])], id="the first create time seen is adopted"),
        pytest.param([A], [None], [(0, [0])], id="no create time is the newest session"),
        pytest.param([A, A + 9000], [None], [(1, [0])], id="the newest of several, too"),
        pytest.param([A + 9000, A], [None], [(0, [0])], id="whatever the order of rows"),
        pytest.param([A, None], [None], [(1, [0])], id="one that has no create time is newest"),
        pytest.param(
            [A], [A, A + 9000], [(0, [0]), (None, [1])], id="known one and reused id together"
        ),
        pytest.param(
            [A], [A + 9000, A], [(None, [0]), (0, [1])], id="in either order of the listing"
        ),
        pytest.param(
            [A + 9000],
            [A, A + 9000],
            [(None, [0]), (0, [1])],
            id="an older session of the same id, listed beside the known one",
        ),
        pytest.param([], [A, A], [(None, [0, 1])], id="one session read twice is one"),
        pytest.param([], [A, A + 500], [(None, [0, 1])], id="also with half a second between"),
        pytest.param([], [None, None], [(None, [0, 1])], id="also without create times"),
        pytest.param([], [None, A], [(None, [0, 1])], id="also where only one has a create time"),
        pytest.param([], [A, None], [(None, [0, 1])], id="in either order"),
        pytest.param([A], [A, None], [(0, [0, 1])], id="also where it is known"),
        pytest.param(
            [A],
            [None, A + 9000],
            [(None, [0, 1])],
            id="no create time is the newest, also a new one",
        ),
        pytest.param(
            [A + 9000],
            [None, A, A + 9000],
            [(0, [0, 2]), (None, [1])],
            id="no create time is the newest, not an older one found late",
        ),
        pytest.param(
            [A, A + 9000], [A, None], [(0, [0]), (1, [1])], id="the newest, though not listed"
        ),
        pytest.param(
            [A], [A - 900, A + 900], [(0, [0, 1])], id="both within a second of the known one"
        ),
        pytest.param(
            [None], [A, A + 9000], [(None, [0]), (0, [1])], id="the newest adopts, others are new"
        ),
    ],
)
def test_records_are_matched_by_id_and_create_time(
    known: list[int | None],
    read: list[int | None],
    expected: list[tuple[int | None, list[int]]],
) -> None:
    """Each case gives known create times, those read, and the expected matches."""
    rows = [row(serial, created=created) for serial, created in enumerate(known)]
    assert matched(rows, dated(*read)) == expected


@both_stores
@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("again", [A, A + 700, None])
def test_session_listed_twice_in_one_scan_counts_once(complete: bool, again: int | None) -> None:  # noqa: FBT001
    """A new session may move from one page to the next during a scan."""
    ledger = memory()
    listed(ledger)
    listed(ledger, record(cu=5, created=A), record(cu=7, created=again), complete=complete)
    assert values(ledger) == {"q": 7}
    assert ledger.state.sessions == 1


@both_stores
def test_highest_of_two_records_in_one_scan_counts() -> None:
    """Its later record is the latest usage."""
    ledger = memory()
    listed(ledger)
    listed(ledger, record(cu=9), record(cu=7))
    assert values(ledger) == {"q": 9}
    listed(ledger, record(cu=8))
    assert values(ledger) == {"q": 9}


@both_stores
def test_create_time_that_appears_later_does_not_count_the_session_again() -> None:
    """The session is recognised by its id."""
    ledger = memory()
    listed(ledger)
    listed(ledger, record(cu=5, created=None))
    listed(ledger, record(cu=6, created=A))
    listed(ledger, record(cu=6, created=A))
    assert values(ledger) == {"q": 6}
    assert ledger.state.sessions == 1


@both_stores
def test_reused_id_is_counted_as_another_session() -> None:
    """The later session adds all of its own usage."""
    ledger = memory()
    listed(ledger, record(cu=5))
    listed(ledger, record(cu=5), record(cu=3, created=A + 60_000))
    listed(ledger, record(cu=4, created=A + 60_000))
    listed(ledger, record(cu=5), record(cu=4, created=A + 60_000))
    assert values(ledger) == {"q": 9}


@both_stores
def test_one_id_at_two_gateways_is_two_sessions() -> None:
    """Ids are unique within a gateway only."""
    ledger = memory()
    gateways = (("w-1", "a"), ("w-1", "b"), ("w-2", "a"))
    for gateway in gateways:
        listed(ledger, record(cu=5), gateway=gateway)
    assert {
        key.labels: amount.actual
        for key, amount in ledger.state.counters.items()
        if key.metric is LIVY_CU_HOURS
    } == {(*gateway, "q"): 5 for gateway in gateways}
