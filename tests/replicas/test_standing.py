"""What an owner, a standby and an owner without a database say of themselves."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from typing import Final, NamedTuple

import psycopg
import pytest

from exporter.clock import SystemClock
from exporter.demo.faults import Hold
from exporter.exposition import Form, PageFormat
from exporter.ledger import Ledger, Postgres
from exporter.ledger.postgres.connection import WAIT_SECONDS, connect
from exporter.ledger.postgres.lease_table import LeaseTable
from exporter.ledger.postgres.statements import Statements
from exporter.model import Standing
from exporter.poller import Schedule
from tests.support import postgres
from tests.support.harness import START, Harness, ManualClock
from tests.support.pages import Page
from tests.support.processes import eventually
from tests.support.server_folders import wait_until
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.worlds import GATEWAY, busy_world, session
from tests.web.first_scans import LIVY as LIVY_CALL
from tests.web.status_pages import view_of

pytestmark = [pytest.mark.anyio, pytest.mark.real]

LIVY: Final = {"source": "livy_sessions"}

DURATION: Final = 3600.0
"""Seconds of the manual clock for which a lease lasts: it jumps, and the lease is to be kept."""


class Pair(NamedTuple):
    """Two replicas with one clock, and what stands before their database."""

    owner: Harness
    standby: Harness
    clock: ManualClock
    proxy: TcpProxy


class StoppableClock(ManualClock):
    """A clock on which threads that look after a lease can be stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def boottime(self) -> float:
        """Return the time, when it goes on."""
        if threading.current_thread().name == "lease":
            self.goes_on.wait()
        return super().boottime()


@asynccontextmanager
async def pair(clock: ManualClock | None = None) -> AsyncIterator[Pair]:
    """Run two replicas; the first has polled."""
    world, clock = busy_world(), clock or ManualClock()
    database = postgres.shared().schema()
    async with AsyncExitStack() as stack:
        proxy = stack.enter_context(tcp_proxy(database.port))
        url = f"{database.at(proxy.port).url}?connect_timeout=2"
        location = Postgres(url, database.schema, DURATION, is_patient=True)
        both = [
            await stack.enter_async_context(
                Harness(world, clock=clock, ledger=location, lease={"duration": DURATION})
            )
            for _ in range(2)
        ]
        for each in both:
            await each.tick()
            await each.poll()
        yield Pair(both[0], both[1], clock, proxy)


async def says(harness: Harness, path: str, code: int) -> bool:
    """Whether an exporter gives this answer."""
    return (await harness.get(path)).status_code == code


async def holds(harness: Harness) -> bool:
    """Whether an exporter owns the ledger."""
    return (await view_of(harness)).ledger.standing == "owner"


async def in_time(
    clock: ManualClock, check: Callable[[], Awaitable[bool]], *, step: float = 1.0
) -> None:
    """Let time pass until an answer is true, since lookers wait by that clock."""

    async def passed() -> bool:
        clock.advance(step)
        return await check()

    await eventually(passed)


async def test_owner_and_standby_say_who_owns_the_ledger_and_since_when() -> None:
    """Both are ready and healthy; only the owner has targets and totals."""
    async with pair() as (owner, standby, _, _):
        ledgers = [(await view_of(each)).ledger for each in (owner, standby)]
        assert [each.standing for each in ledgers] == ["owner", "standby"]
        assert ledgers[0].holder == ledgers[1].holder != ""
        assert [each.held_since for each in ledgers] == [START, START]
        for each in (owner, standby):
            assert await says(each, "/-/ready", 200)
            assert await says(each, "/-/healthy", 200)
        pages = [owner.peek(), standby.peek()]
        assert [page.value("exporter_lease_holder") for page in pages] == [1, 0]
        for name in ("livy_cu_hours_total", "exporter_target_up", "workspace_info"):
            assert [page.has(name) for page in pages] == [True, False]
        assert "Standby:" in (await standby.get("/")).text


async def test_a_standby_that_has_waited_for_long_is_healthy_as_it_takes_over() -> None:
    """It is not restarted because it has polled nothing so far."""
    async with pair() as (owner, standby, clock, _):
        await standby.tick(DURATION / 2)
        await eventually(lambda: says(standby, "/-/healthy", 200))
        await owner.stop()
        await in_time(clock, lambda: holds(standby))
        assert await says(standby, "/-/healthy", 200)
        await standby.tick()
        assert await says(standby, "/-/healthy", 200)
        await standby.poll()
        assert await says(standby, "/-/ready", 200)
        assert standby.peek().has("livy_cu_hours_total")
        owner.start()


async def test_a_replica_whose_lease_nobody_looks_after_is_unhealthy() -> None:
    """It is restarted, also an owner: its polls go on, but nothing would be counted any more."""
    clock = StoppableClock()
    async with pair(clock) as (owner, standby, _, _):
        clock.goes_on.clear()
        try:
            for each in (owner, standby):
                assert await says(each, "/-/healthy", 200)
            clock.advance(2 * DURATION)
            for each in (owner, standby):
                await each.tick()
                await each.poll()
                answer = await each.get("/-/healthy")
                assert answer.status_code == 503
                assert "no attempt to read or renew the lease has ended for " in answer.text
        finally:
            clock.goes_on.set()


async def test_without_the_database_nobody_is_ready_and_all_are_healthy() -> None:
    """After the duration of the lease, also the owner, which goes on with its gauges alone."""
    async with pair() as (owner, standby, clock, proxy):
        proxy.refuse()
        clock.advance(DURATION / 2)
        assert await says(owner, "/-/ready", 200)
        assert await says(standby, "/-/ready", 200)
        clock.advance(DURATION / 2 + 1)
        for each in (owner, standby):
            await each.tick()
            await each.poll()
            answer = await each.get("/-/ready")
            assert answer.status_code == 503
            assert "lease.duration" in answer.text
            await eventually(lambda each=each: says(each, "/-/healthy", 200))  # type: ignore[misc]
        assert (await view_of(owner)).ledger.standing == "expired"
        page = owner.peek()
        assert page.value("exporter_lease_holder") == 0
        assert page.has("livy_sessions")
        assert not page.has("livy_cu_hours_total")
        proxy.resume()
        await in_time(clock, lambda: says(standby, "/-/ready", 200))


async def test_an_owner_of_two_terms_counts_nothing_by_what_it_remembers_of_the_first() -> None:
    """Another one may have counted in between; it begins anew with the next second."""

    async def is_up() -> bool:
        await owner.poll("livy_sessions")
        return set(owner.peek().values("exporter_target_up", **LIVY).values()) == {1}

    async with pair() as (owner, standby, clock, _):
        await standby.stop()
        assert await is_up()
        assert isinstance(owner.ledger, Postgres)
        with psycopg.connect(owner.ledger.url) as connection:
            for change in ("shard SET revision = 1", "lease SET holder = NULL, beat = beat + 1"):
                connection.execute(f"UPDATE {owner.ledger.schema}.{change}")
        owner.world.put_session(session("new", 1))
        assert not await is_up()
        await in_time(clock, lambda: holds(owner), step=DURATION / 6)
        await owner.poll("session_clusters")
        assert owner.peek().value("exporter_ledger_up") == 1
        assert not await is_up()
        await owner.tick()
        assert await is_up()


async def test_a_replica_that_has_lost_the_ledger_reads_no_history_to_its_end() -> None:
    """The next owner reads it: the service is asked once, also where a scan takes minutes."""
    released = asyncio.Event()
    async with pair() as (owner, _, clock, _):
        for number in range(450):
            old = session(f"old-{number}", 1, age=9000 + number, state="terminated")
            owner.world.put_session(old)
        held = owner.cloud.faults.add(Hold(released), action=LIVY_CALL, compute_id=GATEWAY, page=2)
        targets = owner.exporter.targets
        schedule = Schedule(
            targets.run,
            targets.verify,
            poll_interval=3600,
            discovery_interval=3600,
            on_skip=lambda _: None,
            on_late=lambda _: None,
            clock=SystemClock(),
        )
        targets.run_on(schedule)
        schedule.start(owner.exporter.tick)

        async def is_held() -> bool:
            return owner.cloud.faults.struck(held) > 0

        async def stands_by() -> bool:
            return (await view_of(owner)).ledger.standing == "standby" and not targets.jobs

        await eventually(is_held)
        assert isinstance(owner.ledger, Postgres)
        with psycopg.connect(owner.ledger.url) as connection:
            lease = f"{owner.ledger.schema}.lease"
            connection.execute(f"UPDATE {lease} SET holder = 'another', epoch = epoch + 1".encode())
        clock.advance(DURATION / 6)  # once: it could take over again
        await eventually(stands_by)
        calls = len(owner.cloud.calls)
        released.set()
        await schedule.stop(5.0)
        assert len(owner.cloud.calls) == calls


async def test_the_page_of_an_owner_keeps_its_gauges_while_its_trust_runs_out() -> None:
    """The totals go before they must; no scrape in between finds a page without gauges."""
    async with pair() as (owner, _, clock, proxy):
        proxy.refuse()
        clock.advance(DURATION * 2 / 3 - 2)
        await owner.poll()
        assert owner.peek().has("livy_sessions")
        await owner.tick()
        assert not owner.peek().has("livy_cu_hours_total")
        clock.advance(3)
        answer = owner.exporter.answers.answer(Form(PageFormat.TEXT, is_gzipped=False))
        page = Page.from_text(answer.read().decode())
        assert page.has("livy_sessions")
        assert not page.has("livy_cu_hours_total")


async def test_a_process_that_was_stopped_answers_without_totals_at_once() -> None:
    """Another replica may have taken over: already the first answer after it goes on knows."""
    async with pair() as (owner, _, clock, proxy):
        assert owner.peek().has("livy_cu_hours_total")
        proxy.refuse()
        clock.advance(DURATION)
        answer = owner.exporter.answers.answer(Form(PageFormat.TEXT, is_gzipped=False))
        assert not Page.from_text(answer.read().decode()).has("livy_cu_hours_total")


async def test_an_owner_whose_trust_has_run_out_polls_at_half_its_rate() -> None:
    """Another replica may poll meanwhile; once the lease is renewed, it polls as before."""

    async def polls(harness: Harness, times: int) -> float:
        """Let every target be due so often; return how often they were polled."""
        before = sum(harness.peek().values("exporter_polls_total", "source").values())
        targets = harness.exporter.targets
        for _ in range(times):
            for target in targets.jobs:
                await targets.run(target)
        return sum(harness.peek().values("exporter_polls_total", "source").values()) - before

    async with pair() as (owner, standby, clock, proxy):
        await standby.stop()  # it might take over as soon as the database answers
        usual = await polls(owner, 4)
        proxy.refuse()
        clock.advance(DURATION)
        await owner.tick()
        assert await polls(owner, 4) == usual / 2 > 0
        proxy.resume()
        # A renewal that has failed is repeated after a sixth of the duration.
        await in_time(clock, lambda: holds(owner), step=DURATION / 60)
        await owner.tick()
        assert await polls(owner, 4) == usual


def test_an_owner_gives_a_renewal_without_an_answer_up_in_time_for_another_one() -> None:
    """As where a firewall has forgotten the connection: over a new one the lease is renewed."""
    database, clock, duration = postgres.shared().schema(), ManualClock(), 3.0
    with tcp_proxy(database.port) as proxy:
        location = Postgres(database.at(proxy.port).url, database.schema, duration)
        with closing(Ledger(location, clock=clock)) as ledger:
            proxy.hang()
            clock.advance(duration / 6)
            begun_at = time.monotonic()
            ledger.tend()
            assert time.monotonic() - begun_at < WAIT_SECONDS / 2
            ownership = ledger.ownership()
            assert ownership
            assert "no answer within 1 s" in ownership.failure
            proxy.resume()
            clock.advance(duration / 3)
            ledger.tend()
            ownership = ledger.ownership()
            assert ownership
            assert (ownership.standing, ownership.failure) == (Standing.OWNER, "")


def test_replicas_report_at_once_also_where_transactions_are_serializable() -> None:
    """By a default of the role; none of them fails because of another one."""
    database, server = postgres.shared().schema(), postgres.shared()
    server.execute(f"ALTER ROLE {database.role} SET default_transaction_isolation = 'serializable'")
    first, second = (
        LeaseTable(
            Statements(database.schema),
            partial(connect, database.url),
            clock=ManualClock(),
            longest_wait=WAIT_SECONDS,
        )
        for _ in range(2)
    )
    waiting = (
        "SELECT count(*) = 1 FROM pg_stat_activity"
        f" WHERE wait_event_type = 'Lock' AND usename = '{database.role}'"
    )
    with closing(first), closing(second), ThreadPoolExecutor(1) as threads:
        first.open()
        second.open()
        first.report("first", "same", 60)
        with psycopg.connect(server.superuser_url) as other:
            other.execute(f"SELECT FROM {database.schema}.replica FOR UPDATE".encode())
            reported = threads.submit(first.report, "first", "same", 60)
            wait_until(lambda: server.execute(waiting) == [(True,)], "the first replica waits")
            assert second.report("second", "another", 60)
        assert reported.result()
