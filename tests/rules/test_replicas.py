"""No hand-over and no absent database changes what is recorded of usage."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import pytest

from tests.rules.calendar_cases import FIGURES
from tests.rules.replica_cases import HAND_OVERS, REWINDS, away, flapping
from tests.rules.replica_series import MINUTE, Life, Story
from tests.support.promtool import PREFIX, chosen_groups, run_test

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]


MIDNIGHT = 24 * 60
START, END = MIDNIGHT - 90, MIDNIGHT + 150
"""Minutes; what happens to replicas does so in minute 40 of what is told of it."""

STORIES: Mapping[str, Mapping[str, Life]] = {
    **HAND_OVERS,
    "the database is away for five minutes": away(40, 45),
    "the database is away for 40 minutes": away(40, 80),
    "the database fails over and loses commits": REWINDS,
    "the owner changes every three minutes": flapping(),
}
PROMETHEUS = ((30, 0, (-60, -0.5, 10)), (60, 45, (-20, 0)))
"""Seconds between two scrapes, and from the full minute to the first; and when it happens, in
minutes from midnight."""


@dataclass(frozen=True)
class Watched:
    """A queue whose exporters are replicas, as one Prometheus sees it."""

    name: str
    story: Story

    @cached_property
    def recorded(self) -> Mapping[int, int]:
        """The total by the minute of the evaluations in which the last scrape showed it."""
        story = self.story
        seen = {second: story.used(durable) for second, _, durable in story.shown()}
        last = {
            minute: max(
                second for second in story.seconds if second <= minute * MINUTE + story.phase
            )
            for minute in range(START, END)
        }
        return {minute: seen[second] for minute, second in last.items() if second in seen}

    def known(self, minute: int) -> int:
        """Return the total that was recorded last, by a minute."""
        return max(value for at, value in self.recorded.items() if at <= minute)

    def day(self, minute: int) -> int | None:
        """Return what is known to be used in the day; nothing where that is not known."""
        before = self.known(MIDNIGHT - 1 if minute >= MIDNIGHT else START)
        amount = self.known(minute) - before
        return amount if amount > 0 or minute in self.recorded else None

    def hour(self, minute: int) -> int:
        """Return what became known in the last hour."""
        return self.known(minute) - self.known(max(START, minute - 60))

    def series(self) -> Iterator[Mapping[str, str]]:
        """Yield what Prometheus stores."""
        for name, values in self.story.series(is_whole=False).items():
            named = name.replace('job="emr"', f'job="{self.name}"')
            for label, value in (("queue", "q"), ("proxy_user", "u")):
                named = named.replace(f'{label}="{value}"', f'{label}="{self.name}"')
            yield {"series": PREFIX + named, "values": values}


@pytest.mark.parametrize(("step", "phase", "from_midnight"), PROMETHEUS)
def test_each_prometheus_records_what_was_used(
    step: int,
    phase: int,
    from_midnight: Sequence[float],
    tmp_path: Path,
    real_tool: Callable[[str], Path],
) -> None:
    """Minute by minute over midnight; and in the end the days add up to the truth."""
    watched = [
        Watched(f"{name}, {offset} minutes from midnight", _moved(lives, offset, step, phase))
        for (name, lives), offset in product(STORIES.items(), from_midnight)
    ]
    checks = [
        _expected(
            f"sum by ({label}) ({figure}:{period})",
            label,
            minute,
            {each.name: known(each, minute) for each in watched},
        )
        for label, (_, figure) in FIGURES.items()
        for period, known in (("day", Watched.day), ("increase1h", Watched.hour))
        for minute in range(START, END)
    ]
    last = END - 1
    for label, (_, figure) in FIGURES.items():
        both = f"sum by ({label}) ({figure}:yesterday + {figure}:day)"
        truth = {
            each.name: each.story.used(last * MINUTE + phase)
            - each.story.used(START * MINUTE + phase)
            for each in watched
        }
        checks.append(_expected(both, label, last, truth))
    names = [
        f"{figure}:{period}"
        for _, figure in FIGURES.values()
        for period in ("day", "increase1h", "yesterday")
    ]
    test = {
        "interval": f"{step}s",
        "input_series": [series for each in watched for series in each.series()],
        "promql_expr_test": checks,
    }
    complaint = run_test(real_tool("promtool"), tmp_path, MINUTE, chosen_groups([], names), test)
    assert complaint == ""


def _moved(lives: Mapping[str, Life], offset: float, step: int, phase: int) -> Story:
    """Let what happens in minute 40 happen so many minutes from midnight."""
    later = MIDNIGHT + offset - 40
    moved = {
        name: [(minute + later if minute else 0, place) for minute, place in life]
        for name, life in lives.items()
    }
    return Story(moved, END, step=step, phase=phase, start=START)


def _expected(
    expression: str, label: str, minute: int, values: Mapping[str, int | None]
) -> Mapping[str, object]:
    return {
        "expr": expression,
        "eval_time": f"{minute}m",
        "exp_samples": [
            {"labels": f'{{{label}="{name}"}}', "value": value}
            for name, value in values.items()
            if value is not None
        ],
    }
