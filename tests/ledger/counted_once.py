"""The machine of `test_crashes`: the service, the scrapers, the clocks and the operator.

It ends the process at any instant: before and after each statement, each row and each publish.
After each crash the ledger has to hold exactly what it held before the transaction, or exactly
what it had to hold after it, by an oracle that was written from the design.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from exporter.catalog import PREFIX
from exporter.ledger import GatewayKey, Key, Ledger, Place
from exporter.model import Gateway, LivySession, Usage
from tests.ledger.crashes import Crash, FileFuse, Fuse
from tests.ledger.oracle import GatewayOracle, Known, Series, Uid
from tests.support.harness import START, ManualClock
from tests.support.ledger_builders import MEMORY_DISK

HOLD = 90.0
PROMETHEUS_GONE_SECONDS = 3600.0
DAYS = 86400.0
FORGET_AFTER = 10 * DAYS
GATEWAYS: tuple[GatewayKey, ...] = (("w", "g"), ("v", "h"))
IDS = "abc"

INSTANTS = 22
"""More than a transaction has on a server, where each statement has one."""

State = dict[Series, tuple[int, int]]
"""Value and shown of each series that is not 0."""

COUNTS = Counter[str]()
"""What happened in the runs of the machine, so that a test can show that it did."""


def opened(fuse: Fuse, clock: ManualClock) -> Ledger:
    """Open the ledger of a process that may die."""
    return Ledger(
        fuse.location,
        clock=clock,
        birth_hold=HOLD,
        forget_after=FORGET_AFTER,
        connect=fuse.connect(),
    )


@dataclass
class Session:
    """A session of the service."""

    uid: Uid
    session_id: str
    created: int
    figures: list[int]
    queue: str = ""
    user: str = ""
    state: str = "running"
    is_dated: bool = True

    def record(self) -> LivySession:
        """Return what a listing says of it."""
        return LivySession(
            self.session_id,
            self.state,
            queue=self.queue,
            proxy_user=self.user,
            created_ms=self.created if self.is_dated else None,
            usage=Usage(*self.figures),
        )


@dataclass
class Holds:
    """Which series are held, by what the design says, and since which scrape."""

    first: dict[Key, float | None] = field(default_factory=dict)

    def due(self, now: float) -> set[Key]:
        """Return the series that may show their increases."""
        return {k for k, at in self.first.items() if at is not None and now - at >= HOLD}

    def scraped(self, keys: Iterable[Key], now: float) -> None:
        """Note that a scrape that counts showed these series."""
        for key in keys:
            if key in self.first and self.first[key] is None:
                self.first[key] = now


Reading = tuple[Uid, LivySession]


@dataclass
class Scan:
    """What one scan reads, and how far it has come."""

    gateway: GatewayKey
    readings: list[Reading]
    unreadable: frozenset[str] = frozenset()
    read: list[Reading] = field(default_factory=list)
    seen: set[Uid] = field(default_factory=set)
    added: set[Uid] = field(default_factory=set)
    waiting: list[Reading] = field(default_factory=list)


def _is_dated_as(known: Known | None, record: LivySession) -> bool:
    return known is not None and known.created is not None and known.created == record.created_ms


crash_points = st.none() | st.integers(1, 2 * INSTANTS)
gateways = st.sampled_from(GATEWAYS)
id_sets = st.frozensets(st.sampled_from(IDS))


def series(key: Key) -> Series:
    """Name a series as the oracle does."""
    return key.metric.name.removeprefix(PREFIX), key.labels


class CountedOnce(RuleBasedStateMachine):
    """The service, the scrapers, the clocks and the operator."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-", dir=MEMORY_DISK))
        self.fuse: Fuse = self.new_fuse()
        self.clock = ManualClock()
        self.service: dict[GatewayKey, list[Session]] = {key: [] for key in GATEWAYS}
        self.oracles = {key: GatewayOracle(key) for key in GATEWAYS}
        self.uid = 0
        self.born: dict[GatewayKey, list[tuple[Uid, str]]] = {key: [] for key in GATEWAYS}
        self.last_prometheus = 0.0
        self.page: dict[Key, int] = {}
        """The highest that any page ever said."""
        self.on_page: list[Key] = []
        self.expected: State = {}
        self.holds = Holds()
        self.knows_prometheus: bool | None = False
        """`None` where a crash leaves it open whether that was written."""
        self.open()
        self.ledger.record_gateways(GATEWAYS[1][0], [])

    # The process

    def new_fuse(self) -> Fuse:
        """Return what ends the process."""
        return FileFuse(self.folder / "lives")

    def open(self) -> None:
        """Start the process; the first page is published before anything is polled."""
        self.fuse.revive()
        self.ledger = opened(self.fuse, self.clock)
        assert self.ledger.state.created_at == START
        self.holds = Holds(
            {k: None for k in self.ledger.state.counters if k.metric.kind == "counter"}
        )
        self.open_scan = self.ledger.open_scan(self.scanned)
        self.publish()

    def publish(self) -> None:
        """Publish the counters: none may ever be lower than on an earlier page."""
        self.fuse.burn()
        amounts = self.ledger.state.counters
        assert self.page.keys() <= amounts.keys()
        for key, amount in amounts.items():
            if key.metric.kind == "counter":
                assert self.page.get(key, 0) <= amount.published <= amount.actual
                self.page[key] = amount.published
        self.on_page = list(amounts)
        self.fuse.burn()

    def run(
        self, crash: int | None, work: Callable[[], object], after: dict[GatewayKey, GatewayOracle]
    ) -> None:
        """Do a transaction and publish it, or die on the way."""
        now = self.clock.monotonic()
        before_keys = set(self.ledger.state.counters)
        expected = self.expected_after(after, now)
        self.fuse.arm(crash)
        try:
            work()
            self.settle(after, expected, before_keys, now)
            self.publish()
            self.fuse.arm(None)
        except Crash:
            self.recover(work, after, expected)
        else:
            assert self.actual() == self.expected

    def settle(
        self,
        after: dict[GatewayKey, GatewayOracle],
        expected: State,
        before_keys: set[Key],
        now: float,
    ) -> None:
        """Take note of a transaction that is committed."""
        for key in self.holds.due(now):
            del self.holds.first[key]
        for key in self.ledger.state.counters.keys() - before_keys:
            if key.metric.kind == "counter":
                self.holds.first[key] = None
        self.oracles.update(after)
        self.expected = expected

    def recover(
        self,
        work: Callable[[], object],
        after: dict[GatewayKey, GatewayOracle],
        expected: State,
    ) -> None:
        """Start again on what a killed process leaves: all of the transaction, or none of it."""
        COUNTS["crashes"] += 1
        self.ledger.close()
        self.open()
        if self.is_met:
            self.knows_prometheus = None
        actual = self.actual()
        assert actual in (self.expected, expected)
        if self.expected == expected:
            # The counters do not tell; when the listing is read again, it is the same either way.
            self.run(None, work, after)
        elif actual == expected:
            self.oracles.update(after)
            self.expected = expected
        assert self.rows() == rows_of(self.oracles)

    def rows(self) -> int:
        """Count the sessions that the ledger remembers."""
        return self.ledger.state.sessions

    def actual(self) -> State:
        """Return what the ledger says."""
        return {
            series(key): (amount.actual, amount.published)
            for key, amount in self.ledger.state.counters.items()
            if amount.actual or amount.published
        }

    def expected_after(self, after: dict[GatewayKey, GatewayOracle], now: float) -> State:
        """Return what the ledger has to say when the oracles are as they will be."""
        known = {series(key): key for key in self.ledger.state.counters}
        due = self.holds.due(now)
        result: State = {}
        for gateway, oracle in {**self.oracles, **after}.items():
            starts = oracle.has_contact and not self.oracles[gateway].has_contact
            for each, value in oracle.totals.items():
                key = known.get(each)
                if each[0] == "livy_cu_hours_overcounted":
                    key = known.get(("livy_cu_hours_total", each[1]))
                is_held = key in self.holds.first and key not in due
                shown = self.expected.get(each, (0, 0))[1]
                is_start = starts and not self.is_zero_start
                if is_start or (key and not is_held):
                    shown = value
                if value or shown:
                    result[each] = (value, shown)
        return result

    scanned = GATEWAYS[0]
    is_met = False
    is_zero_start = False
    is_second_known = False

    # The service

    @initialize(ids=st.lists(st.sampled_from(IDS), max_size=4, unique=True))
    def begins_with(self, ids: list[str]) -> None:
        """Let the service have a past."""
        for session_id in ids:
            self.create(GATEWAYS[0], session_id, queue="q", user="u", cu=7, is_dated=True)

    @rule(
        gateway=gateways,
        session_id=st.sampled_from(IDS),
        queue=st.sampled_from(("", "q", "p")),
        user=st.sampled_from(("", "u", "v")),
        cu=st.integers(0, 50),
        is_dated=st.sampled_from((True, True, True, False)),
    )
    def create(
        self,
        gateway: GatewayKey,
        session_id: str,
        queue: str,
        user: str,
        cu: int,
        is_dated: bool,  # noqa: FBT001
    ) -> None:
        """Create a session; its id may be one that was used before."""
        same = [s for s in self.service[gateway] if s.session_id == session_id]
        known = [s for s in self.oracles[gateway].sessions.values() if s.session_id == session_id]
        if not all(s.is_dated for s in same) or any(s.created is None for s in known):
            return  # nobody could tell them apart
        self.uid += 1
        is_reused = bool(same or known) or session_id in {each for _, each in self.born[gateway]}
        COUNTS["ids reused"] += is_reused
        self.born[gateway].append((self.uid, session_id))
        created = 1_700_000_000_000 + 60_000 * self.uid
        figures = [cu, 2 * cu, 3 * cu]
        is_dated = is_dated or is_reused
        self.service[gateway].append(
            Session(self.uid, session_id, created, figures, queue, user, is_dated=is_dated)
        )

    @rule(gateway=gateways, ids=st.lists(st.sampled_from(IDS), min_size=2, max_size=5))
    def create_several(self, gateway: GatewayKey, ids: list[str]) -> None:
        """Create sessions, some with the same id; one may tell no create time."""
        for session_id in ids:
            self.create(gateway, session_id, "q", "", len(ids), is_dated=session_id != ids[-1])

    @rule(
        gateway=gateways,
        at=st.integers(0, 20),
        deltas=st.tuples(*[st.integers(-5, 30)] * 3),
        name=st.booleans(),
    )
    def change(
        self,
        gateway: GatewayKey,
        at: int,
        deltas: tuple[int, int, int],
        name: bool,  # noqa: FBT001
    ) -> None:
        """Revise figures up or down; maybe say late what was not said so far."""
        if not self.service[gateway]:
            return
        session = self.service[gateway][at % len(self.service[gateway])]
        session.figures = [max(0, f + d) for f, d in zip(session.figures, deltas, strict=True)]
        if name:
            session.is_dated = True
            session.queue = session.queue or "late"
            session.user = session.user or "later"

    @rule(gateway=gateways, at=st.integers(0, 20), state=st.sampled_from(("terminated", "error")))
    def end(self, gateway: GatewayKey, at: int, state: str) -> None:
        """End a session."""
        if self.service[gateway]:
            self.service[gateway][at % len(self.service[gateway])].state = state

    @rule(gateway=gateways, count=st.integers(1, 2))
    def trim(self, gateway: GatewayKey, count: int) -> None:
        """Let the oldest sessions leave the list for good."""
        del self.service[gateway][:count]

    def undate(self, gateway: GatewayKey, ids: frozenset[str]) -> None:
        """Tell no create time any more, where the id alone tells which session it is."""
        oracle = self.oracles[gateway]
        known = Counter(each.session_id for each in oracle.sessions.values())
        for session in self.service[gateway]:
            if session.uid in oracle.forgotten and session.session_id in ids:
                is_alone = not known[session.session_id] and session.uid in self.alone(gateway)
                session.is_dated = session.is_dated and not is_alone
                COUNTS["undated"] += is_alone

    def alone(self, gateway: GatewayKey) -> set[Uid]:
        """Return the sessions whose id no other session has had."""
        ids = Counter(session_id for _, session_id in self.born[gateway])
        return {uid for uid, session_id in self.born[gateway] if ids[session_id] == 1}

    # The poller

    @rule(
        gateway=gateways,
        is_complete=st.booleans(),
        left_out=id_sets,
        twice=id_sets,
        unreadable=st.frozensets(st.sampled_from(IDS), max_size=1),
        crash=crash_points,
        batch=st.sampled_from((1, 1, 2, 3, 9)),
        newest_first=st.booleans(),
    )
    def read(
        self,
        gateway: GatewayKey,
        is_complete: bool,  # noqa: FBT001
        left_out: frozenset[str],
        twice: frozenset[str],
        unreadable: frozenset[str],
        crash: int | None,
        batch: int = 9,
        newest_first: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Read a listing: complete (maybe falsely short) or partial, some rows twice."""
        listed = [s for s in self.service[gateway] if s.session_id not in left_out | unreadable]
        readings = [(s.uid, s.record()) for s in listed if s.session_id in twice]
        for session in listed:
            if session.session_id in twice and session.state == "running":
                session.figures[0] += 1
        readings += [(s.uid, s.record()) for s in listed]
        if newest_first:
            readings.reverse()
        scan = Scan(gateway, readings, unreadable)
        self.scan(scan, crash, batch, is_finished=is_complete)

    @rule(
        gateway=gateways,
        left_out=st.frozensets(st.sampled_from(IDS), min_size=2),
        crash=crash_points,
        undated=st.booleans(),
    )
    def forget(
        self,
        gateway: GatewayKey,
        left_out: frozenset[str],
        crash: int | None,
        undated: bool,  # noqa: FBT001
    ) -> None:
        """Lack some sessions for longer than they are remembered; they may come back later."""
        nothing: frozenset[str] = frozenset()
        for at in (None, crash):
            self.read(gateway, True, left_out, nothing, nothing, at)
            self.clock.step(11 * DAYS)
        if undated:
            self.undate(gateway, left_out)
        self.read(gateway, True, nothing, nothing, nothing, crash)

    @rule(gateway=gateways, ids=st.lists(st.sampled_from(IDS), max_size=3), crash=crash_points)
    def turn(self, gateway: GatewayKey, ids: list[str], crash: int | None) -> None:
        """Abandon a scan from the newest session on, then scan from the oldest one on."""
        self.create_several(gateway, ids)
        nothing: frozenset[str] = frozenset()
        self.read(gateway, False, nothing, nothing, nothing, None, 1, newest_first=True)
        self.read(gateway, True, nothing, nothing, nothing, crash, 1)

    def scan(self, scan: "Scan", crash: int | None, batch: int, *, is_finished: bool) -> None:
        """Scan a gateway in batches, one of which the process may not survive."""
        lives, last = self.fuse.crashes, len(scan.readings)
        self.is_second_known = self.is_second_known or scan.gateway == GATEWAYS[1]
        self.scanned = scan.gateway
        self.open_scan = self.ledger.open_scan(self.scanned)
        for start in range(0, last, batch):
            stop = start + batch
            if is_finished and stop >= last:
                break
            self.add(scan, scan.readings[start:stop], crash)
            if self.fuse.crashes > lives or not is_finished:
                return  # the scan is gone with its process, or was abandoned
        if is_finished:
            self.finish(scan, crash)

    def add(self, scan: "Scan", readings: list[Reading], crash: int | None) -> None:
        """Add a batch; what cannot be told yet waits for the end."""
        told = self.told(scan, readings)
        after = self.learned(scan, told, is_complete=False)
        records = [record for _, record in readings]
        self.run(crash, lambda: self.open_scan.add(records), {scan.gateway: after})
        scan.seen |= {uid for uid, _ in told}
        scan.read += readings

    def finish(self, scan: "Scan", crash: int | None) -> None:
        """Add the last batch and finish; who begins again on the way reads all of it again."""
        rest = scan.readings[len(scan.read) :]
        lives = self.fuse.crashes

        def finish() -> None:
            is_same = self.fuse.crashes == lives
            records = [record for _, record in (rest if is_same else scan.readings)]
            self.open_scan.finish(records, unreadable=scan.unreadable)

        told = self.told(scan, rest)
        scan.seen |= {uid for uid, _ in told}
        earlier = [each for each in scan.waiting if each[0] in scan.seen]
        told += [each for each in scan.waiting if each not in earlier]
        after = self.learned(scan, told, is_complete=True, earlier=earlier)
        self.run(crash, finish, {scan.gateway: after})

    def told(self, scan: "Scan", readings: list[Reading]) -> list[Reading]:
        """Return the readings of which it can be told whose they are; the others wait."""
        oracle = self.oracles[scan.gateway]
        claimed = scan.seen | {
            uid for uid, record in readings if _is_dated_as(oracle.sessions.get(uid), record)
        }
        told = []
        for uid, reading in readings:
            if oracle.has_to_wait(reading, claimed, scan.added):
                scan.waiting.append((uid, reading))
                COUNTS["deferred"] += 1
            else:
                told.append((uid, reading))
        scan.added |= {uid for uid, _ in told if uid not in oracle.sessions}
        return told

    def learned(
        self,
        scan: "Scan",
        readings: list[Reading],
        *,
        is_complete: bool,
        earlier: Iterable[Reading] = (),
    ) -> GatewayOracle:
        """Return what is known after readings of a scan."""
        before = self.oracles[scan.gateway]
        after = before.read(
            readings,
            is_complete=is_complete,
            unreadable=scan.unreadable,
            now=self.clock.now(),
            forget_after=FORGET_AFTER,
            seen=scan.seen,
            earlier=earlier,
        )
        readmitted = ("exporter_sessions_readmitted_total", scan.gateway)
        COUNTS["readmitted"] += after.totals[readmitted] - before.totals[readmitted]
        COUNTS["forgotten"] += len(before.sessions.keys() - after.sessions.keys())
        return after

    @precondition(lambda self: not self.is_second_known)
    @rule(crash=crash_points)
    def discover(self, crash: int | None) -> None:
        """Learn that the second gateway was born since the discovery that found none."""
        gateway = GATEWAYS[1]
        self.is_second_known = self.is_zero_start = True
        after = {gateway: self.oracles[gateway].start_at_zero()}
        found = [Gateway(gateway[1], queue="q")]
        self.run(crash, lambda: self.ledger.record_gateways(gateway[0], found), after)
        self.run(None, lambda: self.ledger.record_gateways(gateway[0], found), after)
        self.is_zero_start = False

    @rule(
        gateway=gateways,
        order=st.sampled_from(("newest first", "oldest first", "")),
        placed=st.sets(st.integers(0, 9)),
        crash=crash_points,
    )
    def arrange(self, gateway: GatewayKey, order: str, placed: set[int], crash: int | None) -> None:
        """Record in which order a gateway lists its sessions: all of it, or nothing of it."""
        listed = [s for s in self.oracles[gateway].sessions.values() if s.left_at is None]
        if not self.oracles[gateway].has_contact:
            return
        places = {
            (session.session_id, session.created): Place(number, number + 1)
            for number, session in enumerate(listed)
            if number in placed
        }
        usual = {(s.session_id, s.created): (s.created, 0) for s in listed}
        before, after = self.listing(gateway), (order, {**usual, **places} if order else {})

        def work() -> None:
            assert self.listing(gateway) in (before, after)
            self.ledger.record_order(gateway, order, places)
            self.ledger.record_places(gateway, places)

        self.run(crash, work, {})
        if self.listing(gateway) != after:  # it crashed before the commit
            self.run(None, work, {})
        assert self.listing(gateway) == after
        COUNTS["arranged"] += bool(order and places)

    def listing(self, gateway: GatewayKey) -> tuple[str, dict[Any, tuple[int, int]]]:
        """Return the order and the places that the ledger remembers."""
        sessions = [row for piece in self.ledger.listed_sessions(gateway) for row in piece]
        places = {(name, created): (at, rank) for at, rank, name, _, created, *_ in sessions}
        return self.ledger.listing_order(gateway), places

    @rule(crash=crash_points)
    def release(self, crash: int | None) -> None:
        """Let time release what is due, as the daemon does each second."""
        self.run(crash, self.ledger_release, {})

    def ledger_release(self) -> None:
        """Release by whatever process there is by now."""
        self.ledger.release()

    # The scrapers, the clocks, the operator

    @rule()
    def scrape(self) -> None:
        """Scrape as Prometheus does."""
        now = self.clock.monotonic()
        self.ledger.note_scrape(self.on_page, is_prometheus=True)
        if not self.knows_prometheus or now - self.last_prometheus > PROMETHEUS_GONE_SECONDS:
            self.holds.first = dict.fromkeys(self.holds.first)
        self.knows_prometheus = self.is_met = True
        self.last_prometheus = now
        self.holds.scraped(self.on_page, now)

    @precondition(lambda self: self.knows_prometheus is not None)
    @rule()
    def meddle(self) -> None:
        """Read the page as a person with curl does."""
        now = self.clock.monotonic()
        self.ledger.note_scrape(self.on_page, is_prometheus=False)
        if not self.knows_prometheus or now - self.last_prometheus > PROMETHEUS_GONE_SECONDS:
            self.holds.scraped(self.on_page, now)

    @rule(seconds=st.sampled_from((60.0, 89.0, 90.0)), is_prometheus=st.booleans())
    def look_and_release(self, seconds: float, is_prometheus: bool) -> None:  # noqa: FBT001
        """Look at the page, and after a while let what is due show."""
        if is_prometheus:
            self.scrape()
        elif self.knows_prometheus is not None:
            self.meddle()
        self.clock.advance(seconds)
        self.run(None, self.ledger_release, {})

    @rule(seconds=st.sampled_from((1.0, 45.0, 90.0, 3601.0)))
    def wait(self, seconds: float) -> None:
        """Let a little time pass."""
        self.clock.advance(seconds)

    @rule(days=st.sampled_from((-11.0, -0.1, 11.0, 30.0, 400.0)))
    def step(self, days: float) -> None:
        """Set the wall clock forth or back."""
        self.clock.step(days * DAYS)

    @rule()
    def restart(self) -> None:
        """End the process in order, and start it again."""
        self.ledger.close()
        self.open()
        assert self.actual() == self.expected
        if self.is_met:
            self.knows_prometheus = None

    @rule()
    def kill(self) -> None:
        """Kill the process between two transactions."""
        self.fuse.blow()
        self.recover(self.ledger_release, {}, self.expected)

    # What has to hold

    @invariant()
    def every_cu_hour_is_counted_once(self) -> None:
        """Check that a gateway's counters add up to the highest figures that were read."""
        for gateway, oracle in self.oracles.items():
            total = sum(
                value
                for (name, labels), (value, _) in self.expected.items()
                if name == "livy_cu_hours_total" and labels[:2] == gateway
            )
            if (
                oracle.has_contact
                and not oracle.totals["exporter_sessions_readmitted_total", gateway]
            ):
                assert total == sum(oracle.ever.values())

    def teardown(self) -> None:
        """After a last scan and release, the page shows the true totals."""
        for gateway in GATEWAYS:
            readings = [(s.uid, s.record()) for s in self.service[gateway]]
            self.scan(Scan(gateway, readings), None, 3, is_finished=True)
        self.restart()
        self.scrape()
        self.clock.advance(HOLD)
        self.run(None, self.ledger_release, {})
        assert all(value == shown for value, shown in self.actual().values())
        self.ledger.close()
        shutil.rmtree(self.folder)


def rows_of(oracles: dict[GatewayKey, GatewayOracle]) -> int:
    """Count the sessions that have to be remembered."""
    return sum(len(oracle.sessions) for oracle in oracles.values())
