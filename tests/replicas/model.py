"""The machine of `test_replicas_model`: three replicas on one schema, the service and the server.

Every page is read after every step, also that of a replica that is paused.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exporter import catalog
from exporter.errors import LedgerError
from exporter.ledger import GatewayKey
from exporter.model import Gateway, LivySession, Usage
from tests.replicas.stoppable import DURATION, Crash, Fate, Plan, Replica, Server, Step
from tests.support.harness import START, ManualClock

REPLICAS: Final = 3
HOLD: Final = 20.0
GATEWAYS: Final[tuple[GatewayKey, ...]] = (("w", "g"), ("w", "h"))
USED: Final = catalog.LIVY_VCORE_SECONDS

COUNTS = Counter[str]()
"""What happened in the runs of the machine, so that a test can show that it did."""


@cache
def server() -> Server:
    """Return the schema that the examples use one after the other."""
    return Server()


@dataclass
class Session:
    """A session of the service, and what the ledger was told of it."""

    session_id: str
    gateway: GatewayKey
    queue: str
    used: int
    state: str = "running"
    is_listed: bool = True
    least: int = 0
    """The highest figure of a commit that was acknowledged."""
    most: int = 0
    """The highest figure that was ever sent."""
    lost: int | None = None
    """What a fail-over has lost of it, until it is read again."""

    def record(self) -> LivySession:
        """Return what a listing says of it."""
        return LivySession(
            self.session_id,
            self.state,
            queue=self.queue,
            proxy_user="u",
            created_ms=int(START * 1000) + int(self.session_id),
            usage=Usage(self.used, self.used, self.used),
        )


replicas = st.integers(0, REPLICAS - 1)
likely_owners = st.none() | replicas
"""`None` is the owner, as long as there is one."""
gateways = st.sampled_from(GATEWAYS)
plans = st.none() | st.builds(Plan, st.integers(1, 40), st.sampled_from(Fate))
cuts = st.none() | st.builds(Plan, st.integers(1, 6), st.just(Fate.CUT))


class Replicas(RuleBasedStateMachine):
    """The service, three replicas, their clocks, the database server and the network."""

    is_fail_over_told = True
    """Whether another server shows by its timeline that it is another one."""

    def __init__(self) -> None:
        super().__init__()
        server().reset()
        self.sessions: list[Session] = []
        self.listed_gateways: list[GatewayKey] = [GATEWAYS[0]]
        self.shown: dict[tuple[str, ...], float] = {}
        """The highest that any page ever said."""
        self.rows = self.rows_of(server().states[-1])
        self.totals: dict[tuple[str, ...], int] = {}
        """What the database holds, which falls only where it loses commits."""

    @staticmethod
    def rewrite(statement: str) -> str:
        """Return what is sent in place of a statement."""
        return statement

    @initialize(
        rates=st.tuples(*[st.sampled_from((0.9, 1.0, 1.1))] * REPLICAS),
        hold=st.sampled_from((0.0, HOLD)),
    )
    def begin(self, rates: tuple[float, ...], hold: float) -> None:
        """Let the clocks of the replicas not go alike."""
        self.start_replicas(rates, hold)

    def start_replicas(self, rates: tuple[float, ...], hold: float) -> None:
        """Start the replicas, of which the first one is the owner."""
        self.rates = rates
        clocks = [ManualClock(START + 1000 * number) for number in range(REPLICAS)]
        self.replicas = [Replica(server(), clock, hold, self.rewrite) for clock in clocks]
        self.create(GATEWAYS[0], "q", 7)
        for replica in self.replicas:
            self.run(replica, replica.start, None)
        self.run(self.replicas[0], partial(self.replicas[0].ledger.record_gateways, "w", []), None)
        self.poll(0, GATEWAYS[0], None)

    # The service

    @rule(gateway=gateways, queue=st.sampled_from("qp"), used=st.integers(0, 9))
    def create(self, gateway: GatewayKey, queue: str, used: int) -> None:
        """Create a session."""
        self.sessions.append(Session(str(len(self.sessions)), gateway, queue, used))

    @rule(at=st.integers(0, 20), more=st.integers(1, 9))
    def use(self, at: int, more: int) -> None:
        """Use more."""
        listed = [session for session in self.sessions if session.is_listed]
        if listed:
            listed[at % len(listed)].used += more

    @rule(at=st.integers(0, 20), is_listed=st.booleans())
    def end(self, at: int, is_listed: bool) -> None:  # noqa: FBT001
        """End a session, which may leave the list for good."""
        listed = [session for session in self.sessions if session.is_listed]
        if listed:
            session = listed[at % len(listed)]
            session.state, session.is_listed = "terminated", is_listed

    @rule()
    def create_gateway(self) -> None:
        """Create the other gateway."""
        if GATEWAYS[1] not in self.listed_gateways:
            self.listed_gateways.append(GATEWAYS[1])

    # The replicas

    @rule(number=likely_owners, gateway=gateways, plan=plans)
    def poll(self, number: int | None, gateway: GatewayKey, plan: Plan | None) -> None:
        """Read a complete listing."""
        replica = self.pick(number)
        if self.is_busy(replica) or gateway not in self.listed_gateways:
            return
        scan = replica.ledger.open_scan(gateway)
        records = self.deliver(gateway)
        self.run(replica, partial(scan.finish, records), plan, lambda: self.read(replica, records))

    @rule(number=likely_owners, gateway=gateways, count=st.integers(1, 3), plan=plans)
    def read_part(
        self, number: int | None, gateway: GatewayKey, count: int, plan: Plan | None
    ) -> None:
        """Read a part of a listing."""
        replica = self.pick(number)
        if self.is_busy(replica) or gateway not in self.listed_gateways:
            return
        scan = replica.ledger.open_scan(gateway)
        records = self.deliver(gateway)[:count]
        self.run(replica, partial(scan.add, records), plan, lambda: self.acknowledge(records))

    @rule(number=likely_owners, plan=plans)
    def discover(self, number: int | None, plan: Plan | None) -> None:
        """Read the list of gateways."""
        replica = self.pick(number)
        if not self.is_busy(replica):
            found = [Gateway(compute, compute, queue="q") for _, compute in self.listed_gateways]
            self.run(replica, partial(replica.ledger.record_gateways, "w", found), plan)

    @rule(number=replicas, plan=plans)
    def tend(self, number: int, plan: Plan | None) -> None:
        """Renew the lease, or look at it, also where something else is paused."""
        replica = self.replicas[number]
        stopped = replica.step
        if replica.is_dead or (stopped and stopped.stopped_on and stopped.stopped_on.is_of_lease):
            return
        if stopped and plan and plan.fate is Fate.PAUSE:
            plan = None  # one thing at a time is paused
        self.run(replica, replica.ledger.tend, plan)

    @rule(number=likely_owners, plan=plans)
    def tick(self, number: int | None, plan: Plan | None) -> None:
        """Do what is due by time alone, as the exporter does."""
        replica = self.pick(number)
        if replica.is_dead:
            return
        ledger = replica.ledger
        if replica.step is None and (ledger.has_due() or ledger.is_unread):
            self.run(replica, ledger.release, plan)
        if not replica.is_dead:
            replica.follow()

    @rule(number=likely_owners)
    def scrape(self, number: int | None) -> None:
        """Show the page to Prometheus."""
        replica = self.pick(number)
        if replica.page():
            keys = list(replica.ledger.state.counters)
            replica.ledger.note_scrape(keys, is_prometheus=True)

    @rule(at=replicas, plan=plans)
    def resume(self, at: int, plan: Plan | None) -> None:
        """Let a replica go on that is paused."""
        paused = [(replica, replica.step) for replica in self.replicas if replica.step]
        if paused:
            COUNTS["resumed"] += 1
            replica, step = paused[at % len(paused)]
            self.go(replica, step, plan)

    @rule(number=likely_owners, is_killed=st.booleans(), plan=plans)
    def restart(self, number: int | None, is_killed: bool, plan: Plan | None) -> None:  # noqa: FBT001
        """End a process, and begin another one."""
        replica = self.pick(number)
        if replica.is_dead:
            pass
        elif replica.step is not None or is_killed:
            COUNTS["killed"] += 1
            replica.kill()
        else:
            COUNTS["resigned"] += 1
            self.run(replica, replica.ledger.close, None)
            self.read_pages()
            replica.die()
        self.run(replica, replica.start, plan)

    # Time, the network and the server

    @rule(seconds=st.sampled_from((1.0, DURATION / 6, DURATION / 6, DURATION / 3, DURATION * 0.7)))
    def pass_time(self, seconds: float) -> None:
        """Let time pass for all."""
        for replica, rate in zip(self.replicas, self.rates, strict=True):
            replica.clock.advance(seconds * rate)
        if seconds > DURATION / 6:
            server().end_idle()

    @rule(away=st.frozensets(replicas, min_size=1, max_size=2))
    def expire(self, away: frozenset[int]) -> None:
        """Let all but some tend the lease for as long as it takes to acquire it."""
        for _ in range(8):
            self.pass_time(DURATION / 6)
            for number in range(REPLICAS):
                if number not in away:
                    self.tend(number, None)
                    self.tick(number, None)
            self.read_pages()

    @rule(gateway=gateways, instants=st.integers(1, 40), more=st.integers(1, 9))
    def overtake(self, gateway: GatewayKey, instants: int, more: int) -> None:
        """Stop the owner while it polls; it goes on when another one has polled."""
        owner = self.pick(None)
        number = self.replicas.index(owner)
        self.use(0, more)
        self.poll(number, gateway, Plan(instants, Fate.PAUSE))
        self.expire(frozenset({number}))
        self.use(0, more)
        self.poll(None, gateway, None)
        self.read_pages()
        if owner.step is not None:
            COUNTS["overtaken"] += 1
            self.go(owner, owner.step, None)
        self.read_pages()
        self.use(0, more)
        self.poll(None, gateway, None)

    @rule(lost=st.integers(0, 6))
    def fail_over(self, lost: int) -> None:
        """Let another database server take over, which may lack the last commits."""
        server().note()
        before = self.rows_of(server().states[-1])
        server().fail_over(lost, is_told=self.is_fail_over_told)
        self.rows = self.rows_of(server().states[-1])
        self.totals = {}
        COUNTS["commits lost"] += before != self.rows
        for session in self.sessions:
            had, has = before.get(session.session_id), self.rows.get(session.session_id)
            if had != has:
                figure = has["vcore_seconds"] if has else 0
                session.lost = (session.lost or 0) + max(0, session.least - figure)
                session.least = min(session.least, figure)

    @rule()
    def restart_server(self) -> None:
        """Cut all connections."""
        server().end(None)

    # What has to hold

    @invariant()
    def read_pages(self) -> None:
        """Nothing is on two pages, nothing ever falls, and the ledger adds up."""
        if not hasattr(self, "replicas"):
            return
        if server().note():
            self.check_sums(server().states[-1])
        seen: dict[tuple[str, ...], float] = {}
        for replica in self.replicas:
            page = replica.page()
            assert not page.keys() & seen.keys(), "a series is on two pages"
            seen |= page
        for series, value in seen.items():
            assert value >= self.shown.get(series, 0) - self.lost_of(series), series
            self.shown[series] = value
        COUNTS["pages"] += bool(seen)

    def lost_of(self, series: tuple[str, ...]) -> float:
        """Return by how much a series may be lower than shown, after commits were lost."""
        gone = [s for s in self.sessions if s.lost is not None and not s.is_listed]
        if gone and not series[0].endswith("_vcore_seconds_total"):
            return float("inf")
        return sum(session.lost or 0 for session in gone)

    def check_sums(self, state: str) -> None:
        """Compare each total with the sum of the rows, which hold the highest figures."""
        tables = json.loads(state)
        gateway_ids = {
            row["gateway_id"]: (row["workspace_id"], row["livy_compute_id"])
            for row in tables["gateway"] or ()
            if row["contacted"]
        }
        sums: dict[tuple[str, ...], int] = defaultdict(int)
        for row in tables["session"] or ():
            if row["gateway_id"] in gateway_ids:
                sums[(*gateway_ids[row["gateway_id"]], row["queue"])] += row["vcore_seconds"]
        totals = {
            tuple(json.loads(row["labels"])): row["value"]
            for row in tables["counter"] or ()
            if row["metric"] == USED.name and row["value"]
        }
        assert totals == {labels: total for labels, total in sums.items() if total}
        assert all(totals.get(labels, 0) >= total for labels, total in self.totals.items())
        self.totals = totals

    def read(self, replica: Replica, records: list[LivySession]) -> None:
        """Compare the totals of a gateway with what was told of its sessions."""
        self.acknowledge(records)
        COUNTS["polls"] += 1
        least, most, told = Counter[tuple[str, ...]](), Counter[tuple[str, ...]](), set()
        for session in self.sessions:
            least[(*session.gateway, session.queue)] += session.least
            most[(*session.gateway, session.queue)] += session.most
            told.add((*session.gateway, session.queue))
        state = replica.ledger.state
        for key, value in state.counters.items():
            if key.metric is USED and replica.ledger.may_show(state):
                assert least[key.labels] <= value.actual <= most[key.labels], key

    # Work

    def pick(self, number: int | None) -> Replica:
        """Return a replica, by its number or because it is the owner."""
        owners = [r for r in self.replicas if not r.is_dead and r.ledger.may_show(r.ledger.state)]
        if number is None and owners:
            return owners[0]
        return self.replicas[number or 0]

    def run(
        self,
        replica: Replica,
        work: Callable[[], object],
        plan: Plan | None,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        """Let a replica do something."""
        self.go(replica, Step(work, done), plan)

    def go(self, replica: Replica, step: Step, plan: Plan | None) -> None:
        """Let a replica go on with something."""
        replica.do(step, plan)
        if not step.is_over:
            COUNTS["paused"] += 1
            return
        if isinstance(step.error, Crash) or replica.is_dead:
            COUNTS["crashed"] += 1
        elif isinstance(step.error, LedgerError):
            COUNTS[f"failed: {step.error.kind}"] += 1
        elif step.error is not None:
            raise step.error
        else:
            step.done()
        if not replica.is_dead:
            replica.publish()

    def is_busy(self, replica: Replica) -> bool:
        """Whether a replica can do nothing else."""
        return replica.is_dead or replica.step is not None

    def deliver(self, gateway: GatewayKey) -> list[LivySession]:
        """Return what a gateway lists now."""
        listed = [s for s in self.sessions if s.gateway == gateway and s.is_listed]
        for session in listed:
            session.most = session.used
        return [session.record() for session in listed]

    def acknowledge(self, records: list[LivySession]) -> None:
        """Take note that records were committed."""
        for record in records:
            session = self.sessions[int(record.session_id)]
            session.least = max(session.least, record.usage.vcore_seconds or 0)
            session.lost = None

    @staticmethod
    def rows_of(state: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the rows of sessions, by id."""
        return {row["session_id"]: row for row in json.loads(state)["session"] or ()}

    def teardown(self) -> None:
        """End what still runs."""
        for replica in getattr(self, "replicas", ()):
            replica.kill()
