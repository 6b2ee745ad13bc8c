"""The vendor's own SDK is the oracle: it reads the simulated cloud, and sees what we see."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

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
from exporter.demo import Demo, start_demo
from tests.support.api_clients import client_of

pytestmark = pytest.mark.anyio


async def test_the_vendors_sdk_and_our_client_read_the_same() -> None:
    """Both get the same ids, states and usage, over all pages, signatures accepted."""
    now = time.time()
    async with start_demo(clock=lambda: now) as demo, httpx.AsyncClient() as http:
        ours = await our_reading(demo, our_client(demo, http))
        vendors = await asyncio.to_thread(vendors_reading, demo)
        held = len(demo.cloud.world.sessions()) + len(demo.cloud.world.clusters())
        assert demo.cloud.delivered.by_queue() == demo.cloud.truth().by_queue
    assert ours == vendors
    assert sum(map(len, ours.values())) == held
    assert max(map(len, ours.values())) > PAGE_SIZE
    assert {code for _, code in demo.cloud.counters} == {"OK"}


def our_client(demo: Demo, http: httpx.AsyncClient) -> Client:
    """Make our client for a simulated cloud."""
    credential = Credential(demo.access_key_id, demo.access_key_secret)
    return client_of(http, demo.endpoint, SystemClock(), credential=credential)


async def our_reading(demo: Demo, client: Client) -> Mapping[str, set[tuple[object, ...]]]:
    """Read everything with our client."""
    found: dict[str, set[tuple[object, ...]]] = {}
    for workspace_id, gateways in demo.workspaces:
        clusters = await scan_tokens(
            partial(client.session_clusters_page, workspace_id),
            key=lambda row: row.session_cluster_id,
        )
        found[workspace_id] = {
            (row.session_cluster_id, row.state, row.kind, row.queue, row.name, row.created_ms)
            for row in clusters
        }
        for gateway in gateways:
            sessions = await scan_pages(
                partial(client.livy_sessions_page, workspace_id, gateway),
                size=PAGE_SIZE,
                key=lambda row: row.session_id,
            )
            found[gateway] = {
                (
                    row.session_id,
                    row.state,
                    row.queue,
                    row.name,
                    row.created_ms,
                    row.usage.nano_cu_hours,
                    row.usage.vcore_seconds,
                    row.usage.mb_seconds,
                )
                for row in sessions
            }
    return found


def vendors_reading(demo: Demo) -> Mapping[str, set[tuple[object, ...]]]:
    """Read everything with the vendor's SDK, in the states' words and units of ours."""
    from alibabacloud_emr_serverless_spark20230808.client import Client as Sdk  # noqa: PLC0415
    from alibabacloud_tea_openapi.models import Config  # noqa: PLC0415

    sdk = Sdk(
        Config(
            access_key_id=demo.access_key_id,
            access_key_secret=demo.access_key_secret,
            endpoint=urlsplit(demo.endpoint).netloc,
            protocol="http",
            region_id=demo.region_id,
        )
    )
    found: dict[str, set[tuple[object, ...]]] = {}
    for workspace_id, gateways in gateways_by_sdk(sdk, demo.region_id).items():
        found[workspace_id] = {
            (
                row.session_cluster_id,
                {"NotStarted": "not_started"}.get(row.state, row.state.lower()),
                row.kind,
                row.queue_name,
                row.name,
                row.gmt_create,
            )
            for row in clusters_by_sdk(sdk, demo.region_id, workspace_id)
        }
        for gateway in gateways:
            found[gateway] = {
                (
                    row.session_id,
                    row.state,
                    row.queue,
                    row.name,
                    row.create_time,
                    round(row.cu_hours * 10**9),
                    row.vcore_seconds,
                    row.mb_seconds,
                )
                for row in sessions_by_sdk(sdk, demo.region_id, workspace_id, gateway)
            }
    return found


def gateways_by_sdk(sdk: Any, region_id: str) -> Mapping[str, list[str]]:  # noqa: ANN401
    """List the workspaces and the gateways of each."""
    from alibabacloud_emr_serverless_spark20230808 import models  # noqa: PLC0415

    listed = sdk.list_workspaces(models.ListWorkspacesRequest(region_id=region_id)).body
    request = models.ListLivyComputeRequest(region_id=region_id)
    return {
        workspace.workspace_id: [
            gateway.compute_id
            for gateway in sdk.list_livy_compute(
                workspace.workspace_id, request
            ).body.data.livy_computes
        ]
        for workspace in listed.workspaces
    }


def clusters_by_sdk(sdk: Any, region_id: str, workspace_id: str) -> Iterator[Any]:  # noqa: ANN401
    """Scan the session clusters in pages of two; the vendor publishes no types."""
    from alibabacloud_emr_serverless_spark20230808 import models  # noqa: PLC0415

    token = None
    while True:
        request = models.ListSessionClustersRequest(
            region_id=region_id, max_results=2, next_token=token
        )
        body = sdk.list_session_clusters(workspace_id, request).body
        yield from body.session_clusters
        token = body.next_token
        if not token:
            return


def sessions_by_sdk(
    sdk: Any,  # noqa: ANN401
    region_id: str,
    workspace_id: str,
    livy_compute_id: str,
) -> Iterator[Any]:
    """Scan the Livy sessions in pages of 30."""
    from alibabacloud_emr_serverless_spark20230808 import models  # noqa: PLC0415

    number = 0
    while True:
        number += 1
        request = models.ListLivyComputeSessionsRequest(
            region_id=region_id, page_num=number, page_size=30
        )
        body = sdk.list_livy_compute_sessions(workspace_id, livy_compute_id, request).body
        yield from body.sessions
        if len(body.sessions) < 30:
            return
