"""What the commands do, from settings to exit code."""

import asyncio
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import httpx

from exporter.api import Credential, StaticCredentials, VendorCredentials
from exporter.app.build import Exporter, build
from exporter.app.connections import open_http
from exporter.app.demo_ledger import demo_ledger
from exporter.app.life import run_until_signalled
from exporter.app.notify import Notifier
from exporter.app.progress import progress_on
from exporter.app.threads import run
from exporter.clock import SystemClock
from exporter.errors import UsageError
from exporter.exposition import Form, PageFormat
from exporter.poller import OnWalk
from exporter.settings import Settings

_DEMO_POLL_SECONDS = 5.0
_DEMO_HOLD_SECONDS = 20.0
"""Longer than Prometheus' usual scrape interval of 15 s, which a demo has to be good for too."""


def serve(settings: Settings) -> int:
    """Run the daemon until a signal ends it."""
    with progress_on(sys.stderr) as on_walk:
        return run(_serve(settings, on_walk))


def demo(settings: Settings) -> int:
    """Run the daemon on an embedded simulated cloud until a signal ends it."""
    with progress_on(sys.stderr) as on_walk:
        return run(_demo(settings, on_walk))


def once(settings: Settings, output: Path | None) -> int:
    """Poll every target once and write the page to `output`, or to stdout; 1 if a poll failed.

    The page shows the true totals: nothing is held back, as there is no series of scrapes.
    """
    with progress_on(sys.stderr) as on_walk:
        return run(_once(settings, output, on_walk))


async def _serve(settings: Settings, on_walk: OnWalk) -> int:
    async with open_http() as http:
        exporter = build(
            settings,
            clock=SystemClock(),
            http=http,
            credentials=vendor_credentials,
            ledger_path=settings.ledger.path,
            birth_hold=settings.ledger.birth_hold,
            web_config=settings.web.config.file,
            on_walk=on_walk,
        )
        await run_until_signalled(settings, exporter, Notifier.from_environment(os.environ))
    return 0


async def _demo(settings: Settings, on_walk: OnWalk) -> int:
    # Late: only this command needs the simulated cloud.
    from exporter.demo import start_demo  # noqa: PLC0415

    # To itself it speaks plain HTTP: proxies and certificates of the environment are not its own.
    http = httpx.AsyncClient(trust_env=False)
    async with start_demo(speed=settings.demo.speed) as cloud, http:
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
                # The simulated cloud begins anew each time, and so do its counters.
                ledger_path=ledger_path,
                birth_hold=simulated.ledger.birth_hold,
                web_config=settings.web.config.file,
                on_walk=on_walk,
            )
            invite = partial(_invite, settings.web.telemetry_path)
            await run_until_signalled(
                simulated, exporter, Notifier.from_environment(os.environ), invite
            )
    return 0


def _hastened(settings: Settings) -> Settings:
    """Shorten the waits that nobody asked for, so that something happens while you watch."""
    update: dict[str, object] = {}
    if "interval" not in settings.poll.model_fields_set:
        update["poll"] = settings.poll.model_copy(update={"interval": _DEMO_POLL_SECONDS})
    if "birth_hold" not in settings.ledger.model_fields_set:
        update["ledger"] = settings.ledger.model_copy(update={"birth_hold": _DEMO_HOLD_SECONDS})
    return settings.model_copy(update=update)


def _invite(telemetry_path: str, url: str) -> None:
    sys.stdout.write(f"The simulated cloud runs. Open {url}/ (metrics: {url}{telemetry_path})\n")
    sys.stdout.flush()


async def _once(settings: Settings, output: Path | None, on_walk: OnWalk) -> int:
    async with open_http() as http:
        exporter = build(
            settings,
            clock=SystemClock(),
            http=http,
            credentials=vendor_credentials,
            ledger_path=settings.ledger.path if settings.ledger.is_given else None,
            birth_hold=0.0,
            on_walk=on_walk,
        )
        await poll_all(exporter)
        exporter.answers.catch_up()
        answer = exporter.answers.answer(Form(PageFormat.TEXT, is_gzipped=False))
        exporter.ledger.close()
        _write(answer.read(), output)
    snapshot = answer.page.snapshot
    ups = [view.up for view in snapshot.targets.values()]
    ups += [view.up for view in snapshot.discoveries.values()]
    return 0 if all(ups) else 1


async def poll_all(exporter: Exporter) -> None:
    """Discover what there is, and poll all of it once."""
    await exporter.roster.discover_all()
    await asyncio.gather(*map(exporter.roster.run, exporter.roster.jobs))


def _write(page: bytes, output: Path | None) -> None:
    """Write the page; a file appears whole or not at all, for whoever reads it meanwhile."""
    if output is None:
        sys.stdout.buffer.write(page)
        sys.stdout.buffer.flush()
        return
    place = output.resolve()  # a link stays, and what it leads to is replaced
    if place.exists() and not place.is_file():
        raise UsageError(
            f"--output={output}: it is no file; without --output, stdout gets the page"
        )
    try:
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=place.name, delete=False) as file:
            draft = Path(file.name)
            try:
                file.write(page)
                file.flush()
                os.fsync(file.fileno())
                draft.chmod(0o644)
                draft.replace(place)
            except BaseException:
                draft.unlink()
                raise
    except OSError as error:
        raise UsageError(
            f"--output={output}: {os.strerror(error.errno or 0)};"
            " name a file in a folder that exists and can be written"
        ) from error


def vendor_credentials(role_arn: str) -> VendorCredentials:
    """Give the vendor's default chain, and a role to assume with it unless it is `""`."""
    return VendorCredentials(SystemClock(), role_arn=role_arn)
