"""Pure functions behind the status page."""

import pytest

from exporter.ledger import Ledger
from exporter.snapshot import Snapshot
from exporter.web.status import formatting
from exporter.web.status.chart import HEIGHT, WIDTH, burn_chart, poll_chart
from exporter.web.status.display_names import Anchors
from exporter.web.status.ledger_view import history
from exporter.web.status.recorder import BUCKETS, Recorder
from exporter.web.status.verdict import verdict
from exporter.web.status.view import Bucket, Calls, Clusters, Sessions
from tests.support.harness import ManualClock


def test_anchors_are_unique() -> None:
    """The first of equal names has the plain anchor, which dashboards link to."""
    anchors = Anchors()
    taken = [anchors.take("session", "a", place) for place in ("w-1/lc-1", "w-2/lc-2")]
    assert taken == ["session-a", "session-a@w-2/lc-2"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (formatting.duration(0.25), "0.2 s"),
        (formatting.duration(75), "1 min 15 s"),
        (formatting.duration(None), "—"),
        (formatting.span(0.4), "0 s"),
        (formatting.span(3600), "1 h"),
        (formatting.span(90_061), "1 d 1 h"),
        (formatting.ago(0.4), "just now"),
        (formatting.ago(61), "1 min 1 s ago"),
        (formatting.number(1234567), "1\u202f234\u202f567"),
        (formatting.cu_hours(0.125), "0.12"),
        (formatting.cu_hours(99.96), "100.0"),
        (formatting.cu_hours(12345.6), "12\u202f346"),
        (formatting.size(512), "512 B"),
        (formatting.size(1536), "1.5 KiB"),
        (formatting.size(2**50), "1024.0 TiB"),
        (formatting.moment(0), "1970-01-01T00:00:00Z"),
        (formatting.clock(86399), "23:59:59 UTC"),
    ],
)
def test_numbers_and_times_are_formatted_for_people(written: str, expected: str) -> None:
    """With significant digits and a unit."""
    assert written == expected


def test_newest_bar_of_a_chart_is_at_the_right_edge() -> None:
    """Failures are stacked on successes; the smallest value is still visible."""
    chart = poll_chart((Bucket(0, 0, 0, 0), Bucket(60, 1000, 1, 0)))
    good, bad = chart.bars
    assert (good.kind, bad.kind, chart.top) == ("good", "bad", 1000)
    assert good.x + good.width <= WIDTH < good.x + 2 * WIDTH / BUCKETS
    assert bad.height == 2.0
    assert 0 <= bad.y <= good.y
    assert burn_chart(()).bars == ()
    assert burn_chart((Bucket(0, 0, 0, 3.5),)).bars[0].height == HEIGHT


def test_history_of_requests_covers_one_hour() -> None:
    """Older buckets are dropped; a time without requests is an empty bucket."""
    clock = ManualClock()
    ledger = Ledger(None, clock=clock)
    recorder = Recorder(clock, lambda: ledger.state, width=60)
    for _ in range(3 * BUCKETS):
        recorder.note(Snapshot())
        clock.advance(60)
    assert len(recorder.tallies) == BUCKETS
    clock.advance(600)
    found = history(recorder, monotonic=clock.monotonic(), now=clock.now())
    assert len(found.buckets) == BUCKETS
    assert clock.now() - 60 < found.buckets[-1].start <= clock.now()
    ledger.close()


def test_throttling_below_half_the_rate_is_a_problem() -> None:
    """The page shows the remaining rate."""
    for rate, level in ((6.0, "ok"), (2.0, "attention")):
        found = verdict(
            unhealthy=(),
            unready=(),
            targets=(),
            discoveries=(),
            clusters=Clusters("complete", {}, 0, (), 0),
            sessions=Sessions("complete", {}, 0, (), 0, (), (), 0, (), 0),
            calls=(Calls("", "cn-hangzhou", rate, 10.0, 1, 0, {}),),
            now=0,
        )
        texts = [each.text for each in found.problems if each.anchor == "api"]
        assert (len(texts) == 1) is (level == "attention")
