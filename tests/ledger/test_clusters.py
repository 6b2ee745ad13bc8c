"""Session clusters: the states that they entered, and when."""

from pathlib import Path

import pytest

from exporter import catalog
from exporter.ledger import Ledger
from exporter.model import SESSION_CLUSTER_STATES, SessionCluster
from tests.support.harness import START, ManualClock
from tests.support.ledger_builders import cluster, memory, nonzero, opened, shown, values
from tests.support.ledger_stores import both_stores

pytestmark = both_stores

DAY = 86400.0


def seen(ledger: Ledger, *clusters: SessionCluster) -> dict[str, float]:
    """Record a listing; return when each state began, in seconds after `START`."""
    since = ledger.record_session_clusters("w-1", clusters)
    return {name: at - START for name, at in since.items()}


def entries(ledger: Ledger) -> dict[str, int]:
    """Return the entries by state, without zeros."""
    return nonzero(values(ledger, catalog.SESSION_CLUSTER_STATE_ENTRIES))


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that the test moves."""
    return ManualClock()


@pytest.fixture
def ledger(clock: ManualClock) -> Ledger:
    """Return a ledger that has met the workspace, with one running cluster."""
    made = memory(clock)
    seen(made, cluster("a", started=1))
    clock.advance(30)
    return made


def test_first_listing_counts_no_state_entries() -> None:
    """When its clusters entered their states is unknown."""
    ledger = memory()
    seen(ledger, cluster("a"), cluster("b", "error"))
    assert values(ledger, catalog.SESSION_CLUSTER_STATE_ENTRIES) == dict.fromkeys(
        SESSION_CLUSTER_STATES, 0
    )


def test_restart_does_not_repeat_the_first_listing(tmp_path: Path) -> None:
    """A cluster that is new after a restart is counted at once."""
    first = opened(tmp_path / "ledger.db")
    seen(first)
    first.close()
    second = opened(tmp_path / "ledger.db")
    seen(second, cluster("a"))
    assert entries(second) == {"running": 1}


def test_new_cluster_is_one_entry(ledger: Ledger) -> None:
    """A cluster first seen after the first listing has entered its state."""
    assert seen(ledger, cluster("a", started=1), cluster("b", "starting")) == {"a": 0, "b": 30}
    assert entries(ledger) == {"starting": 1}


def test_change_of_state_is_one_entry(ledger: Ledger, clock: ManualClock) -> None:
    """Its time is that of the listing that first showed it."""
    assert seen(ledger, cluster("a", "stopping", started=1)) == {"a": 30}
    clock.advance(30)
    assert seen(ledger, cluster("a", "stopping", started=1)) == {"a": 30}
    assert entries(ledger) == {"stopping": 1}
    seen(ledger, cluster("a", "running", started=1))
    assert entries(ledger) == {"stopping": 1, "running": 1}


def test_restart_of_a_cluster_between_two_polls_is_one_entry(ledger: Ledger) -> None:
    """Its state is the same, but its start time is another."""
    assert seen(ledger, cluster("a", started=2)) == {"a": 30}
    assert entries(ledger) == {"running": 1}


def test_missing_start_time_is_not_a_restart(ledger: Ledger) -> None:
    """Neither a start time absent for a while, nor one that appears later."""
    seen(ledger, cluster("a"))
    seen(ledger, cluster("a", started=1))
    seen(ledger, cluster("a", started=1), cluster("late", "stopped"))
    seen(ledger, cluster("a", started=1), cluster("late", "stopped", started=5))
    assert entries(ledger) == {"stopped": 1}


def test_cluster_missing_for_a_while_enters_no_state(ledger: Ledger, clock: ManualClock) -> None:
    """A listing may be wrongly empty."""
    seen(ledger)
    clock.advance(30)
    assert seen(ledger, cluster("a", started=1)) == {"a": 0}
    assert entries(ledger) == {}
    seen(ledger)
    seen(ledger, cluster("a", "error", started=1))
    assert entries(ledger) == {"error": 1}


def test_forgotten_cluster_that_is_listed_again_is_one_entry(clock: ManualClock) -> None:
    """It counts as new after `ledger.forget-after`."""
    ledger = memory(clock, days=10)
    seen(ledger, cluster("a"))
    seen(ledger)
    clock.advance(9 * DAY)
    seen(ledger)
    seen(ledger, cluster("a"))
    assert entries(ledger) == {}
    seen(ledger)
    clock.advance(11 * DAY)
    seen(ledger)
    seen(ledger, cluster("a"))
    assert entries(ledger) == {"running": 1}


def test_time_in_state_is_kept_over_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    """A restart does not make a cluster look as if it had just entered its state."""
    first = opened(tmp_path / "ledger.db", clock)
    seen(first, cluster("a"))
    first.close()
    clock.advance(1000)
    second = opened(tmp_path / "ledger.db", clock)
    assert seen(second, cluster("a")) == {"a": 0}


def test_entries_are_counted_by_kind_and_queue_from_zero(ledger: Ledger) -> None:
    """Every state of a kind and queue has a series before anything enters it."""
    seen(ledger, cluster("a", started=1), cluster("b", "error", kind="THRIFT", queue="p"))
    found = {
        key.labels[1:]: amount.actual
        for key, amount in ledger.state.counters.items()
        if key.metric is catalog.SESSION_CLUSTER_STATE_ENTRIES
    }
    assert found == {
        **{("SQL", "q", state): 0 for state in SESSION_CLUSTER_STATES},
        **{("THRIFT", "p", state): int(state == "error") for state in SESSION_CLUSTER_STATES},
    }


def test_each_workspace_has_its_own_first_listing(ledger: Ledger) -> None:
    """The listings of other workspaces do not matter."""
    ledger.record_session_clusters("w-2", [cluster("a", "error")])
    assert entries(ledger) == {}


def test_entries_of_a_new_series_are_held_until_it_was_scraped(clock: ManualClock) -> None:
    """As the increases of all other counters are."""
    ledger = memory(clock, hold=90)
    seen(ledger, cluster("a"))
    seen(ledger, cluster("a", "error"))
    assert nonzero(shown(ledger, catalog.SESSION_CLUSTER_STATE_ENTRIES)) == {}
    ledger.note_scrape(list(ledger.state.counters), is_prometheus=True)
    clock.advance(90)
    ledger.release()
    assert nonzero(shown(ledger, catalog.SESSION_CLUSTER_STATE_ENTRIES)) == {"error": 1}
