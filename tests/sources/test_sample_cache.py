"""Series are kept as long as what they show stays the same."""

from exporter import catalog
from exporter.model import LivySession, Usage
from exporter.sources.livy_sessions.series import Gauges
from exporter.sources.sample_cache import SampleCache

GATEWAY = ("w", "lc")


def session(number: int, used: int = 0) -> LivySession:
    """Return a session, equal to others made of the same."""
    return LivySession(f"livy-{number}", "running", created_ms=number, usage=Usage(used))


def test_only_changed_samples_are_built_again() -> None:
    """An equal record is no change; the order is that of now."""
    gauges = Gauges(GATEWAY, 5)
    _, *first = gauges.samples([session(1), session(2)], (), {}).groups
    _, *second = gauges.samples([session(2), session(3), session(1, used=5)], (), {}).groups
    assert [group[catalog.LIVY_SESSION_INFO][0].labels[2] for group in second] == [
        "livy-3",
        "livy-2",
        "livy-1",
    ]
    assert second[1] is first[0]
    assert second[2] is not first[1]
    assert second[2][catalog.LIVY_SESSION_CU_HOURS][0].value == 5e-9


def test_the_samples_of_a_session_that_is_gone_are_dropped() -> None:
    """A session that comes back is made anew: nothing piles up."""
    made: list[int] = []

    def build(number: int) -> dict[catalog.Metric, tuple[()]]:
        made.append(number)
        return {}

    kept = SampleCache(build)
    for shown in ({"a": 1}, {}, {"a": 1}, {"a": 1}):
        list(kept.samples_of(shown))
    assert made == [1, 1]


def test_the_groups_of_a_listing() -> None:
    """Counts are a group of their own; each session with series is another."""
    gauges = Gauges(GATEWAY, 5)
    sessions = [session(number) for number in range(3)]
    before = gauges.samples(sessions, (), {}).groups
    sessions[1] = session(1, used=7)
    after = gauges.samples(sessions, (), {}).groups
    assert [a is b for a, b in zip(before, after, strict=True)] == [False, True, False, True]
