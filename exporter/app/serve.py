"""The daemons, and the command that polls once: from settings to what they return."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exporter.api import Credential, StaticCredentials
from exporter.app import progress
from exporter.app.build import Exporter, build
from exporter.app.demo_ledger import demo_ledger
from exporter.app.life import run_until_signalled
from exporter.app.notify import Notifier
from exporter.app.outbound_http import open_http, open_loopback_http
from exporter.app.plan import ledger_location
from exporter.app.threads import run
from exporter.clock import SystemClock
from exporter.exposition import Form, PageFormat
from exporter.settings import Settings

_DEMO_POLL_SECONDS = 5.0
_DEMO_HOLD_SECONDS = 20.0
"""Longer than Prometheus' usual scrape interval of 15 s, which a demo has to be good for too."""


@dataclass(frozen=True, slots=True)
class DemoAccess:
    """Where the demo serves, and what other commands need to call its simulated cloud."""

    url: str
    endpoint: str
    region_id: str
    access_key_id: str
    access_key_secret: str
    ledger_path: Path


@dataclass(frozen=True, slots=True)
class OncePage:
    """The metrics after one poll of every target."""

    text: bytes
    is_complete: bool
    """Whether every poll and discovery succeeded."""


def serve(settings: Settings) -> None:
    """Run the daemon until a signal ends it."""
    run(_serve(settings))


def demo(settings: Settings, announce: Callable[[DemoAccess], None]) -> None:
    """Run the daemon on an embedded simulated cloud until a signal ends it.

    `announce` is called when it serves.
    """
    run(_demo(settings, announce))


def once(settings: Settings) -> OncePage:
    """Poll every target once.

    The page shows the true totals: nothing is held back, as there is no series of scrapes.
    """
    return run(_once(settings))


async def _serve(settings: Settings) -> None:
    async with open_http() as http:
        exporter = build(
            settings,
            clock=SystemClock(),
            http=http,
            ledger_location=ledger_location(settings, is_patient=True),
            birth_hold=settings.ledger.birth_hold,
            web_config=settings.web.config.file,
        )
        await _live(exporter)


async def _demo(settings: Settings, announce: Callable[[DemoAccess], None]) -> None:
    # Late: only this command needs the simulated cloud.
    from exporter.demo import start_demo  # noqa: PLC0415

    async with start_demo(speed=settings.demo.speed) as cloud, open_loopback_http() as http:
        api = settings.api.model_copy(update={"endpoint": cloud.endpoint})
        # Without workspaces and gateways: the demo shows discovery too.
        unnamed = {"targets": (), "workspace_ids": (), "livy_compute_ids": ()}
        update = {"region_id": cloud.region_id, "api": api, **unnamed}
        simulated = _hastened(settings).model_copy(update=update)
        credential = Credential(cloud.access_key_id, cloud.access_key_secret, "", "demo")
        with demo_ledger() as ledger_path:
            exporter = build(
                simulated,
                clock=SystemClock(),
                http=http,
                credentials=lambda _role_arn: StaticCredentials(credential),
                # The simulated cloud is new at each start, and so are its counters.
                ledger_location=ledger_path,
                birth_hold=simulated.ledger.birth_hold,
                web_config=settings.web.config.file,
            )
            access = partial(
                DemoAccess,
                endpoint=cloud.endpoint,
                region_id=cloud.region_id,
                access_key_id=cloud.guest_key_id,
                access_key_secret=cloud.guest_key_secret,
                ledger_path=ledger_path,
            )
            await _live(exporter, lambda url: announce(access(url)))


async def _live(exporter: Exporter, announce: Callable[[str], None] = lambda _: None) -> None:
    notifier = Notifier.from_environment(os.environ)
    with closing(exporter.ledger), progress.watching(exporter.snapshots, sys.stderr):
        await run_until_signalled(exporter, notifier, announce)


def _hastened(settings: Settings) -> Settings:
    """Shorten the waits that are not set, so that a viewer of the demo sees changes."""
    update: dict[str, object] = {}
    if "interval" not in settings.poll.model_fields_set:
        update["poll"] = settings.poll.model_copy(update={"interval": _DEMO_POLL_SECONDS})
    if "birth_hold" not in settings.ledger.model_fields_set:
        update["ledger"] = settings.ledger.model_copy(update={"birth_hold": _DEMO_HOLD_SECONDS})
    return settings.model_copy(update=update)


async def _once(settings: Settings) -> OncePage:
    async with open_http() as http:
        exporter = build(
            settings,
            clock=SystemClock(),
            http=http,
            ledger_location=ledger_location(settings) if settings.ledger.is_given else None,
            birth_hold=0.0,
        )
        with closing(exporter.ledger):
            with progress.watching(exporter.snapshots, sys.stderr):
                await poll_all(exporter)
            exporter.answers.catch_up()
            answer = exporter.answers.answer(Form(PageFormat.TEXT, is_gzipped=False))
    snapshot = answer.page.snapshot
    ups = [view.up for view in snapshot.targets.values()]
    ups += [view.up for view in snapshot.discoveries.values()]
    return OncePage(answer.read(), is_complete=all(ups))


async def poll_all(exporter: Exporter) -> None:
    """Discover what there is, and poll all of it once."""
    await exporter.targets.discover_all()
    await asyncio.gather(*map(exporter.targets.run, exporter.targets.jobs))
