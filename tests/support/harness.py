"""The exporter in the test's own process, against a simulated cloud over real HTTP.

Fake at the wire, assert at the page:

    async with Harness(world) as h:
        await h.poll()
        page = await h.page()
        assert page.value("livy_cu_hours_total", queue="q") == 12.5

Nothing runs by itself: a test polls, ticks, scrapes and moves the clock in an order of its own.
"""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

import httpx

from exporter.api import Credential, CredentialSource, StaticCredentials
from exporter.app.build import Exporter, build
from exporter.app.web_app import web_app
from exporter.demo import DEMO_KEY_ID, DEMO_KEY_SECRET, Behaviour, Cloud, World, serve
from exporter.exposition import Form, PageFormat
from exporter.ledger.location import Location
from exporter.settings import Settings
from tests.support.pages import Page

START = 1_780_000_000.0
"""When the time of tests begins: seconds since 1970-01-01 UTC."""

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak plain HTTP: to read the machine's certificates takes 50 ms each time."""

PROMETHEUS = {"X-Prometheus-Scrape-Timeout-Seconds": "10"}
"""What tells a scrape of Prometheus from other readers."""


class ManualClock:
    """A clock that goes on when it is told to, or when somebody waits on it."""

    def __init__(self, start: float = START) -> None:
        self._wall = start
        self._monotonic = 1000.0

    def now(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        return self._wall

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start."""
        return self._monotonic

    def boottime(self) -> float:
        """Return the same: this machine never sleeps."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Let the time pass, and others run, without waiting."""
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._wall += seconds
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forth or back, as an operator or NTP does."""
        self._wall += seconds


class Harness:
    """An exporter of everything in a world, that polls and is scraped on command.

    `settings` are given in the shape of the YAML file: `Harness(world, poll={"interval": 5})`.
    Targets are all workspaces and gateways of the world as it is at the start, or what
    `targets` says; `targets=[]` with a `region_id` leaves them to `discover`. The ledger is in
    memory where it has no location; at a `birth_hold` of 0 no increase is held back. What else is
    set of the ledger is its `forget_after`.
    """

    def __init__(
        self,
        world: World,
        *,
        clock: ManualClock | None = None,
        behaviour: Behaviour | None = None,
        ledger: Location = None,
        birth_hold: float = 0.0,
        forget_after: float = 400 * 86400.0,
        credentials: CredentialSource | None = None,
        **settings: Any,  # noqa: ANN401  as the schema says
    ) -> None:
        self.world = world
        self.clock = clock or ManualClock()
        self.access_keys = {DEMO_KEY_ID: DEMO_KEY_SECRET}
        self.security_tokens: dict[str, str] = {}
        """What the cloud admits: secrets and tokens by key id; a test may change them."""
        self.cloud = Cloud(
            world,
            clock=self.clock.now,
            access_keys=self.access_keys,
            security_tokens=self.security_tokens,
            behaviour=behaviour or Behaviour(),
        )
        self.exporter: Exporter
        self._credentials = credentials or StaticCredentials(
            Credential(DEMO_KEY_ID, DEMO_KEY_SECRET, "", "test")
        )
        self.ledger = ledger
        self._birth_hold = birth_hold
        self._forget_after = forget_after
        self._settings = settings
        self._stack = AsyncExitStack()
        self._endpoint = ""
        self._http: httpx.AsyncClient
        self.reader: httpx.AsyncClient
        """Reads the web server of the exporter, when all is rendered."""

    async def __aenter__(self) -> Self:
        """Serve the cloud and build the exporter; nothing is polled yet."""
        self._endpoint = await self._stack.enter_async_context(serve(self.cloud.app))
        self._http = await self._stack.enter_async_context(httpx.AsyncClient(verify=NO_TLS))
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop in the order of the daemon."""
        await self.stop()
        await self._stack.aclose()

    async def stop(self) -> None:
        """End the exporter; the cloud goes on."""
        self.exporter.ledger.close()
        await self.reader.aclose()

    async def restart(self) -> None:
        """End the exporter and start another one on the same ledger, as yet without a poll."""
        await self.stop()
        self.start()

    async def discover(self) -> None:
        """Read every scope that the settings leave to discovery, once."""
        await self.exporter.targets.discover_all()

    async def poll(self, source: str | None = None) -> None:
        """Poll every target once, one after the other; or only those of a source."""
        for job in [*self.exporter.targets.jobs.values()]:
            if source in {None, job.source.target.source.value}:
                await self.exporter.polling.poll(job.source, job.requests)

    async def discover_and_poll(self) -> None:
        """Discover everything, then poll all that was found."""
        await self.discover()
        await self.poll()

    async def tick(self, seconds: float = 0.0) -> None:
        """Let time pass, then do what is due by time alone, as the daemon does every second."""
        self.clock.advance(seconds)
        await self.exporter.tick()

    async def page(self) -> Page:
        """Scrape as Prometheus does."""
        response = await self.get("/metrics", PROMETHEUS)
        return Page.from_text(response.text)

    def peek(self) -> Page:
        """Look at the page without being a scrape."""
        self.exporter.answers.catch_up()
        answer = self.exporter.answers.answer(Form(PageFormat.TEXT, is_gzipped=False))
        return Page.from_text(answer.read().decode())

    async def get(
        self, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET"
    ) -> httpx.Response:
        """Send a request to the exporter's own web server."""
        return await self.reader.request(method, path, headers=headers)

    def start(self) -> None:
        """Build the exporter and its web server; nothing is polled yet."""
        settings = Settings(**self._given())
        self.exporter = build(
            settings,
            clock=self.clock,
            http=self._http,
            credentials=lambda _role_arn: self._credentials,
            ledger_location=self.ledger,
            birth_hold=self._birth_hold,
            web_config=settings.web.config.file,
        )
        self.site = web_app(self.exporter)
        self.reader = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.site),
            base_url="http://exporter",
            verify=NO_TLS,
            event_hooks={"request": [self._render]},
        )

    async def _render(self, _: httpx.Request) -> None:
        self.exporter.answers.catch_up()

    def _given(self) -> dict[str, Any]:
        given = self._settings.get("api", {})
        # A manual clock moves when a request waits for its turn; at this rate hardly any does.
        api = {"endpoint": self._endpoint, "max_requests_per_second": 1000, **given}
        kept = {"ledger": {"forget_after": self._forget_after}, "api": api}
        return {"targets": targets_of(self.world), **self._settings, **kept}


def targets_of(world: World) -> list[dict[str, Any]]:
    """Return the setting `targets` for everything in a world."""
    return [
        {
            "region_id": row.region_id,
            "workspace_id": row.workspace_id,
            "livy_compute_ids": [each.compute_id for each in world.gateways(row.workspace_id)],
        }
        for row in world.workspaces()
    ]
