"""How one Livy session and one session cluster live: plans drawn once, pure functions of time.

A plan is drawn from a seed and a number alone, so what happens at a time does not depend on when
anybody looked. Durations are drawn in *real* seconds and divided by the speed; usage is counted in
real seconds, so that a sped-up life burns what a real one burns. All moments are wall-clock
seconds since the epoch.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from exporter.demo.records import SimulatedCluster, SimulatedSession, SimulatedUsage

MB_PER_CU: Final = 4096
"""The vendor's billing page: 1 CU is 1 core and 4 GiB of memory."""

SETTLING_SECONDS: Final = 600.0
"""Real seconds from a session's end to the revision of its estimated CU-hours."""

NAMES: Final = (
    "daily-sales",
    "每日汇总",
    'the "big" join',
    "C:\\jobs\\nightly",
    "two\nlines",
    "feature-store",
    "特征工程 v2",
)
USERS: Final = ("analyst", "张伟", 'o"brien', "CORP\\etl", "ml-train", None)
FAILURES: Final = (
    "Driver container exited with code 137 (out of memory)",
    'Queue "root_queue" has no CUs left',
    "SparkException: Job aborted due to stage failure\n\tat org.apache.spark…",
)


@dataclass(frozen=True, slots=True)
class SessionLife:
    """A Livy session from its creation to its end."""

    born: SimulatedSession
    created: float
    runs: float
    """When it starts to use CUs."""
    ends: float
    """When it stops to use CUs."""
    gone: float
    """When its state is an ended one."""
    settled: float
    """When the service revises the estimate."""
    fails: bool
    cus: int
    revision: int
    """Thousandths by which the estimate of CU-hours changes in the end."""
    speed: float

    def at(self, now: float) -> SimulatedSession:
        """Return the row as the service holds it at a time."""
        state, ended, info = self._state(now)
        end_time = round(self.gone * 1000) if ended else None
        return replace(
            self.born, state=state, end_time_ms=end_time, info=info, usage=self._usage(now)
        )

    def _state(self, now: float) -> tuple[str, bool, str]:
        if now < self.runs:
            return "starting", False, "null"
        if now < self.ends:
            return "running", False, "null"
        if now < self.gone:
            return "terminating", False, "null"
        if self.fails:
            return "error", True, FAILURES[self.cus % len(FAILURES)]
        return "terminated", True, "null"

    def _usage(self, now: float) -> SimulatedUsage:
        real = max(0.0, min(now, self.ends) - self.runs) * self.speed
        vcore_seconds = int(self.cus * real)
        nano = int(self.cus * real * 1e9 / 3600)
        if now >= self.settled:
            nano += nano * self.revision // 1000
        return SimulatedUsage(nano, vcore_seconds, int(self.cus * MB_PER_CU * real))


def live_session(
    template: SimulatedSession, number: int, created: float, speed: float
) -> SessionLife:
    """Draw the life of a gateway's session of this number; `template.session_id` is the seed."""
    chance = random.Random(f"{template.session_id}/{number}")
    # Regularly, so that a watcher is sure to see a failure within the first minute.
    fails = number % 7 == 3  # noqa: PLR2004  one in seven
    start_up = chance.uniform(40, 120)
    real_run = chance.uniform(240, 900) if fails else 360 * 25 ** chance.random()
    runs = created + start_up / speed
    ends = runs + real_run / speed
    gone = ends + (0 if fails else chance.uniform(20, 60)) / speed
    digest = hashlib.blake2b(f"{template.session_id}/{number}".encode(), digest_size=8)
    born = replace(
        template,
        session_id=f"livy-{digest.hexdigest()}",
        create_time_ms=round(created * 1000),
        name=f"{chance.choice(NAMES)}-{number}",
        proxy_user=chance.choice(USERS),
    )
    return SessionLife(
        born=born,
        created=created,
        runs=runs,
        ends=ends,
        gone=gone,
        settled=gone + SETTLING_SECONDS / speed,
        fails=fails,
        cus=chance.choice((4, 8, 16, 32, 64)),
        revision=chance.choice((0, 0, 0, 0, -15, 20)),
        speed=speed,
    )


@dataclass(frozen=True, slots=True)
class LifePhase:
    """A session cluster in one state, from its beginning up to `until`."""

    row: SimulatedCluster
    until: float


def live_cluster(
    cluster: SimulatedCluster, *, seed: int, created: float, first: float, flaky: bool, speed: float
) -> Iterator[LifePhase]:
    """Draw the phases of a session cluster without end; `first` = real seconds of NotStarted."""
    row = replace(
        cluster, state="NotStarted", start_time_ms=None, create_time_ms=round(created * 1000)
    )
    until, number = created + first / speed, 0
    yield LifePhase(row, until)
    while True:
        number += 1
        chance = random.Random(f"{seed}/{cluster.session_cluster_id}/{number}")
        state = _next_state(row.state, chance, flaky=flaky)
        row = _entered(row, state, until)
        shortest, longest = _DURATIONS[state]
        until += chance.uniform(shortest, longest) / (4 if flaky else 1) / speed
        yield LifePhase(row, until)


_DURATIONS: Final = {
    "Starting": (120.0, 300.0),
    "Running": (1800.0, 7200.0),
    "Stopping": (60.0, 180.0),
    "Stopped": (600.0, 2400.0),
    "Error": (600.0, 1800.0),
}
"""Real seconds, shortest and longest; of a flaky cluster a quarter."""


def _next_state(state: str, chance: random.Random, *, flaky: bool) -> str:
    if state in {"NotStarted", "Stopped", "Error"}:
        return "Starting"
    if state == "Stopping":
        return "Stopped"
    if chance.random() < (0.4 if flaky else 0.08):
        return "Error"
    return "Running" if state == "Starting" else "Stopping"


def _entered(row: SimulatedCluster, state: str, moment: float) -> SimulatedCluster:
    code, message = "", ""
    if state == "Error":
        code, message = "DriverOutOfMemory", "The driver ran out of memory;\nsee the log."
    started = round(moment * 1000) if state == "Starting" else row.start_time_ms
    return replace(
        row, state=state, start_time_ms=started, reason_code=code, reason_message=message
    )
