"""What happens to three replicas on one ledger, and which alerts that gives, minute by minute."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.rules.cases import (
    BUDGET,
    DOWN,
    FAILED,
    IN_ERROR,
    LEDGER,
    QUEUE_OF_W,
    STALE,
    STUCK,
    UNREACHABLE,
    budget,
)
from tests.rules.replica_series import Cluster, Life, Place, Story
from tests.support.promtool import Case, rules
from tests.support.rule_series import at, ledger

NO_OWNER = "EmrSparkExporterNoOwner"
TWO_OWNERS = "EmrSparkExporterTwoOwners"
NO_DATABASE = "EmrSparkExporterLedgerUnreachable"
CUT_OFF = "EmrSparkExporterReplicaCutOff"
FAILOVERS = "EmrSparkExporterFailoversFrequent"
REWOUND = "EmrSparkExporterLedgerRewound"
DIFFER = "EmrSparkExporterSettingsDiffer"

OWNER, STANDBY, EXPIRED, BLIND = Place.OWNER, Place.STANDBY, Place.EXPIRED, Place.BLIND
DOWN_, GONE = Place.DOWN, Place.GONE

OWNS: Life = ((0, OWNER),)
STANDS_BY: Life = ((0, STANDBY),)

BROKEN = Cluster("broken", ((0, "error"),))
WELL = Cluster("well", ((0, "running"),))


def _case(
    name: str,
    lives: Mapping[str, Life],
    fires: Callable[[float], Sequence[str]] = lambda _: (),
    *,
    minutes: int = 75,
    starting: int = 10,
    api_fails: tuple[float, float] = (0, 0),
    differs: tuple[float, float] = (0, 0),
) -> Case:
    """Let a cluster be in error and another one starting for ever, whatever happens besides.

    The latter begins in the minute `starting`; `fires` gives what else fires in a minute.
    """
    clusters = (BROKEN, Cluster("slow", ((starting, "starting"),)), WELL)
    story = Story(lives, minutes, clusters=clusters, api_fails=api_fails, differs=differs)
    stuck = starting + 20

    def expected(minute: float) -> Sequence[str]:
        return [IN_ERROR, *fires(minute), *([STUCK] if minute > stuck else [])]

    # Prometheus begins with the first minutes; an alert fires after a minute.
    checked = [minute for minute in range(3, minutes) if not 0 <= minute - stuck <= 2]
    fires_at: dict[float, Sequence[str]] = {minute: expected(minute) for minute in checked}
    return Case(name, story.series, fires_at)


def _within(first: float, last: float, *names: str) -> Callable[[float], Sequence[str]]:
    return lambda minute: names if first <= minute <= last else ()


def flapping() -> Mapping[str, Life]:
    """Let two replicas own in turns of three minutes, from minute 40 to minute 80."""
    turns = range(40, 82, 3)
    a, b = (
        [(minute + 0.7 * is_taken, OWNER if is_taken else STANDBY) for minute, is_taken in those]
        for those in (
            [(minute, number % 2 == 1) for number, minute in enumerate(turns)],
            [(minute, number % 2 == 0) for number, minute in enumerate(turns)],
        )
    )
    return {"a": (*OWNS, *a), "b": (*STANDS_BY, *b), "c": STANDS_BY}


def away(first: float, last: float) -> Mapping[str, Life]:
    """Let the database be away between two minutes."""
    blind: Life = (*STANDS_BY, (first, BLIND), (last, STANDBY))
    return {"a": (*OWNS, (first, EXPIRED), (last, OWNER)), "b": blind, "c": blind}


REWINDS: Mapping[str, Life] = {
    "a": (*OWNS, (40, EXPIRED), (41, STANDBY)),
    "b": (*STANDS_BY, (40, BLIND), (41, Place.REWOUND)),
    "c": (*STANDS_BY, (40, BLIND), (41, STANDBY)),
}
"""The database fails over, and loses commits."""

KILLED: Life = (*OWNS, (40, DOWN_), (43, STANDBY))

HAND_OVERS: Mapping[str, Mapping[str, Life]] = {
    "nothing happens": {"a": OWNS, "b": STANDS_BY, "c": STANDS_BY},
    "the owner is stopped by SIGTERM and starts again": {
        "a": (*OWNS, (40, DOWN_), (41, STANDBY)),
        "b": (*STANDS_BY, (40.1, OWNER)),
        "c": STANDS_BY,
    },
    "the owner is killed": {"a": KILLED, "b": (*STANDS_BY, (40.7, OWNER)), "c": STANDS_BY},
    "the owner is killed, and so is the next, before its first poll": {
        "a": KILLED,
        "b": (*STANDS_BY, (40.7, OWNER), (40.9, DOWN_), (42, STANDBY)),
        "c": (*STANDS_BY, (41.6, OWNER)),
    },
    "a replica that stands by is killed": {
        "a": OWNS,
        "b": STANDS_BY,
        "c": (*STANDS_BY, (40, DOWN_), (43, STANDBY)),
    },
    "the owner is killed, and takes over from the next an hour later": {
        "a": (*KILLED, (100.7, OWNER)),
        "b": (*STANDS_BY, (40.7, OWNER), (100, DOWN_), (101, STANDBY)),
        "c": STANDS_BY,
    },
    "a rollout replaces all, and each becomes the owner in turn": {
        "a": (*OWNS, (40, GONE)),
        "b": (*STANDS_BY, (40.1, OWNER), (42, GONE)),
        "c": (*STANDS_BY, (42.1, OWNER), (44, GONE)),
        "d": ((0, GONE), (39.5, STANDBY), (44.1, OWNER)),
        "e": ((0, GONE), (41.5, STANDBY)),
        "f": ((0, GONE), (43.5, STANDBY)),
    },
    "the owner is suspended for ten minutes": {
        "a": (*OWNS, (40, DOWN_), (50, STANDBY)),
        "b": (*STANDS_BY, (40.7, OWNER)),
        "c": STANDS_BY,
    },
}
"""By what happens: what the replicas are meanwhile."""


def _unreachable(minute: float) -> Sequence[str]:
    return [UNREACHABLE] if 45 <= minute < 50 else []


def cases() -> Iterator[Case]:
    """Yield what happens to three replicas, each with every alert that is shipped."""
    for name, lives in HAND_OVERS.items():
        is_long = "ten minutes" in name
        minutes = 120 if "an hour later" in name else 75
        yield _case(name, lives, _unreachable if is_long else lambda _: (), minutes=minutes)
    yield _case("the database is away for five minutes", away(40, 45))
    yield _case(
        "the database is away for 40 minutes, in which a cluster turns out to be stuck",
        away(40, 80),
        _within(45, 79, NO_DATABASE),
        minutes=100,
        starting=30,
    )
    yield _case(
        "the owner is cut off from the database for 40 minutes, and shows gauges of its own",
        {
            "a": (*OWNS, (40, EXPIRED), (80, STANDBY)),
            "b": (*STANDS_BY, (40.7, OWNER)),
            "c": STANDS_BY,
        },
        _within(55, 79, CUT_OFF),
        minutes=95,
    )
    yield _case(
        "a replica that stands by is cut off from the database",
        {"a": OWNS, "b": STANDS_BY, "c": (*STANDS_BY, (40, BLIND), (80, STANDBY))},
        _within(55, 79, CUT_OFF),
        minutes=95,
    )
    yield _case(
        "all replicas are replaced while the database is away",
        {
            **{name: ((*life[:2], (50, GONE))) for name, life in away(40, 80).items()},
            "d": ((0, GONE), (49, BLIND), (80, OWNER)),
            "e": ((0, GONE), (49, BLIND), (80, STANDBY)),
        },
        _within(45, 79, NO_DATABASE),
        minutes=95,
    )
    yield _case(
        "the owner changes every three minutes", flapping(), _within(61, 150, FAILOVERS), minutes=95
    )
    yield _case(
        "the database fails over and loses commits",
        REWINDS,
        _within(42, 100, REWOUND),
        minutes=105,
    )
    yield _case(
        "nobody takes over for 20 minutes",
        {"a": KILLED, "b": (*STANDS_BY, (60, OWNER)), "c": STANDS_BY},
        _within(47, 59, NO_OWNER),
    )
    yield _case(
        "two own for ten minutes",
        {"a": OWNS, "b": (*STANDS_BY, (40, OWNER), (50, STANDBY)), "c": STANDS_BY},
        _within(43, 49, TWO_OWNERS),
    )
    yield _case(
        "settings differ during a rollout, and for an hour",
        HAND_OVERS["nothing happens"],
        _within(80, 99, DIFFER),
        minutes=105,
        differs=(50, 100),
    )
    yield _case(
        "the API fails, and the owner is killed meanwhile",
        HAND_OVERS["the owner is killed"],
        lambda minute: [DOWN, DOWN] * (45 <= minute < 70) + [STALE, STALE] * (50 <= minute < 70),
        minutes=90,
        api_fails=(30, 70),
        starting=5,
    )


def single_alerts() -> Iterator[Case]:
    """Yield what is about one alert."""
    for name, lives in {**HAND_OVERS, "the database is away": away(40, 80)}.items():
        back = 80 if "database" in name else 40
        yield Case(
            f"a session fails when {name}",
            Story(lives, back + 40, failures=(40.5,)).series,
            {39: [], back + 8: [FAILED], back + 10: [FAILED], back + 30: []},
            only=FAILED,
        )
    healed = Cluster("healed", ((0, "error"), (50, "running")))
    deleted = Cluster("deleted", ((0, "error"), (60, "")))
    broken = Cluster("new", ((0, "running"), (65, "error")))
    yield Case(
        "clusters recover, are deleted and fail while the database is away",
        Story(away(40, 80), 90, clusters=(healed, deleted, broken)).series,
        {49: [IN_ERROR] * 2, 51: [IN_ERROR], 61: [], 64: [], 67: [IN_ERROR], 85: [IN_ERROR]},
        only=IN_ERROR,
    )
    yield Case(
        "a budget is exceeded, and stays so while the database is away",
        lambda: {
            **Story(away(40, 80), 120).series(),
            **budget("1000@120", "queue", "day", QUEUE_OF_W),
        },
        {10: [], **{minute: [BUDGET] for minute in range(24, 120)}},
        only=BUDGET,
    )
    owner = {at("exporter_lease_holder"): "1@60", **ledger("1000@60")}
    yield Case(
        "two installations with a ledger each have an owner each",
        {**owner, at("exporter_lease_holder", instance="x"): "1@60", **ledger("2000@60", "x")},
        {30: []},
        only=TWO_OWNERS,
    )
    twice = {series.replace("{", '{endpoint="http",'): values for series, values in owner.items()}
    yield Case("a replica is scraped twice", {**owner, **twice}, {30: []}, only=TWO_OWNERS)
    failures = {
        at("exporter_ledger_failures_total", f'reason="{reason}"', instance): "0@10 0+1@20 40@60"
        for instance, reasons in (
            ("file", ("locked", "timeout")),
            ("replica", ("full", "locked", "lost", "timeout", "unreachable")),
        )
        for reason in reasons
    }
    yield Case(
        "a file is locked, the disk of it and of a database is slow, that of a database is full",
        {**failures, at("exporter_lease_holder", instance="replica"): "1@90"},
        {9: [], 20: [LEDGER] * 3},
        only=LEDGER,
    )


REPLICA_CASES = (
    *((case, (*rules("alert"),)) for case in cases()),
    *((case, (case.only,)) for case in single_alerts()),
)
"""Each with the alerts that are looked at."""
