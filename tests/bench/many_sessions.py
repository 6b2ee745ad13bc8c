"""Snapshots of 100,000 samples, as a gateway with many sessions gives them."""

import random

from exporter.model import LivySession, Source, Target, Usage
from exporter.snapshot import Snapshot, TargetView
from exporter.sources.livy_sessions.series import Gauges
from tests.sources.listings import counts_of

GATEWAY = ("w-1234567890abcdef", "lc-0123456789abcdef")
SAMPLES = 100_000
_SAMPLES_OF_A_SESSION = 12
_TARGET = Target(Source.LIVY_SESSIONS, "", "cn-hangzhou", *GATEWAY)


class ManySessions:
    """Running sessions, some of which use something from one snapshot to the next."""

    def __init__(self) -> None:
        self._chance = random.Random(1)
        self._sessions = [self._session(n) for n in range(SAMPLES // _SAMPLES_OF_A_SESSION)]
        self._gauges = Gauges(GATEWAY, len(self._sessions))

    def change(self, share: float) -> None:
        """Let some sessions use something; other than their usage nothing changes."""
        count = len(self._sessions)
        for n in self._chance.sample(range(count), round(count * share)):
            self._sessions[n] = self._session(n)

    def snapshot(self) -> Snapshot:
        """Return the snapshot of now, as a poll makes it."""
        gauges = self._gauges.samples(self._sessions, (), counts_of(self._sessions))
        return Snapshot().with_targets(TargetView(_TARGET, 300, up=True, gauges=gauges))

    def _session(self, number: int) -> LivySession:
        used = self._chance.randrange(10**13)
        return LivySession(
            f"livy-{number * 7919:016x}",
            "running",
            name=f"etl-{number}",
            queue=f"queue-{number % 8}",
            proxy_user=f"user-{number % 50}",
            created_ms=1_780_000_000_000 + number,
            usage=Usage(used, used // 10**6, used // 10**3),
        )
