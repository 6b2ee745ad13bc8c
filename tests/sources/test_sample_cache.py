"""Series are kept as long as what they show stays the same."""

from exporter import catalog
from exporter.model import LivySession, Usage
from exporter.snapshot import groups_of
from exporter.sources import livy_sessions
from exporter.sources.sample_cache import SampleCache

GATEWAY = ("w", "lc")


def session(number: int, used: int = 0) -> LivySession:
    """Return a session, equal to others made of the same."""
    return LivySession(f"livy-{number}", "running", created_ms=number, usage=Usage(used))


def test_only_changed_samples_are_built_again() -> None:
    """An equal record is no change; the order is that of now."""
    kept = livy_sessions.sample_cache(GATEWAY)
    first = list(kept.samples_of({"a": session(1), "b": session(2)}))
    second = list(kept.samples_of({"b": session(2), "a": session(1, used=5)}))
    assert second[0] is first[1]
    assert second[1] is not first[0]
    assert second[1][catalog.LIVY_SESSION_CU_HOURS][0].value == 5e-9


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
    kept = livy_sessions.sample_cache(GATEWAY)
    sessions = [session(number) for number in range(3)]
    before = groups_of(livy_sessions.samples(GATEWAY, sessions, (), 5, kept))
    sessions[1] = session(1, used=7)
    after = groups_of(livy_sessions.samples(GATEWAY, sessions, (), 5, kept))
    assert [a is b for a, b in zip(before, after, strict=True)] == [False, True, False, True]
