"""A walk that is staged piece by piece counts what one complete listing counts."""

from hypothesis import given
from hypothesis import strategies as st

from exporter import catalog
from exporter.ledger import Ledger, Walk
from exporter.model import LivySession, Usage
from tests.support.harness import ManualClock

GATEWAY = ("w", "lc")


def record(session_id: str, created: int | None, used: int, state: str) -> LivySession:
    """Make a record."""
    return LivySession(
        session_id,
        state,
        queue="q",
        proxy_user="u",
        created_ms=None if created is None else created * 10_000,
        usage=Usage(used, used, used),
    )


RECORDS = st.builds(
    record,
    st.sampled_from(["a", "b", "c", "d", "e"]),
    st.integers(1, 4),
    st.integers(0, 9),
    st.sampled_from(["running", "terminated", "error"]),
)


def with_undated(listing: list[LivySession], ids: set[str]) -> list[LivySession]:
    """Take the create times of some ids away, each of which is then listed once."""
    undated = {each.session_id: each for each in listing if each.session_id in ids}
    dated = [each for each in listing if each.session_id not in ids]
    some = undated.values()
    again = (
        record(each.session_id, None, each.usage.nano_cu_hours or 0, each.state) for each in some
    )
    return [*again, *dated]


LISTINGS = st.lists(
    st.builds(
        with_undated,
        st.lists(RECORDS, max_size=9, unique_by=lambda each: (each.session_id, each.created_ms)),
        st.sets(st.sampled_from(["a", "b"])),
    ),
    max_size=4,
)


def rows_of(ledger: Ledger) -> list[tuple[object, ...]]:
    """Give what the ledger remembers; the serial numbers of an id's sessions are its own affair."""
    columns = "session_id, created_ms, nano_cu_hours, latest_nano_cu_hours, ended, unlisted_at"
    found = ledger._db.execute(f"SELECT {columns} FROM session")  # noqa: S608, SLF001
    return sorted(found.fetchall(), key=repr)


@given(listings=LISTINGS, size=st.integers(1, 4), unreadable=st.sampled_from(["", "a", "b"]))
def test_a_walk_in_pieces_counts_like_one_listing(
    listings: list[list[LivySession]], size: int, unreadable: str
) -> None:
    """Whatever order the records come in, also where ids are used again."""
    clock = ManualClock()
    whole, pieces = Ledger(None, clock=clock), Ledger(None, clock=clock)
    for listing in listings:
        clock.advance(60)
        names = frozenset(filter(None, [unreadable]))
        whole.apply_sessions(GATEWAY, listing, is_complete=True, unreadable=names)
        walk = Walk()
        for start in range(0, len(listing), size):
            pieces.stage_sessions(GATEWAY, listing[start : start + size], walk)
        pieces.finish_walk(GATEWAY, walk, names)
        assert rows_of(pieces) == rows_of(whole)
        assert pieces.state.sessions == whole.state.sessions == len(rows_of(whole))
        assert dict(pieces.state.amounts) == dict(whole.state.amounts)


def test_before_the_end_of_the_first_walk_there_are_no_series() -> None:
    """What was staged survives a walk that breaks off, and is part of the start then."""
    ledger = Ledger(None, clock=ManualClock())
    ledger.stage_sessions(GATEWAY, [record("a", 1, 5, "terminated")], Walk())
    assert ledger.state.amounts == {}
    assert ledger.state.sessions == 1
    walk = Walk()
    ledger.stage_sessions(GATEWAY, [record("a", 1, 5, "terminated")], walk)
    ledger.stage_sessions(GATEWAY, [record("b", 2, 5, "terminated")], walk)
    ledger.finish_walk(GATEWAY, walk)
    values = {key.metric: amount.value for key, amount in ledger.state.amounts.items()}
    assert values[catalog.LIVY_CU_HOURS] == 10


def test_sessions_that_are_known_to_have_left() -> None:
    """An open one has ended unseen; one of the same id that was created later stays."""
    clock = ManualClock()
    ledger = Ledger(None, clock=clock)
    listing = [record("a", 1, 5, "running"), record("a", 2, 5, "running")]
    ledger.apply_sessions(GATEWAY, listing, is_complete=True)
    ledger.apply_sessions(GATEWAY, [], is_complete=False, left=[("a", 10_000)])
    ended = {row[1]: (row[4], row[5]) for row in rows_of(ledger)}
    assert ended == {10_000: ("unknown", clock.now()), 20_000: ("", None)}
