"""Restarts, and answers that are empty for a while, in any order: what is counted stays right.

A hypothesis machine plays the service and the operator. What the exporter believes is told by a
model of its own: an empty answer counts from the second time in a row on, and what was there before
the first complete listing is the starting value.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from exporter import catalog
from exporter.demo import SimulatedGateway, SimulatedSession, SimulatedWorkspace, TableName, World
from exporter.ledger import Key
from tests.support.harness import Harness
from tests.support.ledger_builders import MEMORY_DISK
from tests.support.simulation import DirectTransport
from tests.support.worlds import WHOLE_REGION, WORKSPACE, used

GATEWAYS = ("lc-0", "lc-1", "lc-2")
REGION_LIST, GATEWAY_LIST = "workspaces", "gateways"


class DirectHarness(Harness):
    """A harness that calls the cloud without a socket."""

    async def __aenter__(self) -> Self:
        """Build the exporter; nothing is polled yet."""
        self._endpoint = "http://127.0.0.1"
        transport = DirectTransport(self.cloud.app, latency=0)
        self._http = await self._stack.enter_async_context(httpx.AsyncClient(transport=transport))
        self.start()
        return self


@dataclass
class Counted:
    """What has to be counted of one gateway."""

    has_contact: bool = False
    start: int = 0
    highest: dict[str, int] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    listed: set[str] = field(default_factory=set)

    def read(self, rows: list[SimulatedSession], empty_at: float | None) -> None:
        """Take up a complete listing that is believed; one before was empty at `empty_at`."""
        for row in rows:
            cu = row.usage.nano_cu_hours
            self.highest[row.session_id] = max(cu, self.highest.get(row.session_id, 0))
            if not self.has_contact and (empty_at is None or row.create_time_ms <= empty_at * 1000):
                self.start += cu
            self._end(row.session_id, row.state)
        now = {row.session_id for row in rows}
        for session_id in self.listed - now:
            self._end(session_id, "vanished")
        self.listed, self.has_contact = now, True

    def _end(self, session_id: str, state: str) -> None:
        before = self.ended.get(session_id)
        is_first = before is None and state in {"vanished", "error", "terminated"}
        if is_first or (before == "vanished" and state == "error"):
            self.ends["unknown" if state == "vanished" else state] += 1
        if is_first or (before == "vanished" and state in {"error", "terminated"}):
            self.ended[session_id] = state


class OddAnswers(RuleBasedStateMachine):
    """The service, its moods, and the operator."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="odd-", dir=MEMORY_DISK))
        self.runner = asyncio.Runner()
        self.world = World()
        self.world.put_workspace(SimulatedWorkspace(WORKSPACE))
        self.harness = DirectHarness(
            self.world, targets=WHOLE_REGION, ledger=self.folder / "l.db", birth_hold=90.0
        )
        self.runner.run(self.harness.__aenter__())
        self.number = 0
        self.counted = {name: Counted() for name in GATEWAYS}
        self.known: Counter[str] = Counter()
        """The size of each list as the ledger has it."""
        self.found_before: set[str] | None = None
        """The gateways that were ever found, once a list of them was believed."""
        self.forget()

    def forget(self) -> None:
        """Lose what only the process knows."""
        self.empty: Counter[str] = Counter()
        self.empty_at: dict[str, float] = {}
        self.has_workspace, self.polled = False, set[str]()
        self.found = set[str]()
        """The gateways of the last list that was not refused."""

    @initialize(count=st.integers(1, 2), sessions=st.integers(1, 3))
    def begin(self, count: int, sessions: int) -> None:
        """Let there be a past."""
        for name in GATEWAYS[:count]:
            self.create_gateway(name, age=10**6)
            for _ in range(sessions):
                self.create(name, age=10**5)

    # The service

    @rule(name=st.sampled_from(GATEWAYS))
    def create_gateway(self, name: str, age: int = 0) -> None:
        """Let there be a gateway."""
        if not self.world.has_gateway(WORKSPACE, name):
            created = int(self.harness.clock.now() - age) * 1000
            self.world.put_gateway(SimulatedGateway(WORKSPACE, name, create_time_ms=created))

    @rule(at=st.integers(0, 2))
    def start(self, at: int) -> None:
        """Let a session start."""
        gateways = self.world.gateways(WORKSPACE)
        self.create(gateways[at % len(gateways)].compute_id)

    def create(self, name: str, age: int = 0) -> None:
        """List a session that was created so many seconds ago."""
        self.number += 1
        created = int(self.harness.clock.now() - age) * 1000
        row = SimulatedSession(WORKSPACE, name, f"s{self.number}", created, usage=used(self.number))
        self.world.put_session(replace(row, queue="q"))

    @rule(at=st.integers(0, 9), state=st.sampled_from(["error", "error", "terminated"]))
    def end(self, at: int, state: str) -> None:
        """Let an open session end."""
        rows = [row for row in self.world.sessions() if row.state == "running"]
        if rows:
            self.world.change_session(rows[at % len(rows)].key, state=state)

    def is_hidden(self, table: TableName) -> bool:
        """Whether nothing of a kind is listed."""
        return self.world.visible(table) is not None

    def rows(self, name: str) -> list[SimulatedSession]:
        """Return what the service lists of a gateway."""
        if not self.world.has_gateway(WORKSPACE, name) or self.is_hidden(TableName.SESSIONS):
            return []
        return [*self.world.history(WORKSPACE, name)]

    # The operator

    @rule()
    def restart(self) -> None:
        """End the process and start another one."""
        self.runner.run(self.harness.restart())
        self.forget()

    @rule(
        hidden=st.sets(
            st.sampled_from([TableName.WORKSPACES, TableName.GATEWAYS, TableName.SESSIONS])
        ),
        discovers=st.booleans(),
        times=st.integers(1, 2),
    )
    def look(self, hidden: set[TableName], discovers: bool, times: int) -> None:  # noqa: FBT001
        """Discover and poll while some kinds of lists are empty."""
        for table in hidden:
            self.world.hide(table)
        for _ in range(times):
            if discovers:
                self.discover()
            self.poll()
        for table in hidden:
            self.world.show(table)

    def discover(self) -> None:
        """Read all lists."""
        self.harness.clock.advance(5)
        self.runner.run(self.harness.discover())
        workspaces = 0 if self.is_hidden(TableName.WORKSPACES) else 1
        if self.believe(REGION_LIST, workspaces) != "refused":
            self.known[REGION_LIST] = workspaces
            if workspaces and not self.has_workspace:  # it is polled as it was found before
                self.follow(self.found)
            if self.has_workspace and not workspaces:  # its gateways are being read meanwhile
                self.discover_gateways()
            self.has_workspace = bool(workspaces)
            if not workspaces:  # what reads its gateways ends
                del self.empty[GATEWAY_LIST]
                self.follow(set())
        if self.has_workspace:
            self.discover_gateways()

    def discover_gateways(self) -> None:
        """Take up the list of gateways, as far as it is believed."""
        is_hidden = self.is_hidden(TableName.GATEWAYS)
        rows = [] if is_hidden else self.world.gateways(WORKSPACE)
        names = {row.compute_id for row in rows}
        verdict = self.believe(GATEWAY_LIST, len(rows))
        if verdict == "refused":
            return
        self.found = names
        self.follow(names)
        if verdict == "unconfirmed":
            return
        empty_at = self.empty_at.pop(GATEWAY_LIST, None)
        before = self.found_before
        if before is None and empty_at is not None and rows:
            before = {row.compute_id for row in rows if row.create_time_ms <= empty_at * 1000}
        if before is not None:
            for name in names - before:
                self.counted[name].has_contact = True
        self.found_before = names | (before or set()) | (self.found_before or set())
        self.known[GATEWAY_LIST] = len(names)

    def follow(self, names: set[str]) -> None:
        """Poll these gateways from now on; what was remembered of others goes."""
        for name in self.polled - names:
            del self.empty[name]
        self.polled = names

    def poll(self) -> None:
        """Poll all that was found."""
        self.harness.clock.advance(5)
        self.runner.run(self.harness.poll())
        up = self.harness.peek().values("exporter_target_up", "livy_compute_id")
        for name in self.polled:
            rows = self.rows(name)
            self.known[name] = len(self.counted[name].listed)
            verdict = self.believe(name, len(rows))
            assert up[(name,)] == (verdict != "refused")
            if verdict == "believed":
                self.counted[name].read(rows, self.empty_at.pop(name, None))
        for name, counted in self.counted.items():
            self.check(name, counted)

    def believe(self, what: str, count: int) -> str:
        """Judge a list of so many records."""
        self.empty[what] = 0 if count else self.empty[what] + 1
        if self.empty[what] != 1:
            return "believed"
        if self.known[what]:
            return "refused"
        self.empty_at[what] = self.harness.clock.now()
        return "unconfirmed"

    def check(self, name: str, counted: Counted) -> None:
        """Compare the counters with what they have to be; as nobody scrapes, increases are held."""
        amounts = self.harness.exporter.ledger.state.counters
        labels = (WORKSPACE, name, "q")
        total = amounts.get(Key(catalog.LIVY_CU_HOURS, labels))
        if not counted.has_contact or not counted.highest:
            assert total is None
            return
        assert total == (sum(counted.highest.values()), counted.start)
        ends = {
            state: amounts[Key(catalog.LIVY_SESSIONS_ENDED, (*labels, state))].actual
            for state in ("error", "terminated", "unknown")
        }
        assert {state: count for state, count in ends.items() if count} == +counted.ends

    def teardown(self) -> None:
        """End everything."""
        self.runner.run(self.harness.__aexit__())
        self.runner.close()
        shutil.rmtree(self.folder)


@pytest.mark.timeout(300)
def test_odd_answers_and_restarts_count_nothing_wrongly() -> None:
    """In short lives of any order."""
    run_state_machine_as_test(
        OddAnswers, settings=settings(max_examples=40, stateful_step_count=30)
    )


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_odd_answers_and_restarts_count_nothing_wrongly_for_long() -> None:
    """The same, for minutes."""
    run_state_machine_as_test(
        OddAnswers, settings=settings(max_examples=1000, stateful_step_count=50)
    )
