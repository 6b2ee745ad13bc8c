"""A life for a world: sessions come, burn and go, clusters change their state."""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from exporter.demo.lives import LifePhase, SessionLife, live_cluster, live_session
from exporter.demo.records import (
    GatewayKey,
    SimulatedCluster,
    SimulatedGateway,
    SimulatedSession,
    SimulatedWorkspace,
)
from exporter.demo.world import World

REGION_ID: Final = "cn-hangzhou"
PRODUCTION: Final = "w-7f3c5a1b9d2e4a60"
SANDBOX: Final = "w-0d81e6f4c5b79a23"

WORKSPACES: Final = (
    SimulatedWorkspace(PRODUCTION, name='生产 "prod"', region_id=REGION_ID),
    SimulatedWorkspace(SANDBOX, name="dev\\sandbox", region_id=REGION_ID),
)
GATEWAYS: Final = (
    (SimulatedGateway(PRODUCTION, "lc-etl4dzdiubu73w2y", name="etl", queue="root_queue"), 300.0),
    (
        SimulatedGateway(PRODUCTION, "lc-adh0c8s6k1q5x9zm", name="即席查询", queue="dev_queue"),
        480.0,
    ),
    (SimulatedGateway(SANDBOX, "lc-ml7r2v0n4t8b3c6j", name='ml "lab"', queue="ml-队列"), 900.0),
)
"""Each with the mean gap between two new sessions, in real seconds."""

CLUSTERS: Final = (
    SimulatedCluster(PRODUCTION, "sc-4f1a9c0e", name="adhoc_query", kind="SQL", queue="dev_queue"),
    SimulatedCluster(
        PRODUCTION, "sc-8b2d7e35", name="报表 thrift", kind="THRIFT", public_endpoint=True
    ),
    SimulatedCluster(PRODUCTION, "sc-c6e0513f", name="notebooks", kind="NOTEBOOK", fusion=True),
    SimulatedCluster(SANDBOX, "sc-19d4a7b8", name='"flaky"\\nb', kind="NOTEBOOK", queue="ml-队列"),
    SimulatedCluster(
        SANDBOX, "sc-e35f60c2", name="sandbox sql", kind="SQL", auto_stop_minutes=None
    ),
    SimulatedCluster(SANDBOX, "sc-72ab18fd", name="dormant", kind="THRIFT", auto_start=False),
)
FLAKY: Final = "sc-19d4a7b8"
DORMANT: Final = "sc-72ab18fd"

RETENTION_SECONDS: Final = 144_000.0
"""Real seconds after which a Livy session leaves the list: at 60-fold speed 40 minutes."""

DORMANT_SECONDS: Final = 2400.0
"""Real seconds from the start of the demo to the first start of the dormant cluster."""

LONGEST_LEAP_SECONDS: Final = 86400.0
"""Real seconds that are made up for when a machine wakes, say."""


class Fleet:
    """Brings a world to a given time; how often it was asked on the way makes no difference."""

    def __init__(self, world: World, *, seed: int = 0, speed: float = 60.0, start: float) -> None:
        """Fill the world, its past included, as it is at `start` (seconds since the epoch)."""
        self._world = world
        self._now = start
        self._left_out = 0.0
        past = start - RETENTION_SECONDS / speed
        for workspace in WORKSPACES:
            world.put_workspace(workspace)
        self._streams = [
            _Stream(gateway.key, _lives(gateway, seed, gap, past, speed), RETENTION_SECONDS / speed)
            for gateway, gap in GATEWAYS
        ]
        for gateway, _ in GATEWAYS:
            world.put_gateway(gateway)
        self._clusters = [_Phases(_phases(row, seed, past, speed)) for row in CLUSTERS]
        self.advance(start)

    def advance(self, now: float) -> None:
        """Advance the simulation to `now`; a clock that steps back does not move it.

        One that leaps ahead does not: a demo has no use for the life of weeks, made up at once.
        """
        if now - self._left_out - self._now > LONGEST_LEAP_SECONDS:
            self._left_out = now - self._now
        self._now = max(self._now, now - self._left_out)
        for stream in self._streams:
            stream.advance(self._world, self._now)
        for phases in self._clusters:
            self._world.put_cluster(phases.at(self._now))


def _lives(
    gateway: SimulatedGateway, seed: int, gap: float, past: float, speed: float
) -> Iterator[SessionLife]:
    moment, number = past, 0
    template = SimulatedSession(
        gateway.workspace_id, gateway.compute_id, f"{seed}/{gateway.compute_id}", 0
    )
    while True:
        chance = random.Random(f"{template.session_id}/gap/{number}")
        moment += gap * chance.uniform(0.5, 1.5) / speed
        queue = gateway.queue if number % 4 else "spill_queue"
        yield live_session(replace(template, queue=queue), number, moment, speed)
        number += 1


def _phases(row: SimulatedCluster, seed: int, past: float, speed: float) -> Iterator[LifePhase]:
    is_dormant = row.session_cluster_id == DORMANT
    return live_cluster(
        row,
        seed=seed,
        created=past,
        first=RETENTION_SECONDS + DORMANT_SECONDS if is_dormant else 60.0,
        flaky=row.session_cluster_id == FLAKY,
        speed=speed,
    )


class _Phases:
    """Where a session cluster is in its life."""

    def __init__(self, phases: Iterator[LifePhase]) -> None:
        self._phases = phases
        self._phase = next(phases)

    def at(self, now: float) -> SimulatedCluster:
        while self._phase.until <= now:
            self._phase = next(self._phases)
        return self._phase.row


@dataclass(slots=True)
class _Stream:
    """The sessions of one gateway: those to come, those that still change, those that rest."""

    gateway: GatewayKey
    lives: Iterator[SessionLife]
    retention: float
    """Wall-clock seconds."""
    changing: list[SessionLife] = field(default_factory=list)
    listed: deque[SessionLife] = field(default_factory=deque)
    """All that are in the world, oldest first."""
    coming: SessionLife | None = None

    def advance(self, world: World, now: float) -> None:
        if not world.has_gateway(*self.gateway):
            return
        self._begin(now)
        for life in self.changing:
            world.put_session(life.at(now))
        self.changing = [life for life in self.changing if now < life.settled]
        history = world.history(*self.gateway)
        # By create time alone, as every life is far shorter than the retention.
        while self.listed and self.listed[0].created + self.retention <= now:
            key = self.listed.popleft().born.key
            # Somebody else may have trimmed the list as well.
            if history.get(key) is not None:
                history.remove(key)

    def _begin(self, now: float) -> None:
        self.coming = self.coming or next(self.lives)
        while self.coming.created <= now:
            self.changing.append(self.coming)
            self.listed.append(self.coming)
            self.coming = next(self.lives)
