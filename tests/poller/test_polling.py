"""One poll of one target: the deadline, and the one failure boundary."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from exporter import catalog
from exporter.errors import LedgerError, LedgerFailure, PagingError, PollError, Reason
from exporter.ledger import Ledger
from exporter.model import LivySession, Source, Target
from exporter.poller import Polling, Timing
from exporter.snapshot import Records, Sample, Snapshot, SnapshotStore, TargetView
from exporter.sources import PollResult
from exporter.telemetry import Telemetry
from tests.support.harness import ManualClock
from tests.support.simulation import simulated

pytestmark = pytest.mark.anyio

TARGET = Target(Source.SESSION_CLUSTERS, "", "cn-hangzhou", "w-1")
GAUGES = {catalog.SESSION_CLUSTERS: (Sample(("w-1", "SQL", "q", "running"), 1.0),)}
RECORDS = Records(sessions=(LivySession("livy-a", "running"),))

Progress = Callable[[], None]


@dataclass
class Scripted:
    """A source that does what a test says."""

    script: Callable[[Progress], Awaitable[None]]
    ledger_error: LedgerError | None = None
    target: Target = field(default=TARGET)

    async def poll(self, progress: Progress) -> PollResult:
        """Follow the script, and then give the gauges."""
        await self.script(progress)
        return PollResult(GAUGES, self.ledger_error, RECORDS)


@dataclass(frozen=True)
class Bench:
    """A poller, and what it publishes."""

    polling: Polling
    snapshots: SnapshotStore
    registry: CollectorRegistry
    clock: ManualClock

    async def poll(self, source: Scripted) -> TargetView:
        """Poll, and return the view of the target that is then published."""
        await self.polling.poll(source, lambda: 0)
        return self.snapshots.current.targets[TARGET]

    def failures(self, reason: str) -> float | None:
        """Return how many polls are counted as failed for a reason."""
        return self.registry.get_sample_value(
            catalog.POLL_FAILURES.name, {"source": "session_clusters", "reason": reason}
        )


@asynccontextmanager
async def bench(timeout: float = 60) -> AsyncIterator[Bench]:  # noqa: ASYNC109  the setting
    """Make a poller of its own, with an announced target."""
    clock, snapshots, registry = ManualClock(), SnapshotStore(Snapshot()), CollectorRegistry()
    ledger = Ledger(None, clock=clock)
    polling = Polling(snapshots, ledger, Telemetry(registry), clock, Timing(30, timeout, 300))
    polling.add_targets([TARGET])
    yield Bench(polling, snapshots, registry, clock)
    ledger.close()


async def do_nothing(_: Progress) -> None:
    """Succeed at once."""


def raising(error: BaseException) -> Callable[[Progress], Awaitable[None]]:
    """Fail."""

    async def script(_: Progress) -> None:
        raise error

    return script


async def test_before_the_first_poll_a_target_is_neither_up_nor_down() -> None:
    """An announced target is neither up nor down."""
    async with bench() as b:
        assert b.snapshots.current.targets[TARGET] == TargetView(TARGET, stale_after=300)


async def test_a_successful_poll_publishes_its_time() -> None:
    """Up, with gauges and the time of the end; the duration counts from the start."""

    async def scan(_: Progress) -> None:
        b.clock.advance(7)

    async with bench() as b:
        view = await b.poll(Scripted(scan))
        assert (view.up, view.failure, view.gauges) == (True, None, GAUGES)
        assert (view.last_duration, view.last_success_at) == (7, b.clock.now())
        assert (view.polls, view.records) == (1, RECORDS)


async def test_a_failed_poll_keeps_the_gauges_of_the_last_good_one() -> None:
    """The target is down for a reason, and what was known of it stays."""
    async with bench() as b:
        good = await b.poll(Scripted(do_nothing))
        b.clock.advance(30)
        view = await b.poll(Scripted(raising(PagingError("in circles", advice="wait"))))
        assert view.failure is not None
        assert (view.failure.reason, view.failure.message) == (Reason.PAGING, "in circles")
        assert (view.up, view.gauges) == (False, good.gauges)
        assert (view.polls, view.records) == (2, RECORDS)
        assert view.last_success_at == good.last_success_at
        assert b.failures("paging") == 1


async def test_a_bug_is_a_failed_poll_like_any_other() -> None:
    """An exception that nobody expects is counted as internal, and the next poll goes on."""
    async with bench() as b:
        view = await b.poll(Scripted(raising(KeyError("oops"))))
        assert view.failure is not None
        assert view.failure.reason is Reason.INTERNAL
        assert "oops" not in view.failure.message
        assert b.failures("internal") == 1
        assert (await b.poll(Scripted(do_nothing))).up is True


async def test_silence_ends_a_poll() -> None:
    """A poll to which nothing comes is given up after the timeout."""

    async def silence(_: Progress) -> None:
        await asyncio.Event().wait()

    async with bench(timeout=0.05) as b:
        view = await b.poll(Scripted(silence))
        assert view.failure is not None
        assert view.failure.reason is Reason.TIMEOUT
        assert view.failure.message == "nothing arrived for 0.05 s"


def test_progress_moves_the_deadline() -> None:
    """A long poll goes on as long as something arrives, and is a sign of life meanwhile."""

    async def main() -> None:
        lives: list[float] = []

        async def scan(progress: Progress) -> None:
            for _ in range(4):
                await asyncio.sleep(30)
                b.clock.advance(40)
                progress()
                lives.append(b.polling.last_progress)

        async with bench(timeout=40) as b:
            start = b.clock.monotonic()
            assert (await b.poll(Scripted(scan))).up is True
            assert lives == [start + 40 * (n + 1) for n in range(4)]

    with simulated() as runner:
        runner.run(main())


async def test_a_poll_can_be_cancelled() -> None:
    """To stop is not a failure: nothing is counted, and the caller learns of it."""
    started = asyncio.Event()

    async def wait(_: Progress) -> None:
        started.set()
        await asyncio.Event().wait()

    async with bench() as b:
        task = asyncio.create_task(b.polling.poll(Scripted(wait), lambda: 0))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert b.snapshots.current.targets[TARGET].up is None


async def test_gauges_are_published_though_the_ledger_fails() -> None:
    """What could not be counted makes the poll fail, with the gauges of now."""
    async with bench() as b:
        error = LedgerError("the disk is full", kind=LedgerFailure.FULL)
        view = await b.poll(Scripted(do_nothing, ledger_error=error))
        assert view.failure is not None
        assert (view.up, view.failure.reason, view.gauges) == (False, Reason.LEDGER, GAUGES)
        failures = catalog.LEDGER_FAILURES.name
        assert b.registry.get_sample_value(failures, {"reason": "full"}) == 1


@pytest.mark.parametrize("kind", PollError.__subclasses__(), ids=lambda kind: kind.__name__.lower())
async def test_every_error_has_its_own_reason(kind: type[PollError]) -> None:
    """The boundary asks an error for its reason, and for nothing else."""
    async with bench() as b:
        view = await b.poll(Scripted(raising(kind("no"))))
        assert view.failure is not None
        assert view.failure.reason is kind.reason
        assert b.failures(kind.reason) == 1


@pytest.mark.parametrize(
    ("stale_after", "interval", "duration", "expected"),
    [(300, 30, 0, 300), (60, 30, 0, 90), (60, 10, 45, 90), (60, 10, 5, 60)],
    ids=["the setting", "three intervals", "two polls", "the setting again"],
)
def test_gauges_are_stale_after_the_longest_of_three_times(
    stale_after: float, interval: float, duration: float, expected: float
) -> None:
    """Gauges stay for the setting, three intervals, or twice the last poll's duration."""
    assert Timing(interval, 60, stale_after).stale_after_poll(duration) == expected
