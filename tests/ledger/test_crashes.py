"""Every CU-hour is counted exactly once, whatever happens and whenever the process dies."""

import shutil
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import (
    run_state_machine_as_test,
)

from exporter.errors import LedgerError
from exporter.ledger import Key, Ledger
from exporter.ledger.location import Postgres
from tests.ledger.counted_on_server import CountedOnceOnServer
from tests.ledger.counted_once import COUNTS, DAYS, HOLD, CountedOnce, opened
from tests.ledger.crashes import Crash, FileFuse, Fuse, ServerFuse
from tests.support.budgets import share_of_examples
from tests.support.harness import ManualClock
from tests.support.ledger_builders import cluster, listed, record, shown, values
from tests.support.ledger_stores import Store, servers

LONG = (pytest.mark.soak, pytest.mark.timeout(3600))

MET = ("arranged", "ids reused", "readmitted", "forgotten", "deferred", "undated")


def test_usage_is_counted_once_through_crashes_at_random_points() -> None:
    """Also with reused ids, missing create times, forgotten and readmitted sessions."""
    COUNTS.clear()
    run_state_machine_as_test(
        CountedOnce, settings=settings(share_of_examples(1), stateful_step_count=50)
    )
    assert COUNTS["crashes"] >= 300
    assert min(COUNTS[each] for each in MET) > 0


@servers
@pytest.mark.parametrize("share", [0.1, pytest.param(1.0, marks=LONG)])
def test_usage_is_counted_once_through_crashes_on_postgres(share: float) -> None:
    """Also where connections are lost, and with them the answers to commits that were done."""
    COUNTS.clear()
    run_state_machine_as_test(
        CountedOnceOnServer, settings=settings(share_of_examples(share), stateful_step_count=50)
    )
    assert COUNTS["crashes"] >= 50
    assert COUNTS["cuts"] >= 5
    assert COUNTS["unanswered"] >= 3


@servers
def test_commit_whose_answer_is_lost_is_counted_once(store: Store) -> None:
    """The server tells whether it was done; a series that was never published is held."""
    location = store.new()
    assert isinstance(location, Postgres)
    fuse = ServerFuse(location)
    ledger = store.note(opened(fuse, ManualClock()))
    listed(ledger, record("a", 5))
    fuse.arm(99, is_cut=True)
    with pytest.raises(LedgerError) as caught:
        listed(ledger, record("a", 6), record("b", 2, queue="new"))
    assert (fuse.unanswered, caught.value.kind) == (1, "unreachable")
    assert values(ledger) == {"q": 5}
    listed(ledger, record("a", 7), record("b", 3, queue="new"))
    assert values(ledger) == {"q": 7, "new": 3}
    assert shown(ledger) == {"q": 5, "new": 0}


def read_partly(ledger: Ledger, _: ManualClock) -> None:
    """Stage a session."""
    ledger.open_scan(("w", "g")).add([record("a", 1)])


def meet(ledger: Ledger, _: ManualClock) -> None:
    """Read the first complete listing."""
    scan = ledger.open_scan(("w", "g"))
    scan.add([record("a", 2)])
    scan.finish([record("b", 5)])


def read_clusters(ledger: Ledger, _: ManualClock) -> None:
    """Read the first session clusters."""
    ledger.record_session_clusters("w", [cluster("c")])


def read_clusters_again(ledger: Ledger, _: ManualClock) -> None:
    """Read that a cluster failed."""
    ledger.record_session_clusters("w", [cluster("c", "error")])


def scrape_and_wait(ledger: Ledger, clock: ManualClock) -> None:
    """Scrape all there is, and let the hold pass."""
    ledger.note_scrape(list(ledger.state.counters), is_prometheus=True)
    clock.advance(HOLD)
    ledger.release()


def read_news(ledger: Ledger, _: ManualClock) -> None:
    """Read growth, a new session in a new queue, and that one has left."""
    records = [record("a", 7, queue="p"), record("n", 3, queue="new")]
    ledger.open_scan(("w", "g")).finish(records)


def forget(ledger: Ledger, clock: ManualClock) -> None:
    """Forget who left, much later."""
    clock.step(11 * DAYS)
    ledger.open_scan(("w", "g")).finish([record("a", 8)])


def readmit(ledger: Ledger, _: ManualClock) -> None:
    """Read a session again that was forgotten."""
    records = [record("a", 8), record("b", 5)]
    ledger.open_scan(("w", "g")).finish(records)


SCRIPT = (
    read_partly,
    meet,
    read_clusters,
    read_clusters_again,
    scrape_and_wait,
    read_news,
    scrape_and_wait,
    forget,
    readmit,
)


def publish(ledger: Ledger, page: dict[Key, int]) -> None:
    """Publish the counters: none may ever be lower than on an earlier page."""
    amounts = ledger.state.counters
    assert page.keys() <= amounts.keys()
    for key, amount in amounts.items():
        if key.metric.kind == "counter":
            assert page.get(key, 0) <= amount.published <= amount.actual
            page[key] = amount.published


def play(fuse: Fuse, instants: int | None) -> tuple[dict[Key, int], bool]:
    """Play the script, die once on the way, and do again what was not finished.

    Gives the values in the end, and whether the process died.
    """
    clock, page, todo = ManualClock(), dict[Key, int](), list(SCRIPT)
    crashes = fuse.crashes
    ledger: Ledger | None = None
    fuse.arm(instants)
    while todo:
        try:
            ledger = ledger or opened(fuse, clock)
            todo[0](ledger, clock)
            fuse.burn()
            publish(ledger, page)
            fuse.burn()
            todo.pop(0)
        except Crash:
            if ledger is not None:
                ledger.close()
            ledger = None
            fuse.revive()
    assert ledger is not None
    values = {key: amount.actual for key, amount in ledger.state.counters.items()}
    ledger.close()
    fuse.arm(None)
    return values, fuse.crashes > crashes


def test_crash_at_any_point_of_a_script_leaves_the_same_totals(memory_disk: Path) -> None:
    """From the first statement on a new file to the last published page."""
    undisturbed, _ = play(FileFuse(memory_disk / "undisturbed"), None)
    instant, has_died = 0, True
    while has_died:
        instant += 1
        values, has_died = play(FileFuse(memory_disk / str(instant)), instant)
        assert values == undisturbed
        shutil.rmtree(memory_disk / str(instant))
    assert instant > 200


def play_through_crashes(fuse: Fuse) -> dict[Key, int]:
    """Play the script, and die at each instant of each step; give the values in the end."""
    clock, page = ManualClock(), dict[Key, int]()
    ledger = opened(fuse, clock)
    for step in SCRIPT:
        instant, is_done = 0, False
        while not is_done:
            instant += 1
            fuse.arm(instant)
            try:
                step(ledger, clock)
                is_done = True
            except Crash:
                ledger.close()
                fuse.revive()
                ledger = opened(fuse, clock)
            fuse.arm(None)
            publish(ledger, page)
    values = {key: amount.actual for key, amount in ledger.state.counters.items()}
    ledger.close()
    return values


@servers
def test_crash_at_any_point_of_a_script_leaves_the_same_totals_on_postgres(
    memory_disk: Path, store: Store
) -> None:
    """The totals are those of a file, too."""
    undisturbed, _ = play(FileFuse(memory_disk), None)
    location = store.new()
    assert isinstance(location, Postgres)
    fuse = ServerFuse(location)
    assert play_through_crashes(fuse) == undisturbed
    assert fuse.crashes > 100
