"""What is counted and logged where polls begin after they were due."""

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from exporter.model import Source
from exporter.poller.lateness import CAUGHT_UP, FALLING_BEHIND, WINDOW_SECONDS, Lateness
from tests.support.harness import ManualClock


@pytest.mark.parametrize(
    ("windows", "logged"),
    [
        ([(10, 0)], []),
        ([(9, 1)], []),
        ([(8, 2)], [FALLING_BEHIND]),
        ([(0, 10), (0, 10), (10, 0), (10, 0)], [FALLING_BEHIND, CAUGHT_UP]),
        ([(0, 10), (10, 0), (0, 10)], [FALLING_BEHIND, CAUGHT_UP, FALLING_BEHIND]),
    ],
)
def test_the_log_reports_once_that_many_polls_begin_late(
    windows: Sequence[tuple[int, int]], logged: Sequence[str]
) -> None:
    """Each window has so many polls in time and so many late ones; it says what to do."""
    clock, counted = ManualClock(), list[Source]()
    lateness = Lateness(30.0, counted.append, clock)
    with capture_logs() as log:
        for in_time, late in windows:
            polls = [*[3.0] * in_time, *[3.1] * late]
            for seconds in polls:
                clock.advance(WINDOW_SECONDS / len(polls))
                lateness.note(Source.LIVY_SESSIONS, seconds)
    assert [line["event"] for line in log] == logged
    assert all("CPU" in line["advice"] for line in log if line["event"] == FALLING_BEHIND)
    assert len(counted) == sum(late for _, late in windows)


def test_a_second_is_never_late() -> None:
    """A short interval does not make polls late that begin as timers let them."""
    counted: list[Source] = []
    lateness = Lateness(1.0, counted.append, ManualClock())
    lateness.note(Source.LIVY_SESSIONS, 0.9)
    assert not counted
