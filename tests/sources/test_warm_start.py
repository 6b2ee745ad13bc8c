"""After a restart a poll reads a few pages, and says what a scan of everything would say."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.demo import Behaviour, HistoryOrder, TableName, TotalCount
from exporter.demo.calls import Call
from exporter.errors import IncompleteError, PollError
from exporter.ledger import Ledger
from exporter.ledger.sqlite import SqliteDatabase
from exporter.sources.livy_sessions.trust import HISTORY_DIVERGED
from exporter.sources.livy_sessions.warm_start import HISTORY_LOADED
from tests.sources.histories import ENDED, Long, Model, polled
from tests.support.budgets import examples
from tests.support.ledger_builders import MEMORY_DISK
from tests.support.worlds import used

pytestmark = pytest.mark.anyio

ORDERED = [HistoryOrder.NEWEST_FIRST, HistoryOrder.OLDEST_FIRST]


def revise_settled(long: Long, choice: int) -> None:
    """Let a session that ended long ago have used more after all, and fail or not."""
    row = long.rows[choice % len(long.rows)]
    if row.state in ENDED:
        more = row.usage.nano_cu_hours + 7
        usage = type(row.usage)(more, row.usage.vcore_seconds, row.usage.mb_seconds)
        state = ENDED[1 - ENDED.index(row.state)] if choice % 2 else row.state
        long.world.change_session(row.key, usage=usage, state=state)


def vanish(long: Long, choice: int) -> None:
    """Let a session vanish from anywhere."""
    long.world.remove_session(long.rows[choice % len(long.rows)].key)


def turn(long: Long, choice: int) -> None:
    """List in another order."""
    long.turn([*HistoryOrder][choice % len(HistoryOrder)])


def garble(long: Long, choice: int) -> None:
    """Let a record be unreadable."""
    row = long.rows[choice % len(long.rows)]
    long.world.change_session(row.key, raw="null" if choice % 2 else '{"sessionId": 7}')


EVENTS: dict[str, Callable[[Long, int], None]] = {
    "create": lambda long, choice: long.create(is_open=choice % 3 == 0),
    "advance": Long.advance,
    "end": Long.end,
    "revise": Long.revise,
    "trim": Long.trim,
    "wait": lambda long, choice: long.clock.advance([0.01, 60, 1000, 1900][choice % 4]),
}
SURPRISES: dict[str, Callable[[Long, int], None]] = {
    "vanish": vanish,
    "turn": turn,
    "garble": garble,
    "revise settled": revise_settled,
}
DAMAGE = (
    "DELETE FROM listing_place",
    "UPDATE gateway SET listing_order = 'oldest first'",
    "UPDATE gateway SET listing_order = 'sideways'",
    "INSERT OR REPLACE INTO listing_place VALUES (1, {id}, 0, 5, 5)",
    "UPDATE session SET created_ms = created_ms + 200000 WHERE session_id = {id}",
    "UPDATE session SET created_ms = NULL WHERE session_id = {id}",
    "UPDATE session SET unlisted_at = 1.0 WHERE session_id = {id}",
    "UPDATE session SET unlisted_at = NULL",
    "UPDATE session SET ended = '' WHERE session_id = {id}",
    "UPDATE session SET ended_at = NULL",
    "UPDATE session SET queue = 'other' WHERE session_id = {id}",
    "DELETE FROM session WHERE session_id = {id}",
    "DELETE FROM session WHERE session_id > {id}",
)

HAPPENINGS = st.lists(st.tuples(st.sampled_from([*EVENTS]), st.integers(0, 10**6)), max_size=6)


@dataclass(frozen=True)
class Story:
    """What happens: before a backup is taken, before the process dies, and while it is down."""

    order: HistoryOrder
    rows: int
    total_count: TotalCount
    before: list[tuple[str, int]]
    dies_in: str
    pages: int
    is_restored: bool
    meanwhile: list[tuple[str, int]]
    surprise: tuple[str, int] | None
    damage: tuple[str, int] | None


STORIES = st.builds(
    Story,
    order=st.sampled_from(HistoryOrder),
    rows=st.sampled_from([350, 480, 620, 4300]),
    total_count=st.sampled_from(TotalCount),
    before=HAPPENINGS,
    dies_in=st.sampled_from(["nothing", "poll", "full scan", "verification", "first scan"]),
    pages=st.integers(0, 50),
    is_restored=st.booleans(),
    meanwhile=HAPPENINGS,
    surprise=st.none() | st.tuples(st.sampled_from([*SURPRISES]), st.integers(0, 10**6)),
    damage=st.none() | st.tuples(st.sampled_from(DAMAGE), st.integers(0, 349)),
)


async def die(long: Long, work: str, pages: int) -> None:
    """Begin a poll or a verification, and end it after so many pages, if it has as many."""
    call = long.source.verify if work == "verification" else long.source.poll
    task = asyncio.create_task(call(lambda *_: None))
    left = [*range(pages)]

    def happen(_call: Call) -> None:
        task.cancel() if not left else left.pop()

    long.cloud.before_page = happen
    with suppress(asyncio.CancelledError, PollError):
        await task
    long.cloud.before_page = None


async def live(long: Long, story: Story, backup: Path) -> None:
    """Live until the process dies."""
    if story.dies_in == "first scan":
        await die(long, "poll", story.pages)
        return
    await polled(long)
    with closing(sqlite3.connect(backup)) as copy, long.ledger._store.reading() as db:  # noqa: SLF001
        assert isinstance(db, SqliteDatabase)
        db.db.backup(copy)
    for event, choice in story.before:
        EVENTS[event](long, choice)
        await polled(long)
    if story.dies_in in {"full scan", "verification"}:
        long.clock.advance(6 * 3600)
        if story.dies_in == "full scan":
            long.clock.advance(7 * 3600)
    if story.dies_in != "nothing":
        await die(long, story.dies_in, story.pages)


def change(path: Path, statement: str) -> None:
    """Change a ledger that nobody uses."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)


def remembered(path: Path) -> list[Any]:
    """Return all that a ledger knows of sessions, with times in whole seconds.

    Which of a scan's pages shows a session may cost a few milliseconds more or less.
    """
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT * FROM session ORDER BY session_id, serial").fetchall()
    return [(*row[:-2], *(at and int(at) for at in row[-2:])) for row in rows]


async def lives_again(folder: Path, story: Story) -> None:
    """Start on two copies of a ledger, of which one knows no order; both say the same."""
    path, warm, cold = folder / "ledger.db", folder / "warm.db", folder / "cold.db"
    long = Long(
        story.order,
        story.rows,
        is_open=lambda number: number % 97 == 5,
        behaviour=Behaviour(total_count=story.total_count),
        path=path,
    )
    await live(long, story, folder / "backup.db")
    long.ledger.close()
    for event, choice in story.meanwhile:
        EVENTS[event](long, choice)
    if story.surprise:
        SURPRISES[story.surprise[0]](long, story.surprise[1])
    if story.is_restored and story.dies_in != "first scan":
        path = folder / "backup.db"
    if story.damage:
        identity = f"'livy-{story.damage[1]:06}'"
        change(path, story.damage[0].format(id=identity))
    shutil.copy(path, warm)
    shutil.copy(path, cold)
    change(cold, "UPDATE gateway SET listing_order = ''")
    long.restart(cold)
    expected, _, _ = await polled(long)
    counters = long.ledger.state.counters
    long.restart(warm)
    found, _, _ = await polled(long)
    if not story.damage and not story.surprise:
        assert (found, long.ledger.state.counters) == (expected, counters)
    await long.source.verify(lambda *_: None)
    found, _, _ = await polled(long)
    assert (found, long.ledger.state.counters) == (expected, counters)
    long.ledger.close()
    assert remembered(warm) == remembered(cold)


@pytest.mark.timeout(300)
@examples(0.2)
@given(story=STORIES)
def test_warm_start_equals_cold_start(story: Story) -> None:
    """Whenever the process dies, whatever happens to service and ledger until it starts again.

    Sessions that were at rest, and ledgers that were changed, are seen by the verification.
    """
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK) as folder:
        asyncio.run(lives_again(Path(folder), story))


async def started(tmp_path: Path, order: HistoryOrder, *, open_row: int = 985) -> Long:
    """Return a history whose order a former process has recorded."""
    is_open = {open_row, *range(982, 990)}.__contains__
    long = Long(order, 990, is_open=is_open, path=tmp_path / "ledger.db")
    await polled(long)
    return long


@pytest.mark.parametrize("order", ORDERED)
async def test_the_first_poll_reads_what_may_have_changed(
    tmp_path: Path, order: HistoryOrder
) -> None:
    """What came, went and changed while nobody looked is seen; the verification is due at once."""
    long = await started(tmp_path, order, open_row=500)
    model = Model().read(long.listing(), long.clock.now())
    row, *_ = long.open_rows()
    long.end(0)
    await polled(long)
    model = model.read(long.listing(), long.clock.now())
    long.clock.advance(5 * 3600)
    long.world.change_session(row.key, usage=used(9))
    for _ in range(10):
        long.create(is_open=False)
    long.end(3)
    long.advance(2)
    long.trim(2)
    long.restart(tmp_path / "ledger.db")
    found, requests, events = await polled(long)
    model = model.read(long.listing(), long.clock.now())
    assert found == long.expected(model, long.listing())
    assert long.totals() == model.totals()
    assert requests <= 6
    assert events == [HISTORY_LOADED]
    # What ended before the restart has settled by now: the next poll reads the running ones.
    assert (await polled(long))[1] == 1
    before = long.requests
    await long.source.verify(lambda *_: None)
    assert long.requests - before >= 10
    await long.source.verify(lambda *_: None)  # not due
    assert long.requests - before <= 13


async def test_a_session_that_came_back_after_it_had_gone_is_read_after_a_restart(
    tmp_path: Path,
) -> None:
    """Its end was concluded, but it runs."""
    long = await started(tmp_path, HistoryOrder.NEWEST_FIRST, open_row=500)
    row, *_ = long.open_rows()
    long.world.remove_session(row.key)
    await polled(long)
    long.world.put_session(row)
    await polled(long)
    long.restart(tmp_path / "ledger.db")
    found, _, events = await polled(long)
    assert found == long.expected(Model(), long.listing())
    assert events == [HISTORY_LOADED]


async def test_a_ledger_of_an_older_version_is_read_completely_once(tmp_path: Path) -> None:
    """From then on its order is known."""
    long = await started(tmp_path, HistoryOrder.NEWEST_FIRST)
    path = tmp_path / "ledger.db"
    long.ledger.close()
    change(path, "ALTER TABLE gateway DROP COLUMN listing_order")
    change(path, "DROP TABLE listing_place")
    change(path, "ALTER TABLE ledger DROP COLUMN is_copy")
    change(path, "PRAGMA user_version = 2")
    for requests in (10, 1):
        long.restart(path)
        assert (await polled(long))[1] == requests


async def test_the_first_empty_listing_after_a_warm_start_is_not_accepted(tmp_path: Path) -> None:
    """As after any other start: no open session is taken for gone."""
    long = await started(tmp_path, HistoryOrder.NEWEST_FIRST)
    long.restart(tmp_path / "ledger.db")
    totals = long.totals()
    long.world.hide(TableName.SESSIONS)
    with pytest.raises(IncompleteError):
        await polled(long)
    long.world.show(TableName.SESSIONS)
    long.clock.advance(30)
    found, _, _ = await polled(long)
    assert found == long.expected(Model(), long.listing())
    assert long.totals() == totals


async def test_sessions_that_ended_before_the_ledger_was_begun_may_be_revised(
    tmp_path: Path,
) -> None:
    """The verification after a restart finds that they have not settled."""
    long = Long(HistoryOrder.NEWEST_FIRST, 900, path=tmp_path / "ledger.db")
    for _ in range(250):
        long.create(age=60.0, is_open=False)
    await polled(long)
    long.restart(tmp_path / "ledger.db")
    await polled(long)
    await long.source.verify(lambda *_: None)
    long.clock.advance(600)
    long.revise(230)  # on the third page
    await polled(long)
    assert long.totals() == Model().read(long.listing(), 0.0).totals()


@pytest.mark.parametrize("order", ORDERED)
async def test_create_times_that_do_not_tell_the_order_are_no_obstacle(
    tmp_path: Path, order: HistoryOrder
) -> None:
    """Sessions created in one instant, or far ahead, before and after the complete reading."""
    long = Long(order, 700, path=tmp_path / "ledger.db")
    long.create(age=-(10**9), is_open=False)
    for number in range(60):
        if number == 30:
            await polled(long)
        long.create(age=number % 7)
        await polled(long)
    for _ in range(2):
        long.restart(tmp_path / "ledger.db")
        found, requests, events = await polled(long)
        assert found == long.expected(Model(), long.listing())
        assert (requests <= 3, events) == (True, [HISTORY_LOADED])
        long.clock.advance(7 * 3600)
        await long.source.verify(lambda *_: None)


async def test_without_an_order_a_restart_reads_everything(tmp_path: Path) -> None:
    """There is nothing to go by; and the order is forgotten when the listing has lost it."""
    long = await started(tmp_path, HistoryOrder.NEWEST_FIRST)
    long.turn(HistoryOrder.SHUFFLED)
    long.restart(tmp_path / "ledger.db")
    _, requests, events = await polled(long)
    assert requests >= 10
    assert events == [HISTORY_LOADED, HISTORY_DIVERGED, "listing_order_unknown"]
    long.restart(tmp_path / "ledger.db")
    assert (await polled(long))[1:] == (10, ["listing_order_unknown"])


async def test_with_a_row_that_cannot_be_read_a_restart_reads_everything(tmp_path: Path) -> None:
    """The ledger knows nothing of it, or counts a session that nobody can read."""
    long = await started(tmp_path, HistoryOrder.NEWEST_FIRST)
    garble(long, 457)
    long.clock.advance(7 * 3600)
    await polled(long)
    long.restart(tmp_path / "ledger.db")
    found, requests, events = await polled(long)
    assert found == long.expected(Model(), long.listing())
    assert (requests, events) == (10, ["records_malformed"])


class Unreadable(sqlite3.Connection):
    """A connection to a disk that fails when sessions are loaded."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401
        """Execute a statement."""
        if "LEFT JOIN main.listing_place" in sql:
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, parameters)


async def test_a_ledger_that_cannot_be_read_for_a_moment_is_no_obstacle(tmp_path: Path) -> None:
    """The history is read from the service then."""
    long = await started(tmp_path, HistoryOrder.NEWEST_FIRST)
    long.ledger.close()
    long.ledger = Ledger(
        tmp_path / "ledger.db",
        clock=long.clock,
        connect=partial(sqlite3.connect, factory=Unreadable),
    )
    long.restart()
    found, requests, events = await polled(long)
    assert found == long.expected(Model(), long.listing())
    assert (requests, events) == (10, [])
