"""A gateway with a long history, the source that reads it, and what a whole reading would say."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from exporter import catalog
from exporter.api import RateLimiter
from exporter.api.decode import decode_livy_sessions
from exporter.catalog import Metric
from exporter.demo import (
    DEMO_KEY_ID,
    DEMO_KEY_SECRET,
    Behaviour,
    Cloud,
    HistoryOrder,
    SimulatedGateway,
    SimulatedSession,
    SimulatedWorkspace,
    World,
)
from exporter.ledger import Ledger
from exporter.model import LivySession, Source, Target
from exporter.snapshot import Samples
from exporter.sources import FailedSessions, LivySessions, ScanTiming, SeriesLimits
from exporter.sources.livy_sessions.driver import SESSION_FAILED
from exporter.sources.livy_sessions.series import Gauges
from exporter.telemetry import Telemetry
from tests.sources.listings import counts_of
from tests.support.api_clients import client_of
from tests.support.harness import ManualClock
from tests.support.worlds import GATEWAY, WORKSPACE, used

RETENTION = 900.0
TIMING = ScanTiming(full_walk_interval=6 * 3600.0, settle_after=1800.0)
TARGET = Target(Source.LIVY_SESSIONS, "", "cn-hangzhou", WORKSPACE, GATEWAY)
KEY = (WORKSPACE, GATEWAY)
ENDED = ("terminated", "error")


@dataclass
class Seen:
    """What is remembered of a session that was listed."""

    session: LivySession
    highest: int
    ended: str
    ended_at: float | None


@dataclass
class Model:
    """What a reader of whole listings would have counted: plainly, and by its own means."""

    seen: dict[tuple[str, int | None], Seen] = field(default_factory=dict)
    has_contact: bool = False

    def read(self, listing: list[LivySession], now: float) -> "Model":
        """Return the model after one more reading."""
        after = Model({key: replace(each) for key, each in self.seen.items()}, self.has_contact)
        for session in listing:
            after._read(session, now)
        listed = {(each.session_id, each.created_ms) for each in listing}
        for key, known in after.seen.items():
            if key not in listed and not known.ended:
                known.ended, known.ended_at = "unknown", now
        after.has_contact = True
        return after

    def _read(self, session: LivySession, now: float) -> None:
        usage = session.usage.nano_cu_hours or 0
        known = self.seen.setdefault(
            (session.session_id, session.created_ms), Seen(session, usage, "", None)
        )
        known.session, known.highest = session, max(known.highest, usage)
        if session.has_ended and not known.ended:
            known.ended, known.ended_at = session.state, now if self.has_contact else None

    def totals(self) -> dict[tuple[str, tuple[str, ...]], int]:
        """Return what the counters must be."""
        found: Counter[tuple[str, tuple[str, ...]]] = Counter()
        for known in self.seen.values():
            labels = (*KEY, known.session.queue)
            found[catalog.LIVY_CU_HOURS.name, labels] += known.highest
            latest = known.session.usage.nano_cu_hours or 0
            found[catalog.LIVY_OVERCOUNTED.name, labels] += known.highest - latest
            found[catalog.LIVY_SESSIONS_STARTED.name, labels] += 1
            if known.ended:
                found[catalog.LIVY_SESSIONS_ENDED.name, (*labels, known.ended)] += 1
        return {key: value for key, value in found.items() if value}

    def recently_ended(self, now: float) -> set[str]:
        """Return the ids that still have series."""
        return {
            known.session.session_id
            for known in self.seen.values()
            if known.ended_at is not None and known.ended_at > now - RETENTION
        }


def flat(found: Samples) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return samples in a shape that can be compared."""
    return {
        (metric.name, sample.labels): sample.value
        for metric, some in found.items()
        for sample in some
        if metric is not catalog.HISTORY_TRUNCATED
    }


_COUNTED: tuple[Metric, ...] = (
    catalog.LIVY_CU_HOURS,
    catalog.LIVY_OVERCOUNTED,
    catalog.LIVY_SESSIONS_STARTED,
    catalog.LIVY_SESSIONS_ENDED,
)


@lru_cache(10_000)
def _row(number: int, created: int, *, is_open: bool) -> SimulatedSession:
    """Return a row; the same ones again save half of the time that it takes to make a history."""
    row = SimulatedSession(
        WORKSPACE,
        GATEWAY,
        f"livy-{number:06}",
        created,
        name=f"s{number}",
        queue=f"q{number % 2}",
        usage=used(1 + number % 5),
    )
    if is_open:
        return row
    return replace(row, state=ENDED[number % 2], end_time_ms=created + 1000)


class Long:
    """A long history, served and read within this process."""

    def __init__(
        self,
        order: HistoryOrder,
        rows: int,
        *,
        is_open: Callable[[int], bool] = lambda _: False,
        behaviour: Behaviour | None = None,
        timing: ScanTiming = TIMING,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
        path: Path | None = None,
    ) -> None:
        """Row n is older than row n + 1; `is_open` tells which of them still run."""
        self.clock = ManualClock()
        self.world = World(order=order)
        self.world.put_workspace(SimulatedWorkspace(WORKSPACE))
        self.world.put_gateway(SimulatedGateway(WORKSPACE, GATEWAY))
        self.number = 0
        for number in range(rows):
            self.create(age=86400.0 + 60 * (rows - number), is_open=is_open(number))
        keys = {DEMO_KEY_ID: DEMO_KEY_SECRET}
        self.cloud = Cloud(
            self.world,
            clock=self.clock.now,
            access_keys=keys,
            behaviour=behaviour or Behaviour(),
        )
        self.timing = timing
        self.ledger = Ledger(path, clock=self.clock, connect=connect)
        self.source = self.reader(timing)

    def reader(self, timing: ScanTiming) -> LivySessions:
        """Return a source that knows nothing yet."""
        http = httpx.AsyncClient(transport=httpx.ASGITransport(self.cloud.app))
        limiter = RateLimiter(self.clock, 10_000)
        client = client_of(http, "http://cloud", self.clock, limiter=limiter)
        return LivySessions(
            TARGET,
            client,
            ledger=self.ledger,
            telemetry=Telemetry(CollectorRegistry()),
            clock=self.clock,
            limits=SeriesLimits(RETENTION, 5000),
            timing=timing,
            failed=FailedSessions(),
        )

    def restart(self, path: Path | None = None) -> None:
        """Start again with what the ledger remembers: the one at `path`, or that of before."""
        if path is not None:
            self.ledger.close()
            self.ledger = Ledger(path, clock=self.clock)
        self.source = self.reader(self.timing)

    def turn(self, order: HistoryOrder) -> None:
        """List the sessions in another order."""
        turned = World(order=order)
        turned.put_workspace(SimulatedWorkspace(WORKSPACE))
        turned.put_gateway(SimulatedGateway(WORKSPACE, GATEWAY))
        for row in self.rows:
            turned.put_session(row)
        self.cloud.world = self.world = turned

    @property
    def rows(self) -> list[SimulatedSession]:
        """The rows in order of listing."""
        return [*self.world.history(WORKSPACE, GATEWAY)]

    @property
    def requests(self) -> int:
        """Count the requests so far."""
        return len(self.cloud.calls)

    def listing(self) -> list[LivySession]:
        """Return what a reading of everything at this instant would show."""
        texts = ",".join(row.text for row in self.rows)
        return [*decode_livy_sessions(f'{{"sessions":[{texts}]}}'.encode()).records]

    def totals(self) -> dict[tuple[str, tuple[str, ...]], int]:
        """Return what the ledger has counted."""
        return {
            (key.metric.name, key.labels): amount.actual
            for key, amount in self.ledger.state.counters.items()
            if key.metric in _COUNTED and amount.actual
        }

    def expected(
        self, model: Model, listing: list[LivySession]
    ) -> dict[tuple[str, tuple[str, ...]], float]:
        """Return the gauges that a full scan would have published."""
        recent = model.recently_ended(self.clock.now())
        return flat(Gauges(KEY, 5000).samples(listing, recent, counts_of(listing)))

    # What happens

    def create(self, *, age: float = 0.0, is_open: bool = True) -> None:
        """List one more session, created so many seconds ago."""
        created = round((self.clock.now() - age) * 1000) + self.number % 1000
        self.world.put_session(_row(self.number, created, is_open=is_open))
        self.number += 1

    def open_rows(self) -> list[SimulatedSession]:
        """Return the sessions that run, from old to new."""
        rows = [row for row in self.rows if row.state not in ENDED]
        return sorted(rows, key=lambda row: row.create_time_ms)

    def settling_rows(self) -> list[SimulatedSession]:
        """Return the sessions that ended so lately that their figures may still be revised."""
        since = (self.clock.now() - 1700) * 1000
        return [row for row in self.rows if row.end_time_ms and row.end_time_ms > since]

    def advance(self, choice: int) -> None:
        """Let an open session use more."""
        if rows := self.open_rows():
            row = rows[choice % len(rows)]
            more = replace(row.usage, nano_cu_hours=row.usage.nano_cu_hours + 10**9)
            self.world.change_session(row.key, usage=more)

    def end(self, choice: int) -> None:
        """Let an open session end."""
        if rows := self.open_rows():
            row = rows[choice % len(rows)]
            state, now = ENDED[choice % 2], round(self.clock.now() * 1000)
            self.world.change_session(row.key, state=state, end_time_ms=now)

    def revise(self, choice: int) -> None:
        """Let the estimate of a session that ended just now change, down or up."""
        if rows := self.settling_rows():
            row = rows[choice % len(rows)]
            nano = row.usage.nano_cu_hours * (choice % 3 + 1) // 2
            self.world.change_session(row.key, usage=replace(row.usage, nano_cu_hours=nano))

    def trim(self, choice: int) -> None:
        """Let the oldest sessions leave."""
        self.world.trim_oldest(WORKSPACE, GATEWAY, choice % 3 + 1)


async def polled(long: Long) -> tuple[dict[Any, float], int, list[str]]:
    """Poll once; give the gauges, the number of requests, and the events that the scan logged.

    Which sessions failed is an event of its own, and says nothing about how they were read.
    """
    before = long.requests
    with capture_logs() as logs:
        result = await long.source.poll(lambda *_: None)
    events = [each["event"] for each in logs if each["event"] != SESSION_FAILED]
    return flat(result.gauges), long.requests - before, events
