import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise

import pytest

from exporter.api.rate_limiter import MAX_CONCURRENT, RateLimiter
from exporter.errors import Reason, ThrottledError
from tests.support.simulation import LoopClock, simulated


def run(use: Callable[[RateLimiter], Awaitable[None]], rate: float = 10.0, **limits: float) -> None:
    """Use a rate limiter in simulated time."""

    async def main() -> None:
        await use(RateLimiter(LoopClock(), rate, **limits))  # type: ignore[arg-type]  # by name

    with simulated() as runner:
        runner.run(main())


def now() -> float:
    """Return the simulated time."""
    return asyncio.get_running_loop().time()


async def refuse(limiter: RateLimiter, after: float = 0.0) -> None:
    """Send a request that the service refuses."""
    with suppress(ThrottledError):
        async with limiter.slot():
            await asyncio.sleep(after)
            raise ThrottledError("too many", status=429)


def test_no_second_has_more_requests_than_the_rate() -> None:
    """Requests are spread evenly, also after a long pause, however many are queued."""

    async def use(limiter: RateLimiter) -> None:
        await asyncio.sleep(1000)
        turns: list[float] = []

        async def send() -> None:
            async with limiter.slot():
                turns.append(now())

        start = now()
        await asyncio.gather(*(send() for _ in range(101)))
        assert now() - start == pytest.approx(10, abs=0.01)
        assert min(b - a for a, b in pairwise(turns)) > 0.098

    run(use)


def test_requests_are_sent_in_the_order_in_which_they_were_queued() -> None:
    """First come, first served: no target starves."""

    async def use(limiter: RateLimiter) -> None:
        order: list[int] = []

        async def send(number: int) -> None:
            async with limiter.slot():
                order.append(number)
                await asyncio.sleep(0.3)

        await asyncio.gather(*(send(number) for number in range(50)))
        assert order == list(range(50))

    run(use)


def test_ten_greedy_targets_get_equal_shares() -> None:
    """Each of ten that always want more gets a tenth."""

    async def use(limiter: RateLimiter) -> None:
        got: Counter[int] = Counter()

        async def target(number: int) -> None:
            while now() < 100:
                async with limiter.slot():
                    got[number] += 1
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(target(number) for number in range(10)))
        assert max(got.values()) - min(got.values()) <= 1
        assert sum(got.values()) == pytest.approx(1000, abs=11)

    run(use)


def test_low_priority_requests_get_half_of_the_rate_and_delay_no_others() -> None:
    """However many scans run, a poll waits for one of their requests at most."""

    async def use(limiter: RateLimiter) -> None:
        scanned = 0

        async def scan() -> None:
            nonlocal scanned
            while now() < 100:
                async with limiter.slot(low_priority=True):
                    scanned += 1

        async def poll() -> None:
            while now() < 100:
                asked = now()
                async with limiter.slot():
                    assert now() - asked < 0.21
                await asyncio.sleep(0.77)

        await asyncio.gather(poll(), *(scan() for _ in range(7)))
        assert scanned == pytest.approx(500, rel=0.02)

    run(use)


def test_throttling_halves_the_rate_which_recovers() -> None:
    """It is halved down to a floor, and recovers linearly to what is configured."""

    async def use(limiter: RateLimiter) -> None:
        assert limiter.rate == 10
        await refuse(limiter)
        assert limiter.rate == pytest.approx(5, abs=0.01)
        for _ in range(20):
            await refuse(limiter)
        assert limiter.rate == pytest.approx(0.5, abs=0.1)
        before = limiter.rate
        await asyncio.sleep(90)
        assert limiter.rate == pytest.approx(before + 1)
        await asyncio.sleep(900)
        assert limiter.rate == 10

    run(use)


def test_requests_in_flight_that_are_throttled_count_once() -> None:
    """A request sent before the rate fell proves nothing about the new rate."""

    async def use(limiter: RateLimiter) -> None:
        await asyncio.gather(*(refuse(limiter, after=2) for _ in range(10)))
        assert limiter.rate == pytest.approx(5, abs=0.05)

    run(use)


def test_other_errors_do_not_change_the_rate() -> None:
    """Only throttling lowers it."""

    async def use(limiter: RateLimiter) -> None:
        with pytest.raises(ValueError, match="x"):
            async with limiter.slot():
                raise ValueError("x")
        assert limiter.rate == 10

    run(use)


def test_requests_in_flight_are_bounded() -> None:
    """Where the service does not answer, further requests stay queued."""

    async def use(limiter: RateLimiter) -> None:
        under_way = most = 0

        async def send() -> None:
            nonlocal under_way, most
            async with limiter.slot():
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(10)
                under_way -= 1

        await asyncio.gather(*(send() for _ in range(50)))
        assert most == MAX_CONCURRENT

    run(use)


def test_queued_requests_hear_that_the_queue_moves() -> None:
    """`on_queued` is called at least every few seconds, for both priorities."""

    async def use(limiter: RateLimiter) -> None:
        async def stand(*, low_priority: bool) -> None:
            heard = [now()]
            turn = limiter.slot(low_priority=low_priority, on_queued=lambda: heard.append(now()))
            async with turn:
                heard.append(now())
                assert max(b - a for a, b in pairwise(heard)) < 10.1
                await asyncio.sleep(9)

        await asyncio.gather(*(stand(low_priority=bool(number % 3)) for number in range(20)))

    run(use, rate=0.1, max_wait=1e9, max_concurrent=1)


def test_a_request_that_would_be_queued_for_too_long_fails_at_once() -> None:
    """The error names the length of the queue; its reason is throttling."""

    async def use(limiter: RateLimiter) -> None:
        async def send() -> None:
            async with limiter.slot():
                pass

        standing = [asyncio.create_task(send()) for _ in range(12)]
        await asyncio.sleep(0)
        with pytest.raises(ThrottledError, match="11 requests are queued: 11 s") as caught:
            await send()
        assert caught.value.reason is Reason.THROTTLED
        await asyncio.gather(*standing)
        await send()

    run(use, rate=1.0, max_wait=10.0)


@pytest.mark.parametrize("low_priority", [False, True])
def test_a_cancelled_request_gives_back_its_place_and_its_slot(low_priority: bool) -> None:  # noqa: FBT001
    """At whichever moment it is cancelled."""

    async def use(limiter: RateLimiter) -> None:
        async def send() -> None:
            async with limiter.slot(low_priority=low_priority):
                await asyncio.sleep(0.05)

        for moment in range(60):
            tasks = [asyncio.create_task(send()) for _ in range(4)]
            await asyncio.sleep(moment * 0.01)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        asked = now()
        await asyncio.gather(*(send() for _ in range(3)))
        assert now() - asked < 1

    run(use, max_concurrent=2)
