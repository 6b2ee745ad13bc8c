"""What a scan that fails leaves behind: nothing that a later poll could take for the truth."""

import pytest

from exporter import catalog
from exporter.demo import Behaviour, HistoryOrder, TableName, TotalCount
from exporter.demo.calls import Call
from exporter.demo.faults import FORBIDDEN
from exporter.errors import IncompleteError, PermissionDeniedError
from tests.sources.histories import KEY, Long, Model, polled

pytestmark = pytest.mark.anyio


def vanished(long: Long) -> int:
    """Count the sessions that the ledger believes to have gone while they were open."""
    return sum(
        count
        for (name, labels), count in long.totals().items()
        if name == catalog.LIVY_SESSIONS_ENDED.name and labels[-1] == "unknown"
    )


async def test_each_empty_listing_of_a_long_history_is_accepted_only_when_repeated() -> None:
    """What came in between proves the first one wrong, and says nothing for the next."""
    long = Long(HistoryOrder.NEWEST_FIRST, 1000, is_open=lambda number: number > 990)
    await polled(long)
    for _ in range(3):
        long.world.hide(TableName.SESSIONS)
        with pytest.raises(IncompleteError):
            await polled(long)
        long.world.show(TableName.SESSIONS)
        for _ in range(3):
            long.clock.advance(30)
            found, _, _ = await polled(long)
            assert found == long.expected(Model(), long.listing())
    assert vanished(long) == 0


async def test_a_listing_that_is_empty_from_the_middle_on_is_accepted_only_when_repeated() -> None:
    """What was read before says nothing of what is listed now."""
    long = Long(HistoryOrder.NEWEST_FIRST, 1000, is_open=lambda number: number in {10, 990})
    await polled(long)
    long.clock.advance(7 * 3600)

    def hide_behind_the_first_page(call: Call) -> None:
        if call.page == 2:
            long.world.hide(TableName.SESSIONS)

    long.cloud.before_page = hide_behind_the_first_page
    with pytest.raises(IncompleteError):
        await polled(long)
    assert vanished(long) == 0
    found, _, _ = await polled(long)
    assert found == long.expected(Model(), [])
    assert vanished(long) == 2


@pytest.mark.parametrize("total_count", TotalCount)
async def test_what_comes_in_while_a_scan_is_interrupted_is_not_taken_for_gone(
    total_count: TotalCount,
) -> None:
    """The scan goes on behind it; the next poll finds it."""
    long = Long(
        HistoryOrder.NEWEST_FIRST,
        2000,
        is_open=lambda number: number > 1990,
        behaviour=Behaviour(total_count=total_count),
    )
    await polled(long)
    for row in long.rows[20:24]:
        long.world.remove_session(row.key)
    long.cloud.faults.add(FORBIDDEN, page=9, times=1)
    with pytest.raises(PermissionDeniedError):
        await polled(long)
    long.create()
    for _ in range(2):
        long.clock.advance(30)
        found, _, _ = await polled(long)
    assert found == long.expected(Model(), long.listing())
    assert vanished(long) == 0


@pytest.mark.parametrize("rows", [200, 1000])
async def test_a_session_whose_record_is_empty_for_a_while_has_not_gone(rows: int) -> None:
    """A row without an id may be of any session, so none is taken for gone."""
    long = Long(HistoryOrder.NEWEST_FIRST, rows, is_open=lambda number: number == rows - 9)
    await polled(long)
    (row,) = long.open_rows()
    for raw in ("null", None, "{}", None):
        long.world.change_session(row.key, raw=raw)
        long.clock.advance(30)
        found, _, _ = await polled(long)
        assert found == long.expected(Model(), long.listing())
    assert vanished(long) == 0
    long.world.remove_session(row.key)
    await polled(long)
    assert vanished(long) == 1


async def test_a_session_whose_figure_cannot_be_read_when_it_leaves_has_ended() -> None:
    """Its id can be read, and that tells which session has left."""
    long = Long(HistoryOrder.NEWEST_FIRST, 1000, is_open=lambda number: number == 3)
    (row,) = long.open_rows()
    for figure in ({}, {"cuHours": "many"}):
        long.world.change_session(row.key, raw={"createTime": None, **figure})
        await polled(long)
    assert vanished(long) == 0
    long.world.trim_oldest(*KEY, 5)
    _, requests, events = await polled(long)
    assert (requests, events) == (2, [])
    assert vanished(long) == 1


@pytest.mark.parametrize("order", [HistoryOrder.NEWEST_FIRST, HistoryOrder.OLDEST_FIRST])
async def test_a_row_that_is_not_a_record_keeps_its_place(order: HistoryOrder) -> None:
    """The listing goes on around it, page by page, and is read in part as before."""
    long = Long(order, 1000, is_open=lambda number: number == 650)
    broken = next(row for row in long.rows if row.session_id == "livy-000655")
    long.world.change_session(broken.key, raw="null")
    await polled(long)
    for _ in range(3):
        long.create(is_open=False)
        long.trim(0)
        _, requests, events = await polled(long)
        assert (requests <= 4, events) == (True, [])


async def test_a_service_that_counts_sessions_but_shows_none_starts_no_counters() -> None:
    """Else all that it shows when it has recovered would be an increase."""
    long = Long(HistoryOrder.NEWEST_FIRST, 500, behaviour=Behaviour(reachable_rows=0))
    for _ in range(4):
        with pytest.raises(IncompleteError):
            await polled(long)
    assert long.ledger.state.counters == {}


async def test_a_listing_that_has_changed_within_while_a_scan_was_interrupted_is_logged() -> None:
    """The resumed scan is contradicted by the poll of the new end: all of it is read again."""
    long = Long(HistoryOrder.NEWEST_FIRST, 1000)
    long.cloud.faults.add(FORBIDDEN, page=5, times=1)
    with pytest.raises(PermissionDeniedError):
        await polled(long)
    long.world.remove_session(long.rows[20].key)
    found, _, events = await polled(long)
    assert found == long.expected(Model(), long.listing())
    assert events == ["history_diverged"]
