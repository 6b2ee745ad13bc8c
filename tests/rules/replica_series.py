"""Replicas on one ledger as Prometheus scrapes them: who is what when, and what each then shows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby, pairwise

from tests.support.rule_series import CU, GATEWAY, QUEUE, W, at

MINUTE = 60
HOLD = 2 * MINUTE
"""`ledger.birth-hold` in the seconds between two samples: the first samples do not rise."""

FIRST_POLL = 30
"""Seconds that a new owner takes for its first poll."""

Values = dict[str, dict[int, int]]
"""By series: what is scraped at which second."""


class Place(Enum):
    """What a replica is to the ledger."""

    OWNER = auto()
    REWOUND = auto()
    """The owner, by a database that may have lost commits."""
    EXPIRED = auto()
    """The owner as far as it knows, whose lease ran out: gauges, but no counters."""
    STANDBY = auto()
    BLIND = auto()
    """A standby that cannot look who owns."""
    DOWN = auto()
    """It does not answer."""
    GONE = auto()
    """Prometheus does not know it."""

    @property
    def is_owner(self) -> bool:
        """Whether it shows the totals."""
        return self is Place.OWNER or self is Place.REWOUND

    @property
    def polls(self) -> bool:
        """Whether it shows targets."""
        return self.is_owner or self is Place.EXPIRED


Life = Sequence[tuple[float, Place]]
"""From which minute on a replica is what."""


@dataclass(frozen=True)
class Cluster:
    """A session cluster: its states by the minute in which they begin, "" where it is deleted."""

    name: str
    states: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Story:
    """What happens to replicas, and in the cloud that they watch, for some minutes.

    A queue burns one CU-hour a second, and one session fails in each of the minutes `failures`.
    """

    lives: Mapping[str, Life]
    minutes: int
    failures: Sequence[float] = ()
    clusters: Sequence[Cluster] = ()
    api_fails: tuple[float, float] = (0, 0)
    differs: tuple[float, float] = (0, 0)
    step: int = 30
    phase: int = 0
    """Seconds by which this Prometheus scrapes later than the minute begins."""
    start: int = 0
    """The minute in which everything begins."""

    @property
    def seconds(self) -> range:
        """When Prometheus scrapes."""
        return range(self.start * MINUTE + self.phase, self.minutes * MINUTE, self.step)

    def place(self, replica: str, second: int) -> Place:
        """Return what a replica is."""
        return self._entry(replica, second)[1]

    def since(self, replica: str, second: int) -> int:
        """Return for how many seconds it has been that."""
        return second - round(self._entry(replica, second)[0] * MINUTE)

    def _entry(self, replica: str, second: int) -> tuple[float, Place]:
        return [entry for entry in self.lives[replica] if entry[0] * MINUTE <= second][-1]

    def _has_polled(self, replica: str, second: int) -> bool:
        """Whether its first poll since it became the owner is over, or it polled all the time."""
        before = self.place(replica, max(0, second - FIRST_POLL))
        return before.polls or self.since(replica, second) >= FIRST_POLL

    def used(self, second: int) -> int:
        """Return the CU-hours that are burned by then."""
        return 100 + second

    def failed(self, second: int) -> int:
        """Return how many sessions have failed by then."""
        return sum(minute * MINUTE <= second for minute in self.failures)

    def shown(self) -> Iterator[tuple[int, str, int]]:
        """Yield when which replica shows totals, and those of which moment.

        A new owner shows what the one before it showed last until the hold is over. Prometheus may
        scrape between two moments: time goes on in steps of 5 seconds.
        """
        durable = self.start * MINUTE
        for second in range(self.start * MINUTE, self.minutes * MINUTE, 5):
            for name in self.lives:
                place, since = self.place(name, second), self.since(name, second)
                if not place.is_owner or (place is Place.REWOUND and since < FIRST_POLL):
                    continue
                is_first = second - since <= self.start * MINUTE
                if place is Place.REWOUND or is_first or since >= HOLD:
                    durable = second
                yield second, name, durable

    def series(self, *, is_whole: bool = True) -> Mapping[str, str]:
        """Return what Prometheus stores, of totals only where it is not `is_whole`."""
        values: Values = {}
        for second, name, durable in self.shown():
            if second in self.seconds:
                _put(values, second, name, self._totals(durable))
        for name in self.lives if is_whole else ():
            for second in self.seconds:
                if self.place(name, second) is not Place.GONE:
                    _put(values, second, name, self._page(name, second))
        return {series: _notation(found, self.seconds) for series, found in values.items()}

    def _totals(self, second: int) -> Iterator[tuple[str, str, float]]:
        yield "exporter_ledger_created_timestamp_seconds", "", 1000
        yield CU, QUEUE, self.used(second)
        yield "livy_proxy_user_cu_hours_total", f'{GATEWAY},proxy_user="u"', self.used(second)
        for state, count in (("error", self.failed(second)), ("terminated", second // 300)):
            yield "livy_sessions_ended_total", f'{QUEUE},state="{state}"', count

    def _page(self, name: str, second: int) -> Iterator[tuple[str, str, float]]:
        place = self.place(name, second)
        yield "up", "", place is not Place.DOWN
        if place is Place.DOWN:
            return
        yield from self._process(name, second)
        if place.polls:
            yield from self._targets(name, second)
            if self._has_polled(name, second):
                yield from self._gauges(second)

    def _process(self, name: str, second: int) -> Iterator[tuple[str, str, float]]:
        place = self.place(name, second)
        lived = self._lived(name, second)
        yield "exporter_build_info", 'version="1"', 1
        yield "exporter_lease_holder", "", place.is_owner
        yield "exporter_ledger_up", "", place not in {Place.EXPIRED, Place.BLIND}
        acquired = [
            place
            for before, place in pairwise([Place.STANDBY, *lived])
            if place.is_owner and not before.polls
        ]
        yield "exporter_lease_acquisitions_total", "", len(acquired)
        yield "exporter_ledger_rewinds_total", "", acquired.count(Place.REWOUND)
        yield "exporter_lease_settings_differ", "", _is_in(second, self.differs)
        born = self._born(name, second)
        alive = [self.place(name, each) for each in self.seconds if born <= each <= second]
        polled, failed = sum(each.polls for each in alive), alive.count(Place.EXPIRED)
        for source in ("session_clusters", "livy_sessions"):
            yield "exporter_polls_total", f'source="{source}"', polled
            yield "exporter_polls_late_total", f'source="{source}"', 0
            yield "exporter_polls_skipped_total", f'source="{source}"', 0
        lost = len(acquired) - (place.polls and bool(acquired))
        for reason, count in (("unreachable", failed), ("timeout", failed), ("lost", lost)):
            yield "exporter_ledger_failures_total", f'reason="{reason}"', count
        yield "exporter_ledger_failures_total", 'reason="full"', 0

    def _lived(self, name: str, second: int) -> list[Place]:
        """Return what the process has been so far."""
        born = self._born(name, second)
        return [place for minute, place in self.lives[name] if born <= minute * MINUTE <= second]

    def _born(self, name: str, second: int) -> float:
        """Return when the process began: each that went down is followed by another."""
        life = self.lives[name]
        begun = [
            minute
            for (_, before), (minute, _) in pairwise([(0, Place.DOWN), *life])
            if before in {Place.DOWN, Place.GONE} and minute * MINUTE <= second
        ]
        return begun[-1] * MINUTE

    def _targets(self, name: str, second: int) -> Iterator[tuple[str, str, float]]:
        place = self.place(name, second)
        where = 'region_id="r",account="a"'
        yield "workspace_info", f'{W},workspace_name="n",{where}', 1
        yield "livy_gateway_info", f'{GATEWAY},name="n"', 1
        for workspace in ("", "w"):
            yield "exporter_discovery_up", f'{where},workspace_id="{workspace}"', 1
        reason = "ledger" if place is Place.EXPIRED else ""
        reason = "server" if _is_in(second, self.api_fails) else reason
        for labels in (f'source="session_clusters",{W}', f'source="livy_sessions",{GATEWAY}'):
            yield "exporter_target_stale_after_seconds", labels, 300
            if not self._has_polled(name, second):
                continue
            yield "exporter_target_up", labels, not reason
            if reason:
                yield "exporter_target_error_info", f'{labels},reason="{reason}"', 1
            if (success := self._last_success(name, second)) is not None:
                yield "exporter_target_last_success_timestamp_seconds", labels, success

    def _last_success(self, name: str, second: int) -> int | None:
        """Return when this process last polled well, before it went down or stood by."""
        for moment in range(second, self.start * MINUTE - 1, -self.step):
            if not self.place(name, moment).polls:
                return None
            is_well = self.place(name, moment).is_owner and not _is_in(moment, self.api_fails)
            if is_well and self._has_polled(name, moment):
                return moment
        return None

    def _gauges(self, second: int) -> Iterator[tuple[str, str, float]]:
        read = round(self.api_fails[0] * MINUTE) if _is_in(second, self.api_fails) else second
        if second - read > 5 * MINUTE:
            return  # they are stale
        for cluster in self.clusters:
            begun = [entry for entry in cluster.states if entry[0] * MINUTE <= read]
            if not begun or not begun[-1][1]:
                continue
            minute, state = begun[-1]
            labels = f'{W},session_cluster_id="{cluster.name}"'
            yield "session_cluster_info", f'{labels},name="n",kind="SQL",queue="q"', 1
            since = minute * MINUTE
            yield "session_cluster_state_since_timestamp_seconds", labels, since
            for each in ("error", "running", "starting"):
                yield "session_cluster_state", f'{labels},state="{each}"', each == state


def _put(
    values: Values, second: int, replica: str, samples: Iterable[tuple[str, str, float]]
) -> None:
    for metric, labels, value in samples:
        values.setdefault(at(metric, labels, replica), {})[second] = round(value)


def _is_in(second: int, minutes: tuple[float, float]) -> bool:
    return minutes[0] * MINUTE <= second < minutes[1] * MINUTE


def _notation(found: Mapping[int, int], seconds: range) -> str:
    """Write samples as promtool takes them; a series that is not on the page any more is stale."""
    before: int | None = None
    words: list[str] = [f"_x{seconds.start // seconds.step}"] if seconds.start else []
    written: list[str] = []
    for second in seconds:
        value = found.get(second)
        gone = "_" if before is None else "stale"
        written.append(gone if value is None else str(value))
        before = value
    words += [
        f"_x{count}"
        if word == "_"
        else word
        if count == 1 or word == "stale"
        else f"{word}+0x{count - 1}"
        for word, count in ((word, len([*those])) for word, those in groupby(written))
    ]
    return " ".join(words)
