"""Held, then released: every increase is one that Prometheus can see."""

from pathlib import Path

import pytest

from exporter import catalog
from exporter.ledger import Ledger
from exporter.ledger.release_gate import PATIENCE_SECONDS
from tests.support.harness import ManualClock
from tests.support.ledger_builders import listed, memory, opened, record, shown, values

HOLD = 90.0


def scrape(ledger: Ledger, *, is_prometheus: bool = True) -> None:
    """Scrape the page as it is."""
    ledger.note_scrape(list(ledger.state.counters), is_prometheus=is_prometheus)


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that the test moves."""
    return ManualClock()


@pytest.fixture
def ledger(clock: ManualClock) -> Ledger:
    """Give a ledger with one series, at 5, of which 3 are held back."""
    made = memory(clock, hold=HOLD)
    listed(made, record(cu=5))
    listed(made, record(cu=8))
    return made


def test_a_new_series_shows_its_increases_after_the_hold(
    ledger: Ledger, clock: ManualClock
) -> None:
    """A series shows its starting value until the hold has passed since the first scrape."""
    clock.advance(1000)
    ledger.release()
    assert shown(ledger) == {"q": 5}
    scrape(ledger)
    clock.advance(HOLD - 0.1)
    assert not ledger.has_due()
    ledger.release()
    assert shown(ledger) == {"q": 5}
    clock.advance(0.1)
    assert ledger.has_due()
    ledger.release()
    assert shown(ledger) == values(ledger) == {"q": 8}
    assert not ledger.has_due()
    listed(ledger, record(cu=9))
    assert shown(ledger) == {"q": 9}


def test_only_the_first_scrape_counts(ledger: Ledger, clock: ManualClock) -> None:
    """Scraping again does not prolong the hold."""
    scrape(ledger)
    clock.advance(HOLD - 1)
    scrape(ledger)
    clock.advance(1)
    ledger.release()
    assert shown(ledger) == {"q": 8}


def test_a_release_comes_with_any_transaction(ledger: Ledger, clock: ManualClock) -> None:
    """What is due shows with the next listing that is applied, whatever it says."""
    scrape(ledger)
    clock.advance(HOLD)
    listed(ledger, record(cu=8))
    assert shown(ledger) == {"q": 8}


def test_each_series_has_a_hold_of_its_own(ledger: Ledger, clock: ManualClock) -> None:
    """A queue that comes later is held from its own first scrape."""
    scrape(ledger)
    clock.advance(HOLD / 2)
    listed(ledger, record(cu=8), record("new", 4, queue="later"))
    scrape(ledger)
    assert shown(ledger) == {"q": 5, "later": 0}
    clock.advance(HOLD / 2)
    ledger.release()
    assert shown(ledger) == {"q": 8, "later": 0}
    clock.advance(HOLD / 2)
    ledger.release()
    assert shown(ledger) == {"q": 8, "later": 4}


def test_a_scrape_counts_for_what_it_showed(ledger: Ledger, clock: ManualClock) -> None:
    """A scrape of an older page says nothing of a series that came since."""
    page = list(ledger.state.counters)
    listed(ledger, record(cu=8), record("new", 4, queue="later"))
    ledger.note_scrape(page, is_prometheus=True)
    clock.advance(HOLD)
    ledger.release()
    assert shown(ledger) == {"q": 8, "later": 0}


def test_other_readers_do_not_count_once_prometheus_was_seen(
    ledger: Ledger, clock: ManualClock
) -> None:
    """A person with curl does not start a hold where Prometheus scrapes."""
    scrape(ledger)
    listed(ledger, record(cu=8), record("new", 4, queue="later"))
    scrape(ledger, is_prometheus=False)
    clock.advance(HOLD)
    ledger.release()
    assert shown(ledger) == {"q": 8, "later": 0}
    scrape(ledger)
    clock.advance(HOLD)
    ledger.release()
    assert shown(ledger) == {"q": 8, "later": 4}


def test_any_reader_counts_where_prometheus_was_never_seen(
    ledger: Ledger, clock: ManualClock
) -> None:
    """A collector that does not name itself is a scraper too."""
    scrape(ledger, is_prometheus=False)
    clock.advance(HOLD)
    ledger.release()
    assert shown(ledger) == {"q": 8}


def test_the_first_scrape_of_prometheus_restarts_the_holds(
    ledger: Ledger, clock: ManualClock
) -> None:
    """What another reader saw before Prometheus came is no reason to release before it saw it."""
    scrape(ledger, is_prometheus=False)
    clock.advance(HOLD + 10)
    scrape(ledger)
    clock.advance(HOLD - 1)
    ledger.release()
    assert shown(ledger) == {"q": 5}
    clock.advance(1)
    ledger.release()
    assert shown(ledger) == {"q": 8}


def test_prometheus_is_remembered_over_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    """After a restart other readers do not count where an earlier process met Prometheus."""
    path = tmp_path / "ledger.db"
    first = opened(path, clock, hold=HOLD)
    listed(first, record(cu=5))
    scrape(first)
    listed(first, record(cu=8))
    first.close()
    second = opened(path, clock, hold=HOLD)
    scrape(second, is_prometheus=False)
    clock.advance(HOLD)
    second.release()
    assert shown(second) == {"q": 5}
    scrape(second)
    clock.advance(HOLD)
    second.release()
    assert shown(second) == {"q": 8}


def test_any_reader_counts_when_prometheus_is_gone_for_an_hour(
    ledger: Ledger, clock: ManualClock
) -> None:
    """When Prometheus did not come for an hour, whoever reads the page is the scraper."""
    scrape(ledger)
    listed(ledger, record(cu=8), record("new", 4, queue="later"))
    clock.advance(PATIENCE_SECONDS)
    scrape(ledger, is_prometheus=False)
    clock.advance(HOLD)
    ledger.release()
    assert shown(ledger)["later"] == 0
    scrape(ledger, is_prometheus=False)
    clock.advance(HOLD)
    ledger.release()
    assert shown(ledger)["later"] == 4


def test_after_a_restart_every_series_is_held_at_what_it_showed(
    tmp_path: Path, clock: ManualClock
) -> None:
    """A restart holds the series at the last published value until it was scraped again."""
    path = tmp_path / "ledger.db"
    first = opened(path, clock, hold=HOLD)
    listed(first, record(cu=5))
    scrape(first)
    clock.advance(HOLD)
    listed(first, record(cu=6))
    assert shown(first) == {"q": 6}
    first.close()
    second = opened(path, clock, hold=HOLD)
    assert shown(second) == {"q": 6}
    listed(second, record(cu=9))
    assert shown(second) == {"q": 6}
    assert values(second) == {"q": 9}
    second.close()
    third = opened(path, clock, hold=HOLD)
    assert (shown(third), values(third)) == ({"q": 6}, {"q": 9})
    scrape(third)
    clock.advance(HOLD)
    third.release()
    assert shown(third) == {"q": 9}


@pytest.mark.parametrize("later_hold", [0.0, HOLD / 10, HOLD * 10])
def test_a_release_is_never_taken_back(
    tmp_path: Path, clock: ManualClock, later_hold: float
) -> None:
    """Neither a restart nor another setting takes back what was shown."""
    path = tmp_path / "ledger.db"
    first = opened(path, clock, hold=HOLD)
    listed(first, record(cu=5))
    listed(first, record(cu=8))
    scrape(first)
    clock.advance(HOLD)
    first.release()
    first.close()
    clock.step(-10_000)
    second = opened(path, clock, hold=later_hold)
    assert shown(second) == {"q": 8}


@pytest.mark.parametrize("step", [-1e6, 1e6])
def test_a_clock_step_neither_releases_nor_prolongs(
    ledger: Ledger, clock: ManualClock, step: float
) -> None:
    """Holds go by the clock that never steps."""
    scrape(ledger)
    clock.advance(HOLD / 2)
    clock.step(step)
    ledger.release()
    assert shown(ledger) == {"q": 5}
    clock.advance(HOLD / 2)
    ledger.release()
    assert shown(ledger) == {"q": 8}


def test_without_a_hold_nothing_is_held(clock: ManualClock) -> None:
    """At a hold of 0 every increase shows at once, and no series counts as held."""
    ledger = memory(clock)
    listed(ledger, record(cu=5))
    listed(ledger, record(cu=8), record("new", 4, queue="later"))
    assert shown(ledger) == {"q": 8, "later": 4}
    assert ledger.state.held_series == 0


def test_a_hold_that_is_switched_off_shows_all_with_the_next_transaction(
    tmp_path: Path, clock: ManualClock
) -> None:
    """What an earlier process held back shows when the setting becomes 0."""
    path = tmp_path / "ledger.db"
    first = opened(path, clock, hold=HOLD)
    listed(first, record(cu=5))
    listed(first, record(cu=8))
    first.close()
    second = opened(path, clock)
    assert second.has_due()
    second.release()
    assert shown(second) == {"q": 8}


def test_the_number_of_held_series_is_known(ledger: Ledger, clock: ManualClock) -> None:
    """Only counters are held, and as many as are not released yet."""
    counters = [key for key in ledger.state.counters if key.metric.kind == "counter"]
    assert ledger.state.held_series == len(counters)
    scrape(ledger)
    clock.advance(HOLD)
    ledger.release()
    assert ledger.state.held_series == 0


def test_what_is_overcounted_shows_with_its_total(ledger: Ledger, clock: ManualClock) -> None:
    """Total minus overcounted is never lower than what was shown of it, so both are held."""
    listed(ledger, record(cu=12))
    listed(ledger, record(cu=7))
    assert (shown(ledger), shown(ledger, catalog.LIVY_OVERCOUNTED)) == ({"q": 5}, {"q": 0})
    scrape(ledger)
    clock.advance(HOLD)
    ledger.release()
    assert (shown(ledger), shown(ledger, catalog.LIVY_OVERCOUNTED)) == ({"q": 12}, {"q": 5})
    listed(ledger, record(cu=6))
    assert shown(ledger, catalog.LIVY_OVERCOUNTED) == {"q": 6}


@pytest.mark.parametrize("restarts", [False, True])
def test_a_new_queue_whose_estimate_is_revised_nets_nothing_below_zero(
    tmp_path: Path,
    clock: ManualClock,
    restarts: bool,  # noqa: FBT001
) -> None:
    """While the total of a new queue is held at 0, so is what it is overcounted by."""
    ledger = opened(tmp_path / "l.db", clock, hold=HOLD)
    listed(ledger, record("a", 1))
    listed(ledger, record("a", 1), record("b", 10, queue="new"))
    listed(ledger, record("a", 1), record("b", 6, queue="new"))
    if restarts:
        ledger.close()
        ledger = opened(tmp_path / "l.db", clock, hold=HOLD)
    assert (shown(ledger)["new"], shown(ledger, catalog.LIVY_OVERCOUNTED)["new"]) == (0, 0)
    listed(ledger, record("a", 1), record("b", 5, queue="new"))
    assert shown(ledger, catalog.LIVY_OVERCOUNTED)["new"] == 0
    scrape(ledger)
    clock.advance(HOLD)
    ledger.release()
    assert (shown(ledger)["new"], shown(ledger, catalog.LIVY_OVERCOUNTED)["new"]) == (10, 5)
