"""Lives of exporters around calendar borders, and what the recorded figures should say of them.

Each combination of an outage of the exporter and a restart, with one kind of second exporter or
another, is one queue or user of a fleet, so that one run of promtool judges all of them. An outage
of Prometheus concerns all of them, so each of those is a run of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, product

STEP = 6
"""Hours between two samples, and between two evaluations."""

BORDERS = {"day": 24 * 2, "week": 24 * 4, "month": 24 * 31}
"""One border of each kind, in hours since Thursday 1970-01-01: Saturday, Monday, 1 February."""

OUTAGES = {
    "none": (0, 0),
    "over the border": (-STEP, STEP),
    "over the weekend": (-30, 12),
    "until the border": (-12, 0),
    "from the border": (0, 12),
    "before the border": (-36, -STEP),
    "after the border": (STEP, 36),
    "for days": (-90, 78),
    "for weeks": (-24 * 20, STEP),
}
"""Of an exporter or of Prometheus: from and until, in hours from the border."""

RESTARTS = {"none": None, "at the border": 0, "before it": -STEP, "after it": STEP}
"""When the pod of the exporter is replaced, in hours from the border."""

SECOND_EXPORTERS = {
    "none": None,
    "set up before": (-12, 24 * 9),
    "takes over": (STEP, 24 * 9),
    "tried and removed": (-24, 12),
}
"""From and until when a second exporter, with a ledger of its own, is scraped."""

FIGURES = {
    "queue": ("livy_cu_hours_total", "queue:emr_serverless_spark_livy_cu_hours"),
    "proxy_user": (
        "livy_proxy_user_cu_hours_total",
        "user:emr_serverless_spark_livy_proxy_user_cu_hours",
    ),
}
"""By label: the counter, and what is recorded of it (with the period after a colon)."""

PERIODS = ("day", "week", "month", "yesterday", "last_week", "last_month")
LAST = {"yesterday": "day", "last_week": "week", "last_month": "month"}
"""Periods that are over, by the period that follows them."""


@dataclass(frozen=True)
class Exporter:
    """One ledger: its values by the hour at which they are scraped, and when its pod is new."""

    ledger: int
    samples: Mapping[int, int]
    restart: int | None = None

    def pod(self, hour: int) -> str:
        """Return the name of the pod that runs at an hour."""
        is_new = self.restart is not None and hour >= self.restart
        return f"{self.ledger}-{'new' if is_new else 'old'}"

    def used(self, since: int, until: int, running: Sequence[int]) -> int | None:
        """Return what is known by an hour to be burned since another, None where nothing is."""
        seen = [hour for hour in running if hour <= until and hour in self.samples]
        if not seen:
            return None
        before = [hour for hour in seen if hour < since]
        amount = self.samples[seen[-1]] - self.samples[before[-1] if before else seen[0]]
        return amount if seen[-1] == until or amount > 0 else None


@dataclass(frozen=True)
class Life:
    """What one queue or user burns, as its exporters tell it."""

    name: str
    label: str
    job: str
    exporters: tuple[Exporter, ...]

    def figure(self, period: str, hour: int, running: Sequence[int]) -> int | None:
        """Return the right value of a recorded figure: the most that an exporter knows of."""
        if period in LAST:
            end = _start(LAST[period], hour)
            begin = _start(LAST[period], end - 1)
            amounts = [self._over(each, begin, end, running) for each in self.exporters]
        else:
            amounts = [each.used(_start(period, hour), hour, running) for each in self.exporters]
        return max((amount for amount in amounts if amount is not None), default=None)

    @staticmethod
    def _over(exporter: Exporter, begin: int, end: int, running: Sequence[int]) -> int | None:
        """Return what was known to be burned in a period, as of its last evaluation."""
        seen = [hour for hour in running if begin <= hour < end]
        return (exporter.used(begin, seen[-1], running) or None) if seen else None

    def series(self, hours: Sequence[int]) -> Iterator[Mapping[str, str]]:
        """Yield what Prometheus scrapes."""
        labels = f'workspace_id="w",livy_compute_id="lc",{self.label}="{self.name}"'
        for exporter in self.exporters:
            for pod, those in groupby(exporter.samples, exporter.pod):
                values = {hour: exporter.samples[hour] for hour in those}
                created = dict.fromkeys(values, exporter.ledger)
                where = f'job="{self.job}",instance="{pod}:9825",pod="{pod}"'
                yield _series(
                    f"exporter_ledger_created_timestamp_seconds{{{where}}}", created, hours
                )
                yield _series(f"{FIGURES[self.label][0]}{{{labels},{where}}}", values, hours)


@dataclass(frozen=True)
class Fleet:
    """Many lives around one border, watched by a Prometheus that was away for a while."""

    border: int
    outage: tuple[int, int]

    @cached_property
    def hours(self) -> range:
        """The hours of samples and evaluations."""
        return range(0, self.border + 24 * 4, STEP)

    @cached_property
    def running(self) -> Sequence[int]:
        """The hours at which Prometheus runs."""
        away = range(
            *(max(STEP, self.border + edge) if any(self.outage) else 0 for edge in self.outage)
        )
        return [hour for hour in self.hours if hour not in away]

    @cached_property
    def lives(self) -> Sequence[Life]:
        """Every pair of an outage and a restart, with each kind of second exporter in turn."""
        pairs = product(OUTAGES, RESTARTS)
        return [self._life(number, *names) for number, names in enumerate(pairs)]

    def _life(self, number: int, outage: str, restart: str) -> Life:
        turn = number + number // len(RESTARTS)
        second = (*SECOND_EXPORTERS,)[turn % len(SECOND_EXPORTERS)]
        label = (*FIGURES,)[turn // len(SECOND_EXPORTERS) % len(FIGURES)]
        return Life(
            f"outage {outage}, restart {restart}, second {second}",
            label,
            f"job-{number}",
            (self._first(OUTAGES[outage], RESTARTS[restart]), *self._second(second)),
        )

    def _first(self, outage: tuple[int, int], restart: int | None) -> Exporter:
        """Return an exporter that is there from the start, but for an outage.

        The queue burns one CU-hour an hour. When the exporter is back, its counter is held at its
        old value for one scrape.
        """
        begin, end = (max(STEP, self.border + edge) if any(outage) else 0 for edge in outage)
        samples = {hour: 100 + hour for hour in self.hours if not begin <= hour < end}
        if end in samples and begin != end:
            samples[end] = samples[begin - STEP]
        return Exporter(1000, samples, None if restart is None else self.border + restart)

    def _second(self, name: str) -> tuple[Exporter, ...]:
        kind = SECOND_EXPORTERS[name]
        if kind is None:
            return ()
        begin, end = (self.border + edge for edge in kind)
        return (Exporter(2000, {hour: 9000 + hour for hour in self.hours if begin <= hour < end}),)

    def as_test(self) -> Mapping[str, object]:
        """Return the test as promtool wants it, for rules that are gated by `prometheus_runs`."""
        runs = _series("prometheus_runs", dict.fromkeys(self.running, 1), self.hours)
        return {
            "interval": f"{STEP}h",
            "input_series": [
                runs,
                *(each for life in self.lives for each in life.series(self.hours)),
            ],
            "promql_expr_test": [
                self._expected(label, period, hour)
                for label, period in product(FIGURES, PERIODS)
                for hour in self.running
                if hour >= self.border - 36
            ],
        }

    def _expected(self, label: str, period: str, hour: int) -> Mapping[str, object]:
        figures = {
            life.name: life.figure(period, hour, self.running)
            for life in self.lives
            if life.label == label
        }
        return {
            "expr": f"sum by ({label}) ({FIGURES[label][1]}:{period})",
            "eval_time": f"{hour}h",
            "exp_samples": [
                {"labels": f'{{{label}="{name}"}}', "value": value}
                for name, value in figures.items()
                if value is not None
            ],
        }


def _start(period: str, hour: int) -> int:
    """Return the hour at which the period began in which an hour lies."""
    if period == "day":
        return hour - hour % 24
    if period == "week":
        return hour - (hour + 3 * 24) % (7 * 24)
    return hour - hour % BORDERS["month"]


def _series(name: str, samples: Mapping[int, int], hours: Sequence[int]) -> Mapping[str, str]:
    prefix = "" if name == "prometheus_runs" else "emr_serverless_spark_"
    values = " ".join(str(samples.get(hour, "_")) for hour in hours)
    return {"series": prefix + name, "values": values}
