"""Secrets of the service's records and of the credential occur nowhere."""

import json
import time
import traceback
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import httpx
import pytest

from exporter.api import scan_pages, scan_tokens
from exporter.demo import (
    DEMO_KEY_ID,
    DEMO_KEY_SECRET,
    SENTINELS,
    Cloud,
    Fault,
    SimulatedCluster,
    SimulatedGateway,
    SimulatedSession,
    World,
    faults,
    serve,
)
from exporter.demo.faults import Canned, Cut, Effect, Flood, Hang, Truncate
from exporter.errors import PollError
from tests.support.api_clients import client_of
from tests.support.harness import NO_TLS, ManualClock, targets_of
from tests.support.processes import CREDENTIAL, EXPORTER, eventually, start
from tests.support.worlds import GATEWAY, WORKSPACE, busy_world, session

pytestmark = pytest.mark.anyio

SECRET = " ".join(SENTINELS)
"""All of them in one text."""

FREE_TEXTS = tuple(
    form.format(secret)
    for secret in SENTINELS
    for form in (
        "fs.oss.accessKeySecret={}",
        'no start:\n"password": "{}"',
        "curl -H 'Authorization: Bearer {}' https://x",
        "jdbc:mysql://ann:{0}@db/x?password={0}",
        "started with {{password=[{0}]}} or (password={{{0}}})",
        "<property><name>ConnectionPassword</name><value>{0}</value></property>",
    )
)
"""Texts of people and programs, in which secrets happen to stand."""

LINK = f"https://{SENTINELS[0]}:{SENTINELS[1]}@ui.example.com/app?token={SENTINELS[2]}&tab=jobs"

EFFECTS: tuple[Effect, ...] = (
    faults.FORBIDDEN,
    faults.THROTTLED,
    faults.UNAVAILABLE,
    faults.EXPIRED_TOKEN,
    faults.CLOCK,
    faults.NONCE_USED,
    faults.HTML,
    faults.HTML_200,
    faults.EMPTY,
    faults.NULL,
    faults.LIST,
    faults.redirect(f"http://127.0.0.1:1/?{SENTINELS[0]}"),
    faults.deeply_nested(100_000),
    faults.total_count(SECRET),
    faults.repeated_token(),
    Truncate(),
    Cut(),
    Hang(),
    Flood(2**20),
    *(
        Canned(json.dumps(answer).encode())
        for answer in (
            {"sessions": SECRET, "sessionClusters": SECRET},
            {"sessions": [SECRET], "sessionClusters": [SECRET], "totalCount": SECRET},
            SECRET,
        )
    ),
    Canned(SECRET.encode()),
    *(
        Canned(json.dumps({"code": "InvalidParameter", "message": text}).encode(), status)
        for status in (200, 400)
        for text in FREE_TEXTS[:4]
    ),
)
"""Every kind of thing that goes wrong, some with secrets where none belong."""


def leaky_world() -> World:
    """Make a world whose records hold secrets where they belong, and malformed ones as well."""
    world = busy_world()
    session_lies: tuple[Mapping[str, object] | str, ...] = (
        {"cuHours": SECRET},
        {"vcoreSeconds": {"sparkConf": SECRET}},
        {"sessionId": None},
        {"sessionId": {"a": SECRET}},
        {"createTime": SECRET, "state": [SECRET]},
        {"sparkConf": SECRET},
        {"sparkConf": {"conf": SECRET}},
        f'"{SECRET}"',
        f'{{"sparkConf":"{SECRET}","cuHours":NaN}}',
        f'{{"sessionId":"s","mbSeconds":"{SECRET}"}}',
    )
    session_lies += tuple({"info": text, "webUI": LINK} for text in FREE_TEXTS)
    for number, lie in enumerate(session_lies):
        world.put_session(session(f"livy-lie-{number}", 1, age=number, raw=lie))
    cluster_lies: tuple[Mapping[str, object] | str, ...] = (
        {"sessionClusterId": None},
        {"sessionClusterId": [SECRET]},
        {"state": {"connectionToken": SECRET}, "kind": [SECRET]},
        {"stateChangeReason": [SECRET], "autoStopConfiguration": SECRET},
        f'"{SECRET}"',
    )
    cluster_lies += tuple(
        {"state": "Error", "stateChangeReason": {"code": text, "message": text}, "webUI": LINK}
        for text in FREE_TEXTS
    )
    for number, lie in enumerate(cluster_lies):
        world.put_cluster(SimulatedCluster(WORKSPACE, f"sc-lie-{number}", raw=lie))
    return world


def leaks(text: bytes | str, where: str) -> Iterator[str]:
    """Name every secret that a text holds."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    return (f"{each} in {where}" for each in SENTINELS if each.encode() in data)


@pytest.mark.process
@pytest.mark.parametrize("log_format", ["logfmt", "json", "console"])
async def test_nothing_that_the_process_says_or_writes_holds_a_secret(
    tmp_path: Path, log_format: str
) -> None:
    """Pages, logs at debug level and the ledger's files hold none, whatever goes wrong."""
    world = leaky_world()
    for number in range(4):  # more targets: more faults are met in a second
        world.put_gateway(SimulatedGateway(WORKSPACE, f"lc-more-{number}"))
        world.put_session(SimulatedSession(WORKSPACE, f"lc-more-{number}", "livy-a", 1))
    keys = {DEMO_KEY_ID: DEMO_KEY_SECRET}
    cloud = Cloud(world, clock=time.time, access_keys=keys)
    async with serve(cloud.app) as endpoint:
        command = [
            *EXPORTER,
            f"--targets={json.dumps(targets_of(world))}",
            f"--api.endpoint={endpoint}",
            "--api.max-attempts=1",
            "--api.timeout=1s",
            "--api.max-response-bytes=512KiB",
            "--poll.interval=1s",
            "--web.listen-address=127.0.0.1:0",
            "--log.level=debug",
            f"--log.format={log_format}",
        ]
        async with (
            start(command, tmp_path, CREDENTIAL) as process,
            httpx.AsyncClient(base_url=await process.url(), verify=NO_TLS) as http,
        ):
            await eventually(lambda: has_polled(http, 6))
            planted = [cloud.faults.add(effect, times=1) for effect in EFFECTS]
            paths = ("/metrics", "/", "/-/ready", "/-/healthy", "/api/v1/status")
            said = [(await http.get(path)).content for path in paths]
            for each in planted:
                await eventually(partial(has_struck, cloud, each))
            said += [(await http.get(path)).content for path in paths]
            files = contents(tmp_path)  # with the ledger's log of writes
            await process.end()
    assert b"poll_failed" in process.output
    assert (tmp_path / "emr-exporter.db").stat().st_size > 0
    files += contents(tmp_path)
    found = [leak for name, content in files for leak in leaks(content, name)]
    found += [leak for content in said for leak in leaks(content, "a page")]
    assert found == []


async def has_struck(cloud: Cloud, fault: Fault) -> bool:
    """Whether a fault has met a call."""
    return cloud.faults.struck(fault) > 0


async def has_polled(http: httpx.AsyncClient, count: int) -> bool:
    """Whether so many targets were polled successfully."""
    page = (await http.get("/metrics")).text
    ups = [line for line in page.splitlines() if "exporter_target_up{" in line]
    return sum(line.endswith(" 1.0") for line in ups) >= count


def contents(folder: Path) -> list[tuple[str, bytes]]:
    """Return name and content of all files in a folder, and below it."""
    return [(path.name, path.read_bytes()) for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: type(effect).__name__)
async def test_no_text_of_an_error_holds_a_secret(effect: Effect) -> None:
    """Neither message nor advice of a failure, nor its traceback with all causes, tells one."""
    clock = ManualClock()
    keys = {DEMO_KEY_ID: DEMO_KEY_SECRET}
    cloud = Cloud(leaky_world(), clock=clock.now, access_keys=keys)
    cloud.faults.add(effect)
    texts = []
    async with serve(cloud.app) as endpoint, httpx.AsyncClient(verify=NO_TLS) as http:
        client = client_of(
            http, endpoint, clock, max_attempts=2, timeout=0.2, max_response_bytes=2**19
        )
        for scan in (
            scan_tokens(
                lambda token: client.session_clusters_page(WORKSPACE, token),
                key=lambda row: row.session_cluster_id,
            ),
            scan_pages(
                lambda page: client.livy_sessions_page(WORKSPACE, GATEWAY, page),
                size=100,
                key=lambda row: row.session_id,
            ),
        ):
            try:
                texts.append(repr(await scan))
            except PollError as error:
                texts += [*traceback.format_exception(error), repr(error), error.advice]
    assert [leak for text in texts for leak in leaks(text, text)] == []
