"""Incremental scans of a history of 100,000 rows."""

import time
from collections import defaultdict

import pytest

from exporter.sources.livy_sessions.history import History, Order
from exporter.sources.livy_sessions.incremental_scan import IncrementalScan
from tests.sources.listings import POLICY, Service, drive, history_of, listed

ROWS = 100_000


@pytest.fixture(scope="module", params=Order)
def long_history(request: pytest.FixtureRequest) -> History:
    """Return a history of 100,000 rows."""
    return history_of(request.param, ROWS, 100)


@pytest.mark.parametrize("has_count", [True, False])
def test_rolling_retention_costs_the_ends_and_the_open_pages(
    long_history: History, *, has_count: bool
) -> None:
    """With 50 open rows among the newest 300: at most 6 requests."""
    order = long_history.order
    assert order is not None
    for came in range(0, 120, 7):
        service = Service(order, 100, ROWS + came, start=came, has_count=has_count)
        scan = IncrementalScan(long_history, range(ROWS - 300, ROWS, 6), size=100)
        drive(scan, service.page)
        found = scan.result(POLICY)
        assert (listed(found, 1), len(found)) == ([came], ROWS)
        assert service.requests <= 6 + (0 if has_count else 3)


def test_short_scan_does_not_grow_with_the_history(long_history: History) -> None:
    """A scan of 100,000 sessions takes as long as one of 10,000."""
    order = long_history.order
    assert order is not None
    short = history_of(order, ROWS // 10, 100)
    seconds: dict[int, list[float]] = defaultdict(list)
    for _ in range(20):
        for history in (short, long_history):
            rows = len(history)
            service = Service(order, 100, rows + 3, start=3)
            before = time.process_time()
            scan = IncrementalScan(history, [rows - 5], size=100)
            drive(scan, service.page)
            assert sum(scan.result(POLICY).counts().values()) == rows
            seconds[rows].append(time.process_time() - before)
    assert min(seconds[ROWS]) < 1.5 * min(seconds[ROWS // 10])
