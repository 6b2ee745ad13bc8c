"""Columns of rows against a plain list of them."""

from collections import Counter
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from exporter.sources.livy_sessions.columns import CHUNK_ROWS, Columns
from exporter.sources.livy_sessions.rows import NO_TIME, Kind, Row, row_key
from tests.support.budgets import examples

KINDS: tuple[Kind, ...] = (("a", "running"), ("a", "terminated"), ("b", "error"), None)
SOME = st.integers(0, 2 * CHUNK_ROWS + 3)
PLACES = st.lists(st.integers(0, 10**6), max_size=4)


def row_of(number: int, step: int) -> Row:
    """Return a row; some share a create time, some have none, some could not be read."""
    created = NO_TIME if number % 7 == step else number // step * 1000
    return Row(f"s{number}-é", None, created, KINDS[number % 4], row_key(f"s{number}", created))


@examples(1)
@given(
    step=st.integers(1, 6),
    turns=st.lists(st.tuples(SOME, st.integers(0, 3), SOME, PLACES), min_size=1, max_size=5),
)
def test_columns_are_as_a_list_of_their_rows(
    step: int, turns: list[tuple[int, int, int, list[int]]]
) -> None:
    """Whatever comes in and goes at both ends, and changes between them."""
    rows: list[Row] = []
    columns, numbers = Columns.of(rows), count()
    left: list[Row] = []
    for gone, read_again, came, places in turns:
        before = (columns, [*rows])
        changed = {at % len(rows): row_of(next(numbers), step) for at in places if rows}
        for index, row in changed.items():
            rows[index] = row
        kept = max(0, len(rows) - read_again)
        first = min(gone, kept)
        more = [*rows[kept:], *(row_of(next(numbers), step) for _ in range(came))]
        left += rows[:first]
        rows = [*rows[first:kept], *more]
        columns = columns.replaced(changed).spliced(first, kept, iter(more))
        assert [*columns.between(0, len(columns))] == rows
        assert [*before[0].between(0, len(before[1]))] == before[1]
    assert columns.counts == Counter(row.kind for row in rows)
    for index in [at % len(rows) for _, _, _, places in turns for at in places if rows]:
        row = rows[index]
        assert (columns.key(index), columns.created(index)) == (row.key, row.created_ms)
        assert columns.kind(index) == row.kind
        assert columns.index(row.key, index // 2) == index
        assert columns.index(row.key, index + 1) is None
        assert row in columns
    assert not any(row in columns for row in (*left[:9], *left[-9:], row_of(next(numbers), step)))
