import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise

import pytest

from exporter.api.budget import MAX_CONCURRENT, Budget
from exporter.errors import Reason, ThrottledError
from tests.support.simulation import LoopClock, simulated


def run(use: Callable[[Budget], Awaitable[None]], rate: float = 10.0, **limits: float) -> None:
    """Use a budget in simulated time."""

    async def main() -> None:
        await use(Budget(LoopClock(), rate, **limits))  # type: ignore[arg-type]  # by name

    with simulated() as runner:
        runner.run(main())


def now() -> float:
    """Give the simulated time."""
    return asyncio.get_running_loop().time()


async def refuse(budget: Budget, after: float = 0.0) -> None:
    """Send a request that the service refuses."""
    with suppress(ThrottledError):
        async with budget.turn():
            await asyncio.sleep(after)
            raise ThrottledError("too many", status=429)


def test_in_no_second_there_are_more_requests_than_the_rate() -> None:
    """Turns are spread evenly, also after a long rest, however many want one."""

    async def use(budget: Budget) -> None:
        await asyncio.sleep(1000)
        turns: list[float] = []

        async def send() -> None:
            async with budget.turn():
                turns.append(now())

        start = now()
        await asyncio.gather(*(send() for _ in range(101)))
        assert now() - start == pytest.approx(10, abs=0.01)
        assert min(b - a for a, b in pairwise(turns)) > 0.098

    run(use)


def test_turns_come_in_the_order_of_asking() -> None:
    """Whoever asks once stands behind whoever asked before, so nobody starves."""

    async def use(budget: Budget) -> None:
        order: list[int] = []

        async def send(number: int) -> None:
            async with budget.turn():
                order.append(number)
                await asyncio.sleep(0.3)

        await asyncio.gather(*(send(number) for number in range(50)))
        assert order == list(range(50))

    run(use)


def test_ten_greedy_targets_get_equal_shares() -> None:
    """Each of ten that always want more gets a tenth."""

    async def use(budget: Budget) -> None:
        got: Counter[int] = Counter()

        async def target(number: int) -> None:
            while now() < 100:
                async with budget.turn():
                    got[number] += 1
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(target(number) for number in range(10)))
        assert max(got.values()) - min(got.values()) <= 1
        assert sum(got.values()) == pytest.approx(1000, abs=11)

    run(use)


def test_long_walks_get_half_and_delay_nobody() -> None:
    """However many walk: they get half, and a poll in between waits for one turn of theirs."""

    async def use(budget: Budget) -> None:
        walked = 0

        async def walk() -> None:
            nonlocal walked
            while now() < 100:
                async with budget.turn(in_bulk=True):
                    walked += 1

        async def poll() -> None:
            while now() < 100:
                asked = now()
                async with budget.turn():
                    assert now() - asked < 0.21
                await asyncio.sleep(0.77)

        await asyncio.gather(poll(), *(walk() for _ in range(7)))
        assert walked == pytest.approx(500, rel=0.02)

    run(use)


def test_a_refusal_halves_the_rate_and_time_heals_it() -> None:
    """Down by half at each wave of refusals, to a floor; up by equal steps to what is set."""

    async def use(budget: Budget) -> None:
        assert budget.rate == 10
        await refuse(budget)
        assert budget.rate == pytest.approx(5, abs=0.01)
        for _ in range(20):
            await refuse(budget)
        assert budget.rate == pytest.approx(0.5, abs=0.1)
        before = budget.rate
        await asyncio.sleep(90)
        assert budget.rate == pytest.approx(before + 1)
        await asyncio.sleep(900)
        assert budget.rate == 10

    run(use)


def test_one_wave_of_refusals_counts_once() -> None:
    """What was under way when the rate fell says nothing of the new rate."""

    async def use(budget: Budget) -> None:
        await asyncio.gather(*(refuse(budget, after=2) for _ in range(10)))
        assert budget.rate == pytest.approx(5, abs=0.05)

    run(use)


def test_other_failures_leave_the_rate_alone() -> None:
    """Only throttling is a matter of the rate."""

    async def use(budget: Budget) -> None:
        with pytest.raises(ValueError, match="x"):
            async with budget.turn():
                raise ValueError("x")
        assert budget.rate == 10

    run(use)


def test_requests_under_way_are_bounded() -> None:
    """Where nothing is answered, no more than so many wait for it."""

    async def use(budget: Budget) -> None:
        under_way = most = 0

        async def send() -> None:
            nonlocal under_way, most
            async with budget.turn():
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(10)
                under_way -= 1

        await asyncio.gather(*(send() for _ in range(50)))
        assert most == MAX_CONCURRENT

    run(use)


def test_a_line_that_moves_is_told_so() -> None:
    """Whoever stands in line, for either reason, hears of it at least every few seconds."""

    async def use(budget: Budget) -> None:
        async def stand(*, in_bulk: bool) -> None:
            heard = [now()]
            turn = budget.turn(in_bulk=in_bulk, on_wait=lambda: heard.append(now()))
            async with turn:
                heard.append(now())
                assert max(b - a for a, b in pairwise(heard)) < 10.1
                await asyncio.sleep(9)

        await asyncio.gather(*(stand(in_bulk=bool(number % 3)) for number in range(20)))

    run(use, rate=0.1, max_wait=1e9, max_concurrent=1)


def test_a_turn_that_would_not_come_in_time_is_refused_at_once() -> None:
    """The error says how long the line is, and is a matter of throttling."""

    async def use(budget: Budget) -> None:
        async def send() -> None:
            async with budget.turn():
                pass

        standing = [asyncio.create_task(send()) for _ in range(12)]
        await asyncio.sleep(0)
        with pytest.raises(ThrottledError, match="11 requests wait for their turn: 11 s") as caught:
            await send()
        assert caught.value.reason is Reason.THROTTLED
        await asyncio.gather(*standing)
        await send()

    run(use, rate=1.0, max_wait=10.0)


@pytest.mark.parametrize("in_bulk", [False, True])
def test_who_leaves_the_line_leaves_nothing_behind(in_bulk: bool) -> None:  # noqa: FBT001
    """A cancelled request, at whichever moment, takes neither place nor slot with it."""

    async def use(budget: Budget) -> None:
        async def send() -> None:
            async with budget.turn(in_bulk=in_bulk):
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
