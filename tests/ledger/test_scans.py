"""A scan that is added in batches counts what one batch of all records counts."""

from hypothesis import given
from hypothesis import strategies as st

from exporter import catalog
from exporter.ledger import Ledger
from exporter.model import LivySession, Usage
from tests.support.budgets import examples
from tests.support.harness import ManualClock
from tests.support.ledger_builders import memory
from tests.support.ledger_stores import both_stores, for_an_example, postgres_alone

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
    """Return the session rows of a ledger, without the serial numbers, which may differ."""
    columns = "session_id, created_ms, nano_cu_hours, latest_nano_cu_hours, ended, unlisted_at"
    with ledger._store.reading() as db:  # noqa: SLF001
        return sorted(db.query(f"SELECT {columns} FROM main.session"), key=repr)


def check_batches(listings: list[list[LivySession]], size: int, unreadable: str) -> None:
    """Check that two ledgers hold the same, of which one reads each listing in batches."""
    clock = ManualClock()
    with for_an_example():
        whole, pieces = memory(clock), memory(clock)
        for listing in listings:
            clock.advance(60)
            names = frozenset(filter(None, [unreadable]))
            whole.open_scan(GATEWAY).finish(listing, unreadable=names)
            scan = pieces.open_scan(GATEWAY)
            for start in range(0, len(listing), size):
                scan.add(listing[start : start + size])
            scan.finish(unreadable=names)
            assert rows_of(pieces) == rows_of(whole)
            assert pieces.state.sessions == whole.state.sessions == len(rows_of(whole))
            assert dict(pieces.state.counters) == dict(whole.state.counters)


scanned = given(
    listings=LISTINGS, size=st.integers(1, 4), unreadable=st.sampled_from(["", "a", "b"])
)


@scanned
def test_scan_in_batches_counts_like_one_batch(
    listings: list[list[LivySession]], size: int, unreadable: str
) -> None:
    """In any order of the records, and with reused ids."""
    check_batches(listings, size, unreadable)


@postgres_alone
@examples(0.1)
@scanned
def test_scan_in_batches_counts_like_one_batch_on_postgres(
    listings: list[list[LivySession]], size: int, unreadable: str
) -> None:
    """The same rows, found and merged by other statements."""
    check_batches(listings, size, unreadable)


@both_stores
def test_no_series_before_the_first_scan_is_complete() -> None:
    """The sessions of an abandoned scan are part of the starting values later."""
    ledger = memory()
    ledger.open_scan(GATEWAY).add([record("a", 1, 5, "terminated")])
    assert ledger.state.counters == {}
    assert ledger.state.sessions == 1
    scan = ledger.open_scan(GATEWAY)
    scan.add([record("a", 1, 5, "terminated")])
    scan.add([record("b", 2, 5, "terminated")])
    scan.finish()
    values = {key.metric: amount.actual for key, amount in ledger.state.counters.items()}
    assert values[catalog.LIVY_CU_HOURS] == 10


@both_stores
def test_session_that_left_during_a_partial_scan_ends_as_unknown() -> None:
    """A later session with the same id stays."""
    clock = ManualClock()
    ledger = memory(clock)
    listing = [record("a", 1, 5, "running"), record("a", 2, 5, "running")]
    ledger.open_scan(GATEWAY).finish(listing)
    ledger.open_scan(GATEWAY).finish(left=[("a", 10_000)], is_complete=False)
    ended = {row[1]: (row[4], row[5]) for row in rows_of(ledger)}
    assert ended == {10_000: ("unknown", clock.now()), 20_000: ("", None)}
