"""Restored copies of a ledger begin anew, as Prometheus sees it; the ledger itself goes on."""

import itertools
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exporter.ledger import Ledger, back_up
from exporter.ledger.sqlite.schema import MIGRATIONS
from tests.ledger.older import older_ledger
from tests.support.harness import START, ManualClock
from tests.support.ledger_builders import listed, opened, record, values

DAY = 86400.0


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that the test moves."""
    return ManualClock()


def counted(path: Path, clock: ManualClock) -> Ledger:
    """Return a ledger that counted something, a day ago."""
    ledger = opened(path, clock)
    listed(ledger, record("a", 5))
    clock.advance(DAY)
    return ledger


def birth(path: Path, clock: ManualClock) -> float:
    """Use a ledger as a daemon does; return how many days after the start it was created."""
    ledger = opened(path, clock)
    assert values(ledger)["q"] > 0
    created_at = ledger.state.created_at
    ledger.close()
    clock.advance(DAY)
    assert created_at is not None
    return (created_at - START) / DAY


def test_first_use_of_a_copy_begins_anew_and_the_next_one_goes_on(
    tmp_path: Path, clock: ManualClock
) -> None:
    """The ledger that was copied keeps its birth, whether or not it runs meanwhile."""
    path, copy = tmp_path / "ledger.db", tmp_path / "copy.db"
    ledger = counted(path, clock)
    back_up(path, copy)
    assert [birth(copy, clock) for _ in range(3)] == [1, 1, 1]
    listed(ledger, record("a", 6))
    assert ledger.state.created_at == START
    ledger.close()
    assert birth(path, clock) == 0


@pytest.mark.parametrize("is_used", [False, True])
def test_copy_of_a_copy_begins_anew(
    tmp_path: Path,
    clock: ManualClock,
    is_used: bool,  # noqa: FBT001
) -> None:
    """Whether or not the copy was used before it was copied."""
    paths = [tmp_path / f"{number}.db" for number in range(3)]
    counted(paths[0], clock).close()
    back_up(paths[0], paths[1])
    assert not is_used or birth(paths[1], clock) == 1
    back_up(paths[1], paths[2])
    clock.advance(DAY)
    assert birth(paths[2], clock) == 2 + is_used
    assert birth(paths[0], clock) == 0


def test_copy_that_was_only_copied_keeps_the_mark(tmp_path: Path, clock: ManualClock) -> None:
    """To read it for another copy is not a use of it."""
    paths = [tmp_path / f"{number}.db" for number in range(3)]
    counted(paths[0], clock).close()
    for source, target in itertools.pairwise(paths):
        back_up(source, target)
    assert birth(paths[1], clock) == 1


@pytest.mark.parametrize("number", range(1, len(MIGRATIONS)))
def test_copy_of_a_ledger_that_an_older_version_wrote_begins_anew(
    tmp_path: Path, clock: ManualClock, number: int
) -> None:
    """As a backup before an upgrade; the copy can be used by the older version, too."""
    path = older_ledger(tmp_path, number)
    copy = tmp_path / "copy.db"
    back_up(path, copy)
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (number,)
    clock.advance(DAY)
    assert birth(copy, clock) == 1
    assert birth(path, clock) == 0
