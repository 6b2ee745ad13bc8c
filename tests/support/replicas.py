"""Replicas on one ledger, each with a way of its own to the database, and a reader of their pages.

async with replicas(folder, database) as fleet:
    await fleet.kill(await fleet.owner())
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

import httpx
import psycopg

from exporter.cli import main
from exporter.demo import (
    DEMO_KEY_ID,
    DEMO_KEY_SECRET,
    Cloud,
    HistoryOrder,
    SessionKey,
    SimulatedSession,
    World,
    serve,
)
from tests.support.forked import fork
from tests.support.harness import NO_TLS, targets_of
from tests.support.killed_exporter import Life, Reader, true_totals
from tests.support.pages import Page
from tests.support.postgres import Cluster, Database
from tests.support.processes import CREDENTIAL, EXPORTER, Process, free_port
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.worlds import used

DURATION = 10.0
"""The shortest `lease.duration` that is allowed, in seconds."""

SPEED = 15.0
"""So an estimate stands for 40 s before it is revised: what was delivered to an owner that could
not write it down is delivered to the next one, too."""

NAMES = ("a", "b", "c")
_OPEN = """SELECT count(*) FROM pg_stat_activity
    WHERE usename = current_user AND state LIKE 'idle in transaction%'
    AND state_change < now() - interval '1 second'"""

LIVY = "livy_cu_hours_total"


@dataclass(eq=False)
class Replica:
    """One exporter, over all its lives."""

    name: str
    port: int
    proxy: TcpProxy
    main: Callable[[], int]
    arguments: Sequence[str]
    folder: Path
    process: Process | None = None
    lives: int = 0
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        """Begin a life; it may be one of many."""
        self.lives += 1
        place = self.folder / f"{self.name}{self.lives}"
        self.process = await self._stack.enter_async_context(
            fork(self.main, self.arguments, place, CREDENTIAL)
        )

    def send(self, number: Signals) -> None:
        """Send a signal to a process that must not have ended by itself."""
        assert self.process is not None
        assert self.process.running.returncode is None, self.process.output.decode()
        self.process.running.send_signal(number)

    async def end(self, number: Signals) -> None:
        """Send a signal that ends the process, and wait until it has."""
        self.send(number)
        assert self.process is not None
        await self.process.running.wait()

    async def close(self) -> None:
        """End everything."""
        await self._stack.aclose()


@dataclass
class Watch:
    """Reads the pages of all replicas close together, again and again, and judges them.

    Within one reading the ledger may pass from one replica to another, so that both have shown
    its counters: then the first one never shows them again, and the other one did not before.
    """

    readers: Mapping[str, Reader]
    faults: list[str] = field(default_factory=list)
    readings: int = 0
    shown_at: float = float("-inf")
    """When counters were last on any page (monotonic seconds)."""
    away: list[float] = field(default_factory=list)
    """For how long they were not, each time that they were not, in seconds."""
    _last_sole: str = ""
    _pending: str | None = None
    _had_two_holders: bool = False

    @property
    def owner(self) -> str:
        """The only replica that shows counters, or `""`."""
        showing = self._showing()
        return showing[0] if len(showing) == 1 else ""

    @property
    def page(self) -> Page | None:
        """The page of the owner."""
        return self.readers[self.owner].page if self.owner else None

    def polled_at(self) -> float:
        """Return when every target was last polled completely."""
        return self.readers[self.owner].polled_at() if self.owner else 0.0

    async def read_on(self) -> None:
        """Read until cancelled."""
        async with httpx.AsyncClient(timeout=1, verify=NO_TLS) as http:
            while True:
                await asyncio.gather(*(reader.read(http) for reader in self.readers.values()))
                self._judge()
                await asyncio.sleep(0.1)

    def _showing(self) -> list[str]:
        return [
            name
            for name, reader in self.readers.items()
            if reader.page is not None and reader.page.has(LIVY)
        ]

    def _judge(self) -> None:
        self.readings += 1
        showing = self._showing()
        if len(showing) > 1:
            if self._pending is not None:
                self.faults.append(f"counters stay on the pages of {showing}")
            self._pending = self._last_sole
        elif showing:
            if self._pending == showing[0]:
                self.faults.append(f"beside {showing[0]}, another one showed counters once more")
            self._pending, self._last_sole = None, showing[0]
        self._note_presence(is_shown=bool(showing))
        holders = [name for name in self.readers if self._holds(name)]
        if len(holders) > 1 and self._had_two_holders:
            self.faults.append(f"{holders} say that they hold the lease")
        self._had_two_holders = len(holders) > 1

    def _note_presence(self, *, is_shown: bool) -> None:
        now = time.monotonic()
        if is_shown:
            if now - self.shown_at > 0.5 and self.shown_at > 0:
                self.away.append(now - self.shown_at)
            self.shown_at = now

    def _holds(self, name: str) -> bool:
        page = self.readers[name].page
        holder = "exporter_lease_holder"
        return page is not None and page.has(holder) and page.value(holder) == 1


class Fleet:
    """Three replicas, and what may happen to them."""

    def __init__(
        self,
        folder: Path,
        members: Sequence[Replica],
        watch: Watch,
        cloud: Cloud,
        life: Life,
        database: Database,
        reconcile: Sequence[str],
    ) -> None:
        self.folder = folder
        self.members = {each.name: each for each in members}
        self.watch = watch
        self.cloud = cloud
        self.life = life
        self.database = database
        self.reconcile = reconcile

    @property
    def addresses(self) -> list[str]:
        """The addresses to scrape."""
        return [f"127.0.0.1:{each.port}" for each in self.members.values()]

    async def until(self, condition: Callable[[], bool], what: str, *, seconds: float) -> float:
        """Wait for what the reader sees; return how long it took."""
        begin = time.monotonic()
        while not condition():
            if time.monotonic() - begin > seconds:
                raise AssertionError(f"not so after {seconds:g} s: {what}\n{self._said()}")
            await asyncio.sleep(0.02)
        return time.monotonic() - begin

    async def owner(self) -> Replica:
        """Wait until one replica shows counters, and return it."""
        await self.until(lambda: self.watch.owner != "", "somebody owns the ledger", seconds=45)
        return self.members[self.watch.owner]

    async def next_owner(self, before: Replica) -> float:
        """Wait until another replica shows counters; return how long it took."""
        return await self.until(
            lambda: self.watch.owner not in {"", before.name},
            f"another one than {before.name} owns the ledger",
            seconds=45,
        )

    async def pause(self) -> None:
        """Stop the owner's process until another one has taken over, and let it go on."""
        owner = await self.owner()
        owner.send(SIGSTOP)
        try:
            await self.next_owner(owner)
        finally:
            owner.send(SIGCONT)

    async def kill(self) -> float:
        """Kill the owner, and start it again when another one has taken over."""
        return await self._end_owner(SIGKILL)

    async def stop(self) -> float:
        """Stop the owner as an update does, and start it again; return the time in between."""
        return await self._end_owner(SIGTERM)

    async def _end_owner(self, number: Signals) -> float:
        owner = await self.owner()
        begin = time.monotonic()
        await owner.end(number)
        await self.next_owner(owner)
        seconds = time.monotonic() - begin
        await owner.start()
        return seconds

    async def roll(self) -> None:
        """Stop each replica as an update does, and start it again before the next."""
        for each in self.members.values():
            await each.end(SIGTERM)
            await each.start()
            await self.all_stand()
            await self.owner()

    async def cut(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Let nothing through between the owner and the database; then all that has waited."""
        owner = await self.owner()
        owner.proxy.hang(to_server=to_server, to_client=to_client)
        await self._reconnect(owner)

    async def pause_writer(self) -> None:
        """Pause the owner while it writes; the first of that arrives when others have gone on.

        Then the owner goes on, too, within its transaction.
        """
        owner = await self.owner()
        late = self._begin_session()
        await self.polls_all()
        polled_at = self.watch.polled_at()
        # Not while a poll is under way, which has read the figures of before.
        await self.until(lambda: self.watch.polled_at() > polled_at, "a poll ended", seconds=45)
        self._burn(late)
        owner.proxy.hang_at(late.session_id.encode(), b"BEGIN ISOLATION")
        await self.until(lambda: owner.proxy.is_held, "the session is written", seconds=45)
        owner.send(SIGSTOP)
        try:
            await self.next_owner(owner)
            await self.polls_all()
            self._burn(late)
            await self.polls_all()
            owner.proxy.resume()
            await self.until(self._is_written, "the write arrived", seconds=45)
        finally:
            owner.proxy.resume()
            owner.send(SIGCONT)
        await self.until(lambda: self._stands_by(owner), f"{owner.name} stands by", seconds=45)
        self._burn(late)

    def _is_written(self) -> bool:
        """Whether a transaction is open whose client is paused: it said nothing for a second."""
        with psycopg.connect(self.database.url) as connection:
            [(count,)] = connection.execute(_OPEN).fetchall()
            return bool(count)

    def _begin_session(self) -> SessionKey:
        gateway = self.cloud.world.gateways()[0]
        now = int(time.time() * 1000)
        row = SimulatedSession(*gateway.key, f"late-{now}", now, queue=gateway.queue, usage=used(1))
        self.cloud.world.put_session(row)
        return row.key

    def _burn(self, session: SessionKey) -> None:
        before = self.cloud.world.session(session).usage
        self.cloud.world.revise(session, before + used(1))

    def _stands_by(self, replica: Replica) -> bool:
        page = self.watch.readers[replica.name].page
        return page is not None and not page.has("exporter_target_up")

    async def fail_over(self, cluster: Cluster, standby: Cluster, lag: float) -> None:
        """Let a standby take over that lacks what was committed in the last seconds."""
        await asyncio.to_thread(standby.catch_up, cluster)
        await asyncio.to_thread(standby.detach)
        await asyncio.sleep(lag)
        await asyncio.to_thread(cluster.stop)
        await asyncio.to_thread(standby.promote)
        self.database = self.database.at(standby.port)
        for each in self.members.values():
            each.proxy.lead_to(standby.port)

    async def all_stand(self) -> None:
        """Wait until every replica answers, and is the owner or stands by."""
        await self.until(
            lambda: all(
                self._stands_by(each) or each.name == self.watch.owner
                for each in self.members.values()
            ),
            "all replicas are there",
            seconds=60,
        )

    async def _reconnect(self, owner: Replica) -> None:
        try:
            await self.next_owner(owner)
            await self.polls_all()
        finally:
            owner.proxy.resume()

    async def polls_all(self) -> None:
        """Wait until an owner has polled everything, from now on."""
        now = time.time()
        await self.until(
            lambda: self.watch.polled_at() > now + 1, "everything was polled", seconds=45
        )

    async def comes_to_rest(self) -> None:
        """Let nothing more happen in the cloud, and wait until all of it is on the page."""
        await self.polls_all()
        self.life.goes_on = False
        await self.polls_all()
        await self.until(self._is_released, "no increase is held", seconds=45)

    def faults(self) -> list[str]:
        """Say what was ever wrong on a page."""
        return [*self.watch.faults, *next(iter(self.watch.readers.values())).falls]

    def problems(self) -> list[str]:
        """Say what was ever wrong on a page, and what is at the end."""
        said = self.faults()
        page = self.watch.page
        if page is None:
            return [*said, "no page has the counters"]
        for name, true in true_totals(self.cloud).items():
            totals: Mapping[tuple[str, ...], float] = dict(true.items())
            label = "proxy_user" if "proxy_user" in name else "queue"
            shown = page.values(name, "workspace_id", "livy_compute_id", label)
            said += [
                f"{name}{labels}: {shown.get(labels)}, not {totals.get(labels)}"
                for labels in sorted({*shown, *totals})
                if shown.get(labels) != totals.get(labels)
            ]
        return said

    def _is_released(self) -> bool:
        page = self.watch.page
        return page is not None and page.value("exporter_ledger_held_series") == 0

    def _said(self) -> str:
        outputs = (
            each.process.output.decode()[-3000:] for each in self.members.values() if each.process
        )
        return "\n---\n".join(outputs)


@asynccontextmanager
async def replicas(
    folder: Path,
    database: Database,
    *,
    seed: int = 1,
    main: Callable[[], int] = main,
    hold: str = "2500ms",
    duration: float = DURATION,
    count: int = 3,
) -> AsyncIterator[Fleet]:
    """Run replicas on a ledger, a cloud in which nothing happens yet, and a reader.

    `main` is the program of each.
    """
    world = World(order=HistoryOrder.NEWEST_FIRST, seed=seed)
    life = Life(world, speed=SPEED)
    life.goes_on = False
    keys = {DEMO_KEY_ID: DEMO_KEY_SECRET}
    cloud = Cloud(world, clock=time.time, access_keys=keys, tick=life.advance)
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(serve(cloud.app))
        common = [
            f"--targets={json.dumps(targets_of(world))}",
            f"--api.endpoint={endpoint}",
            "--api.max-requests-per-second=500",
            f"--ledger.schema={database.schema}",
        ]
        members = []
        for name in NAMES[:count]:
            port, proxy = free_port(), stack.enter_context(tcp_proxy(database.port))
            arguments = [
                "serve",
                *common,
                f"--ledger.url={database.at(proxy.port).url}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--poll.interval=1s",
                f"--ledger.birth-hold={hold}",
                f"--lease.duration={duration:g}s",
            ]
            members.append(Replica(name, port, proxy, main, arguments, folder))
            stack.push_async_callback(members[-1].close)
        way = f"--ledger.url={database.at(members[0].proxy.port).url}"
        reconcile = [*EXPORTER, "reconcile", *common, way]
        fleet = Fleet(folder, members, _watch(members), cloud, life, database, reconcile)
        for each in members:
            await each.start()
        watching = asyncio.create_task(fleet.watch.read_on())
        stack.push_async_callback(_cancel, watching)
        await fleet.owner()
        yield fleet


def _watch(members: Sequence[Replica]) -> Watch:
    """Make a reader whose parts know together what was shown."""
    first = Reader("", {})
    return Watch(
        {
            each.name: Reader(f"http://127.0.0.1:{each.port}", {}, first.highest, falls=first.falls)
            for each in members
        }
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
