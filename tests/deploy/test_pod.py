"""The pod of the chart: rendered by helm, run by podman, which reads manifests of Kubernetes."""

import asyncio
import base64
import copy
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from exporter.cli.program import PROGRAM
from exporter.demo import DEMO_KEY_ID, DEMO_KEY_SECRET, World, serve
from tests.support import containers, postgres
from tests.support.charts import Helm, container, find, workload
from tests.support.exporters import cloud_of
from tests.support.harness import NO_TLS, PROMETHEUS, targets_of
from tests.support.pages import Page
from tests.support.processes import STOP_SECONDS, eventually, free_port
from tests.support.worlds import busy_world

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.real,
    pytest.mark.timeout(containers.BUILD_SECONDS + 60),  # the first test builds
]


PASSWORD = "of the database"


def digestible(manifests: list[dict[str, Any]], address: str) -> list[dict[str, Any]]:
    """Return what podman can run of an installation: the pod, its settings and its disk, if any.

    What keeps the pod is unrolled as its controller would. What the kubelet does is left out:
    probes, which podman would hand to a curl in the image; the disk belongs to the image's user
    without fsGroup. The network is the host's, so no port is mapped, and the exporter listens on
    the loopback only.
    """
    kept = copy.deepcopy(workload(manifests))
    pod = {"apiVersion": "v1", "kind": "Pod", **kept["spec"]["template"]}
    name = pod["metadata"]["name"] = f"{kept['metadata']['name']}-0"
    (made,) = pod["spec"]["containers"]
    for left_out in ("startupProbe", "livenessProbe", "readinessProbe", "ports"):
        del made[left_out]
    made["args"] = [
        each.replace("listen-address=:9825", f"listen-address={address}") for each in made["args"]
    ]
    volumes = pod["spec"]["volumes"]
    for each in (*volumes, *made["volumeMounts"]):
        if each["name"] == "tmp":  # podman makes volumes of these, with these names
            each["name"] = f"tmp-{name}"
    made_first = [each for each in manifests if each["kind"] == "ConfigMap"]
    for claim in kept["spec"].get("volumeClaimTemplates", ()):
        mounted = claim["metadata"]["name"]
        claim["metadata"]["name"] = f"{mounted}-{name}"
        disk = {"claimName": claim["metadata"]["name"]}
        volumes.append({"name": mounted, "persistentVolumeClaim": disk})
        made_first.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})
    return [*made_first, pod]


def make_secret(name: str, path: Path) -> None:
    """Make the Secrets that an operator makes, as one and in podman's form."""
    key = {"access-key-id": DEMO_KEY_ID, "access-key-secret": DEMO_KEY_SECRET}
    key["password"] = PASSWORD
    held = {name: base64.b64encode(text.encode()).decode() for name, text in key.items()}
    path.write_text(json.dumps(held), encoding="utf-8")
    containers.podman("secret", "create", name, path)


@contextmanager
def played(path: Path, release: str) -> Iterator[None]:
    """Run manifests inside the block; what bears the name of the release is gone at the end."""
    try:
        make_secret(f"{release}-key", path.with_name("key.json"))
        containers.podman("play", "kube", "--network=host", path, seconds=90)
        yield
    finally:
        containers.podman("pod", "rm", "--force", "--time=0", f"{release}-0", check=False)
        for kind in ("volume", "secret"):
            made = ("ls", "--quiet", f"--filter=name={release}")
            for each in containers.podman(kind, *made, check=False).stdout.split():
                containers.podman(kind, "rm", each, check=False)


def values_for(world: World, endpoint: str, release: str) -> dict[str, Any]:
    """Return what an operator would set, for the image of the tests and a simulated cloud."""
    repository, _, tag = containers.build().rpartition(":")
    return {
        "fullnameOverride": release,
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "credentials": {"existingSecret": f"{release}-key"},
        "config": {
            "targets": targets_of(world),
            "api": {"endpoint": endpoint},
            "poll": {"interval": "1s"},
        },
    }


def on_a_disk(_release: str) -> dict[str, Any]:
    """Keep the ledger as the chart does by default."""
    return {}


def in_postgresql(release: str) -> dict[str, Any]:
    """Keep the ledger in a schema that a password opens."""
    database = postgres.shared().schema(password=PASSWORD)
    named = {"url": database.url, "schema": database.schema, "existingSecret": f"{release}-key"}
    return {"postgres": named}


@pytest.mark.parametrize("place", [on_a_disk, in_postgresql])
async def test_the_pod_of_the_chart_runs(
    helm: Helm, tmp_path: Path, place: Callable[[str], dict[str, Any]]
) -> None:
    """With a Secret and a ledger: ready, scraped, stopped with 0, begun again on its ledger."""
    world = busy_world()
    targets = sum(1 + len(each["livy_compute_ids"]) for each in targets_of(world))
    address = f"127.0.0.1:{free_port()}"
    release = f"emr-exporter-test-{uuid.uuid4().hex[:8]}"
    async with serve(cloud_of(world).app) as endpoint:
        values = values_for(world, endpoint, release) | await asyncio.to_thread(place, release)
        manifests = helm.render(values)
        made = container(manifests)
        path = tmp_path / "pod.yaml"
        path.write_text(yaml.safe_dump_all(digestible(manifests, address)), encoding="utf-8")
        with played(path, release):
            first = await looked_at(address, made, targets)
            name = f"{release}-0-exporter"
            inside = inspect(name, "{{.HostConfig.ReadonlyRootfs}} {{.EffectiveCaps}}")
            tested = await execute(name, *helm_test(manifests, address))
            checked = await execute(name, PROGRAM, "check", made["args"][1])
            stopped = await asyncio.to_thread(stop, name)
            # podman ends the pod a moment after its last container, also with `pod stop`. What is
            # started before that would be stopped again.
            await eventually(partial(has_ended, f"{release}-0"))
            await asyncio.to_thread(containers.podman, "pod", "start", f"{release}-0")
            second = await looked_at(address, made, targets)
            told = containers.podman("logs", name)
    assert inside == "true []"
    assert tested == "ready; /metrics has the metrics\n"
    assert "FAILED" not in checked
    assert stopped == (0, True)
    created = "exporter_ledger_created_timestamp_seconds"
    assert first.value(created) == second.value(created)
    assert second.values("livy_cu_hours_total") == first.values("livy_cu_hours_total")
    assert DEMO_KEY_SECRET not in told.stdout + told.stderr
    assert PASSWORD not in told.stdout + told.stderr + checked


def helm_test(manifests: list[dict[str, Any]], address: str) -> list[str]:
    """Return the command of `helm test`, for another address."""
    (made,) = find(manifests, "Pod")["spec"]["containers"]
    script, _host, _port, *rest = made["args"]
    return [*made["command"], script, *address.split(":"), *rest]


async def execute(name: str, *command: str) -> str:
    """Run a command beside the exporter, in its container; give what it prints."""
    done = await asyncio.to_thread(containers.podman, "exec", name, *command)
    return done.stdout


def stop(name: str) -> tuple[int, bool]:
    """Stop a container; give its exit code, and whether it ended in time."""
    begun = time.monotonic()
    containers.podman("stop", name)
    seconds = time.monotonic() - begun
    return int(inspect(name, "{{.State.ExitCode}}")), seconds < STOP_SECONDS


async def has_ended(pod: str) -> bool:
    """Whether nothing of a pod runs any more."""
    state = ("pod", "inspect", "--format={{.State}}", pod)
    return (await asyncio.to_thread(containers.podman, *state)).stdout.strip() == "Exited"


def inspect(name: str, template: str) -> str:
    """Return what podman knows of a container."""
    return containers.podman("inspect", f"--format={template}", name).stdout.strip()


async def looked_at(address: str, made: Mapping[str, Any], targets: int) -> Page:
    """Ask as the kubelet's probes do until they are content; give the page when all is polled."""
    async with httpx.AsyncClient(
        base_url=f"http://{address}", headers=PROMETHEUS, verify=NO_TLS
    ) as http:
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            await eventually(partial(answers, http, made[name]["httpGet"]["path"]))
        async with asyncio.timeout(20):
            while True:
                page = Page.from_text((await http.get("/metrics")).text)
                if sum(page.values("exporter_target_up").values()) == targets:
                    return page
                await asyncio.sleep(0.1)


async def answers(http: httpx.AsyncClient, path: str) -> bool:
    """Whether a probe would be content."""
    try:
        return (await http.get(path)).status_code == 200
    except httpx.TransportError:
        return False
