"""Temporary credentials: renewed ahead, kept while they cannot be, replaced when refused."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from exporter.api import Credential, VendorCredentials
from exporter.api.credentials import silence_library
from exporter.demo import Cloud, serve
from tests.faults.sts import Sts
from tests.support.forked import start
from tests.support.harness import Harness, ManualClock, targets_of
from tests.support.pages import Page
from tests.support.processes import EXPORTER, eventually
from tests.support.worlds import busy_world

pytestmark = pytest.mark.anyio

LIBRARY_MARGIN = 15 * 60
"""Seconds before an expiry at which the vendor's library renews."""


def connect_to(url: list[str]) -> Callable[[str], Callable[[], Credential]]:
    """Return what makes a fresh client of the vendor's library, for the service at `url[0]`."""

    def connect(_role_arn: str) -> Callable[[], Credential]:
        from alibabacloud_credentials.client import Client  # noqa: PLC0415  0.3 s
        from alibabacloud_credentials.provider import URLCredentialsProvider  # noqa: PLC0415

        silence_library()
        client = Client(provider=URLCredentialsProvider(uri=url[0]))

        def load() -> Credential:
            found = client.get_credential()
            return Credential(found.access_key_id, found.access_key_secret, found.security_token)

        return load

    return connect


@asynccontextmanager
async def exporter_with_sts(life: float = 3600.0) -> AsyncIterator[tuple[Harness, Sts]]:
    """Run an exporter whose credentials come from a fake service, through the vendor's library."""
    url: list[str] = []
    clock = ManualClock()
    credentials = VendorCredentials(clock, connect=connect_to(url))
    h = Harness(busy_world(), clock=clock, credentials=credentials)
    sts = Sts(h.access_keys, h.security_tokens, life)
    async with serve(sts) as endpoint:
        url.append(f"{endpoint}/")
        async with h:
            yield h, sts


async def poll_all(h: Harness) -> None:
    """Poll every target at the same time."""
    await asyncio.gather(*map(h.exporter.targets.run, h.exporter.targets.jobs))


def failures(page: Page) -> float:
    """Count the failed polls."""
    return sum(page.values("exporter_poll_failures_total").values())


def retries(page: Page) -> float:
    """Count the repeated requests."""
    return sum(page.values("exporter_api_retries_total").values())


async def test_a_credential_is_renewed_ahead_of_its_end() -> None:
    """In good time there is another one, and nobody notices: no poll fails, nothing is repeated."""
    async with exporter_with_sts(life=LIBRARY_MARGIN - 1) as (h, sts):
        await poll_all(h)
        first = list(sts.given)
        sts.life = 3600
        h.clock.advance(61)  # the library is asked once a minute
        await poll_all(h)
        h.security_tokens[first[0]] = "expired"
        await poll_all(h)
        page = h.peek()
    assert sts.given == ["STS.1", "STS.2"]
    assert (failures(page), retries(page)) == (0, 0)


async def test_an_early_refusal_costs_one_repeated_request() -> None:
    """A credential that is refused before its time is replaced, and the poll goes on."""
    async with exporter_with_sts() as (h, sts):
        await h.poll()
        sts.revoke()
        await h.poll()
        page = h.peek()
    assert sts.given == ["STS.1", "STS.2"]
    assert (failures(page), retries(page)) == (0, 1)


async def test_an_early_refusal_under_load_is_one_renewal() -> None:
    """Where many requests are refused at once, one renewal serves them all."""
    async with exporter_with_sts() as (h, sts):
        await poll_all(h)
        sts.revoke()
        await poll_all(h)
        page = h.peek()
    assert sts.given == ["STS.1", "STS.2"]
    assert failures(page) == 0
    assert 1 <= retries(page) <= len(h.exporter.targets.jobs)


async def test_the_last_good_credential_is_kept_while_none_can_be_had() -> None:
    """As long as the service takes it, polls go on; then they fail, and recover by themselves."""
    async with exporter_with_sts(life=LIBRARY_MARGIN - 60) as (h, sts):
        await poll_all(h)
        sts.is_down = True
        for _ in range(3):
            h.clock.advance(61)
            await poll_all(h)
        kept = h.peek()
        asked_meanwhile = sts.asked
        sts.revoke()
        await poll_all(h)
        refused = h.peek()
        sts.is_down = False
        await poll_all(h)
        recovered = h.peek()
    assert sts.given == ["STS.1", "STS.2"]
    assert asked_meanwhile == 4
    assert (failures(kept), retries(kept)) == (0, 0)
    assert set(kept.values("exporter_target_up").values()) == {1}
    assert set(refused.values("exporter_target_up").values()) == {0}
    reasons = refused.values("exporter_target_error_info", "reason", "source", "workspace_id")
    assert {reason for reason, *_ in reasons} == {"credential"}
    assert set(recovered.values("exporter_target_up").values()) == {1}


@pytest.mark.process
async def test_a_process_lives_through_a_refusal(tmp_path: Path) -> None:
    """With the vendor's own chain in a real daemon: no poll fails when a credential is replaced."""
    keys: dict[str, str] = {}
    tokens: dict[str, str] = {}
    world = busy_world()
    cloud = Cloud(world, clock=time.time, access_keys=keys, security_tokens=tokens)
    sts = Sts(keys, tokens)
    async with serve(sts) as sts_url, serve(cloud.app) as endpoint, httpx.AsyncClient() as http:
        command = [
            *(*EXPORTER, f"--targets={json.dumps(targets_of(world))}"),
            *(f"--api.endpoint={endpoint}", "--web.listen-address=127.0.0.1:0"),
            "--poll.interval=1s",
        ]
        environment = {"ALIBABA_CLOUD_CREDENTIALS_URI": f"{sts_url}/"}
        async with start(command, tmp_path, environment) as process:
            url = await process.url()

            async def page() -> Page:
                return Page.from_text((await http.get(f"{url}/metrics")).text)

            async def has_polled(times: int) -> bool:
                return min((await page()).values("exporter_polls_total").values()) >= times

            await eventually(lambda: has_polled(4))
            sts.revoke()
            await eventually(lambda: has_polled(12))
            last = await page()
        output = process.output
    assert sts.given == ["STS.1", "STS.2"]
    assert failures(last) == 0
    assert 1 <= retries(last) <= 4
    assert b"sentinel-token" not in output
