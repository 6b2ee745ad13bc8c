"""The client against the simulated cloud, which checks signatures and parameters strictly."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import httpx
import pytest

from exporter.api import (
    PAGE_SIZE,
    Client,
    Credential,
    scan_pages,
    scan_tokens,
)
from exporter.clock import SystemClock
from exporter.demo import (
    DEMO_KEY_ID,
    DEMO_KEY_SECRET,
    SENTINELS,
    Behaviour,
    Cloud,
    HistoryOrder,
    LastToken,
    PastEnd,
    SimulatedCluster,
    SimulatedGateway,
    SimulatedSession,
    SimulatedWorkspace,
    TokenStyle,
    TotalCount,
    World,
    faults,
    serve,
)
from exporter.errors import ClockSkewError, CredentialError, MalformedError, PollError, ServerError
from exporter.model import LivySession, SessionCluster
from tests.support.api_clients import client_of
from tests.support.harness import NO_TLS

T = TypeVar("T")

WORKSPACE, GATEWAY = "w-1", "lc-1"


class Impatient(SystemClock):
    """The machine's clocks, with waits left out."""

    async def sleep(self, seconds: float) -> None:
        """Let others run, and wait no longer."""
        assert seconds >= 0
        await asyncio.sleep(0)


@dataclass
class Bench:
    """A cloud with some rows in it, and a client of it."""

    clusters: int = 3
    sessions: int = 3
    order: HistoryOrder = HistoryOrder.NEWEST_FIRST
    behaviour: Behaviour = field(default_factory=Behaviour)
    secret: str = DEMO_KEY_SECRET
    cloud_is_ahead: float = 0.0
    in_process: bool = False
    """Call the cloud without a socket, where many cases count more than the wire."""

    def __post_init__(self) -> None:
        world = World(order=self.order)
        world.put_workspace(SimulatedWorkspace(WORKSPACE))
        world.put_gateway(SimulatedGateway(WORKSPACE, GATEWAY))
        for number in range(self.clusters):
            world.put_cluster(SimulatedCluster(WORKSPACE, f"sc-{number:04}"))
        for number in range(self.sessions):
            world.put_session(
                SimulatedSession(WORKSPACE, GATEWAY, f"livy-{number:04}", 10**12 + number)
            )
        self.world = world
        self.cloud = Cloud(
            world,
            clock=lambda: time.time() + self.cloud_is_ahead,
            access_keys={DEMO_KEY_ID: DEMO_KEY_SECRET},
            behaviour=self.behaviour,
        )

    def ask(self, call: Callable[[Client], Awaitable[T]]) -> T:
        """Make calls while the cloud is served."""

        async def run() -> T:
            if self.in_process:
                transport = httpx.ASGITransport(app=self.cloud.app)
                async with httpx.AsyncClient(transport=transport) as http:
                    return await call(self._client(http, "http://127.0.0.1:80"))
            async with serve(self.cloud.app) as url, httpx.AsyncClient(verify=NO_TLS) as http:
                return await call(self._client(http, url))

        return asyncio.run(run())

    def _client(self, http: httpx.AsyncClient, url: str) -> Client:
        credential = Credential(DEMO_KEY_ID, self.secret)
        return client_of(http, url, Impatient(), credential=credential)


async def list_clusters(client: Client) -> tuple[SessionCluster, ...]:
    """Read all session clusters."""
    return await scan_tokens(
        lambda token: client.session_clusters_page(WORKSPACE, token),
        lambda row: row.session_cluster_id,
    )


async def list_sessions(client: Client) -> tuple[LivySession, ...]:
    """Read all Livy sessions."""
    return await scan_pages(
        lambda number: client.livy_sessions_page(WORKSPACE, GATEWAY, number),
        PAGE_SIZE,
        lambda row: (row.session_id, row.created_ms),
    )


@pytest.mark.parametrize("count", [0, 1, 100, 250])
@pytest.mark.parametrize("last_token", LastToken)
@pytest.mark.parametrize("style", TokenStyle)
@pytest.mark.parametrize("total_count", [TotalCount.PRESENT, TotalCount.NON_NUMERIC])
def test_all_clusters(
    count: int, last_token: LastToken, style: TokenStyle, total_count: TotalCount
) -> None:
    """Every cluster comes once, however the service marks its last page."""
    behaviour = Behaviour(last_token=last_token, token_style=style, total_count=total_count)

    listing = Bench(clusters=count, behaviour=behaviour, in_process=True).ask(list_clusters)

    assert len({row.session_cluster_id for row in listing}) == count
    assert len(listing) == count


@pytest.mark.parametrize("count", [0, 1, 100, 200, 250])
@pytest.mark.parametrize("order", HistoryOrder)
@pytest.mark.parametrize("past_end", PastEnd)
def test_all_sessions(count: int, order: HistoryOrder, past_end: PastEnd) -> None:
    """Every session comes once, in any order, whatever lies past the end."""
    behaviour = Behaviour(past_end=past_end)
    bench = Bench(sessions=count, order=order, behaviour=behaviour, in_process=True)

    listing = bench.ask(list_sessions)

    assert {row.session_id for row in listing} == {f"livy-{number:04}" for number in range(count)}
    assert len(listing) == count


def test_discovery() -> None:
    """Workspaces and gateways are found."""

    async def discover(client: Client) -> tuple[str, str]:
        page = await client.workspaces_page()
        gateways = await client.gateways(page.records[0].workspace_id)
        return page.records[0].workspace_id, gateways[0].livy_compute_id

    assert Bench().ask(discover) == (WORKSPACE, GATEWAY)


@pytest.mark.parametrize(
    "effect",
    [
        faults.THROTTLED,
        faults.THROTTLED_429,
        faults.UNAVAILABLE,
        faults.INTERNAL_ERROR,
        faults.NONCE_USED,
        faults.HTML,
    ],
    ids=repr,
)
def test_a_passing_fault_costs_nothing(effect: faults.Effect) -> None:
    """A fault that strikes once is overcome by another attempt, with a nonce of its own."""
    bench = Bench(sessions=250)
    bench.cloud.faults.add(effect, times=1, page=2)

    assert len(bench.ask(list_sessions)) == 250


@pytest.mark.parametrize(
    ("effect", "kind"),
    [
        (faults.HTML_200, MalformedError),
        (faults.EMPTY, MalformedError),
        (faults.NULL, MalformedError),
        (faults.LIST, MalformedError),
        (faults.deeply_nested(50_000), MalformedError),
        (faults.CLOCK, ClockSkewError),
        (faults.EXPIRED_TOKEN, CredentialError),
        (faults.redirect("http://127.0.0.1:1/"), ServerError),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_lasting_fault_is_our_error(effect: faults.Effect, kind: type[PollError]) -> None:
    """What stays wrong is an error of its kind, not half a listing."""
    bench = Bench(sessions=250)
    bench.cloud.faults.add(effect, page=2)

    with pytest.raises(kind):
        bench.ask(list_sessions)


def test_a_wrong_secret_is_refused_without_a_trace() -> None:
    """The service echoes key and signed text; nothing of either is in our error."""
    with pytest.raises(CredentialError) as caught:
        Bench(secret="wrong-sentinel").ask(list_clusters)

    shown = str(caught.value) + caught.value.advice
    assert not any(secret in shown for secret in (*SENTINELS, "wrong-sentinel", DEMO_KEY_ID))


def test_a_wrong_clock_is_reported() -> None:
    """The error says how far this clock is from the service's."""
    with pytest.raises(ClockSkewError, match=r"this machine.s clock is \d+ s behind the service.s"):
        Bench(cloud_is_ahead=5000).ask(list_clusters)


def test_no_planted_secret_comes_through() -> None:
    """Neither tokens nor configurations are in what is read."""

    async def read(client: Client) -> str:
        return repr((await list_clusters(client), await list_sessions(client)))

    shown = Bench().ask(read)

    assert "sc-0000" in shown
    assert "livy-0000" in shown
    assert not any(secret in shown for secret in SENTINELS)
