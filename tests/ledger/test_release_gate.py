"""Increases of new series are held until Prometheus has scraped the starting value."""

from pathlib import Path

import pytest

from exporter import catalog
from exporter.ledger import Ledger
from exporter.ledger.release_gate import PROMETHEUS_GONE_SECONDS
from tests.support.harness import ManualClock
from tests.support.ledger_builders import listed, memory, opened, record, shown, values
from tests.support.ledger_stores import both_stores

pytestmark = both_stores

HOLD = 90.0


def scrape(ledger: Ledger, *, is_prometheus: bool = True) -> None:
    """Scrape the page as it is."""
    ledger.note_scrape(list(ledger.state.counters), is_prometheus=is_prometheus)


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that the test moves."""
    return ManualClock()


@pytest.fixture
def ledger(clock: ManualClock) -> Ledger:
    """Return a ledger with one series, at 5, of which 3 are held back."""
    made = memory(clock, hold=HOLD)
    listed(made, record(cu=5))
    listed(made, record(cu=8))
    return made


def test_a_new_series_shows_increases_after_the_hold(ledger: Ledger, clock: ManualClock) -> None:
    """Until then it shows its starting value; the hold begins at the first scrape."""
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


def test_later_scrapes_do_not_prolong_the_hold(ledger: Ledger, clock: ManualClock) -> None:
    """Only the first one starts it."""
    scrape(ledger)
    clock.advance(HOLD - 1)
    scrape(ledger)
    clock.advance(1)
    ledger.release()
    assert shown(ledger) == {"q": 8}


def test_any_transaction_releases_what_is_due(ledger: Ledger, clock: ManualClock) -> None:
    """Even a listing without changes."""
    scrape(ledger)
    clock.advance(HOLD)
    listed(ledger, record(cu=8))
    assert shown(ledger) == {"q": 8}


def test_each_series_has_its_own_hold(ledger: Ledger, clock: ManualClock) -> None:
    """A later queue is held from its own first scrape."""
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


def test_a_scrape_starts_the_hold_of_the_series_it_contained(
    ledger: Ledger, clock: ManualClock
) -> None:
    """Not that of a series added since that page was rendered."""
    page = list(ledger.state.counters)
    listed(ledger, record(cu=8), record("new", 4, queue="later"))
    ledger.note_scrape(page, is_prometheus=True)
    clock.advance(HOLD)
    ledger.release()
    assert shown(ledger) == {"q": 8, "later": 0}


def test_other_readers_start_no_hold_once_prometheus_has_scraped(
    ledger: Ledger, clock: ManualClock
) -> None:
    """Such as a person with curl."""
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


def test_any_reader_starts_a_hold_where_prometheus_has_never_scraped(
    ledger: Ledger, clock: ManualClock
) -> None:
    """It may be a collector that does not identify itself."""
    scrape(ledger, is_prometheus=False)
    clock.advance(HOLD)
    ledger.release()
    assert shown(ledger) == {"q": 8}


def test_the_first_scrape_by_prometheus_restarts_the_holds(
    ledger: Ledger, clock: ManualClock
) -> None:
    """What another reader saw before does not release anything."""
    scrape(ledger, is_prometheus=False)
    clock.advance(HOLD + 10)
    scrape(ledger)
    clock.advance(HOLD - 1)
    ledger.release()
    assert shown(ledger) == {"q": 5}
    clock.advance(1)
    ledger.release()
    assert shown(ledger) == {"q": 8}


def test_a_restart_remembers_that_prometheus_has_scraped(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Other readers still start no hold."""
    path = tmp_path / "ledger.db"
    first = opened(path, clock, hold=HOLD)
    listed(first, record(cu=5))
    scrape(first)
    listed(first, record(cu=8))
    first.close()
    clock.advance(2 * PROMETHEUS_GONE_SECONDS)
    second = opened(path, clock, hold=HOLD)
    scrape(second, is_prometheus=False)
    clock.advance(HOLD)
    second.release()
    assert shown(second) == {"q": 5}
    scrape(second)
    clock.advance(HOLD)
    second.release()
    assert shown(second) == {"q": 8}


def test_any_reader_starts_a_hold_after_an_hour_without_prometheus(
    ledger: Ledger, clock: ManualClock
) -> None:
    """It is then assumed to be the scraper."""
    scrape(ledger)
    listed(ledger, record(cu=8), record("new", 4, queue="later"))
    clock.advance(PROMETHEUS_GONE_SECONDS)
    scrape(ledger, is_prometheus=False)
    clock.advance(HOLD)
    ledger.release()
    assert shown(ledger)["later"] == 0
    scrape(ledger, is_prometheus=False)
    clock.advance(HOLD)
    ledger.release()
    assert shown(ledger)["later"] == 4


def test_after_a_restart_every_series_is_held_at_its_published_value(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Until it is scraped again and its hold has passed."""
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
def test_a_released_increase_is_never_withdrawn(
    tmp_path: Path, clock: ManualClock, later_hold: float
) -> None:
    """Not by a restart, another hold, or a clock that steps back."""
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
def test_steps_of_the_wall_clock_do_not_change_the_hold(
    ledger: Ledger, clock: ManualClock, step: float
) -> None:
    """Holds use the monotonic clock."""
    scrape(ledger)
    clock.advance(HOLD / 2)
    clock.step(step)
    ledger.release()
    assert shown(ledger) == {"q": 5}
    clock.advance(HOLD / 2)
    ledger.release()
    assert shown(ledger) == {"q": 8}


def test_with_a_hold_of_0_increases_show_at_once(clock: ManualClock) -> None:
    """No series counts as held."""
    ledger = memory(clock)
    listed(ledger, record(cu=5))
    listed(ledger, record(cu=8), record("new", 4, queue="later"))
    assert shown(ledger) == {"q": 8, "later": 4}
    assert ledger.state.held_series == 0


def test_disabling_the_hold_releases_everything_at_the_next_transaction(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Also increases held by an earlier process."""
    path = tmp_path / "ledger.db"
    first = opened(path, clock, hold=HOLD)
    listed(first, record(cu=5))
    listed(first, record(cu=8))
    first.close()
    second = opened(path, clock)
    assert second.has_due()
    second.release()
    assert shown(second) == {"q": 8}


def test_held_series_are_counted(ledger: Ledger, clock: ManualClock) -> None:
    """Only counters that were not released yet."""
    counters = [key for key in ledger.state.counters if key.metric.kind == "counter"]
    assert ledger.state.held_series == len(counters)
    scrape(ledger)
    listed(ledger, record(cu=8))
    assert ledger.state.held_series == len(counters)
    clock.advance(HOLD)
    ledger.release()
    assert ledger.state.held_series == 0


def test_overcounted_is_held_together_with_its_total(ledger: Ledger, clock: ManualClock) -> None:
    """The total minus overcounted never falls below what was shown."""
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
def test_a_revision_in_a_held_queue_never_shows_a_negative_net(
    tmp_path: Path,
    clock: ManualClock,
    restarts: bool,  # noqa: FBT001
) -> None:
    """While the total is held at 0, overcounted is too."""
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
