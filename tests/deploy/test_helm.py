"""The chart: rendered by the real helm, held to real schemas, refused where it cannot be meant."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import exporter
from exporter.cli.program import PROGRAM
from exporter.settings import Settings
from exporter.settings.registry import all_settings
from tests.deploy.installations import (
    DEMO,
    EXTRAS,
    KEY,
    MATRIX,
    MONITOR,
    POSTGRES,
    ROLLED_OUT,
    RRSA,
    TLS,
)
from tests.deploy.manifests import complaints, misnamed, versions
from tests.support.charts import (
    CHART,
    OF_THE_CHART,
    OLDEST,
    Helm,
    Values,
    container,
    exporter_pod,
    find,
)
from tests.support.command_line import COMMANDS, load
from tests.support.exporters import ANY_PORT
from tests.support.processes import EXPORTER, run, start
from tests.support.repository import ROOT


@pytest.mark.real
@pytest.mark.parametrize("values", [DEMO, TLS, EXTRAS])
def test_helm_lint_has_nothing_to_say(helm: Helm, tmp_path: Path, values: Values) -> None:
    """Not even a warning."""
    path = tmp_path / "values.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    done = helm.run("lint", "--strict", CHART, "--values", path)
    assert (done.returncode, "[WARNING]" in done.stdout) == (0, False), done.stdout + done.stderr


@pytest.mark.real
@ROLLED_OUT
def test_what_is_rendered_is_valid(helm: Helm, values: Values) -> None:
    """In the oldest and the newest Kubernetes that are known, and to the operator's own schemas."""
    manifests = helm.render(values)
    assert complaints(manifests) == []
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(names) == len(set(names))


@pytest.mark.real
@pytest.mark.parametrize("kind", ["StatefulSet", "Deployment", "ServiceMonitor", "PrometheusRule"])
def test_the_schemas_would_object(helm: Helm, kind: str) -> None:
    """A field that does not exist is noticed, in each kind of schema."""
    database = POSTGRES["postgres"] if kind == "Deployment" else {}
    values = {**MONITOR, "prometheusRule": {"enabled": True}, "postgres": database}
    manifests = helm.render(values)
    manifest = next(each for each in manifests if each["kind"] == kind)
    assert complaints([manifest]) == []
    manifest["spec"]["replicsa"] = 1
    assert complaints([manifest]) != []


def test_the_oldest_kubernetes_is_what_the_chart_says() -> None:
    """The chart promises no version that nothing is checked against."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"
    assert versions()[0] == OLDEST


@pytest.mark.real
def test_labels_of_operators_come_along_once(helm: Helm) -> None:
    """The nearest wins; those that selectors look for are the chart's, also for a release `1`."""
    manifests = helm.render(EXTRAS, release="1")  # which YAML would take for a number
    stateful = next(each for each in manifests if each["kind"] == "StatefulSet")
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    wanted = {"app.kubernetes.io/name": "emr", "app.kubernetes.io/instance": "1"}
    assert stateful["spec"]["selector"]["matchLabels"] == wanted
    pod = exporter_pod(manifests)["metadata"]["labels"]
    for labels in (stateful["metadata"]["labels"], pod, claim["metadata"]["labels"]):
        assert wanted.items() <= labels.items()
    assert (pod["team"], pod["tier"]) == ("data", "monitoring")
    assert stateful["metadata"]["labels"]["tier"] == "data"
    for each in manifests:
        assert each["metadata"]["labels"]["team"] == "data", each["kind"]
        assert each["metadata"]["annotations"]["owner"] == "data@example.com", each["kind"]
    assert complaints(manifests) == []


NUMBERED: Values = {
    "config": {"region_id": "cn-hangzhou", "web": {"telemetry_path": "/1"}},
    "credentials": {"existingSecret": "1", "keys": {"accessKeyId": "2", "accessKeySecret": "3"}},
    "serviceAccount": {"name": "4"},
    "webConfig": {"existingSecret": "5", "tlsSecret": "1e5", "key": "6"},
    "persistence": {"storageClassName": "7"},
    "priorityClassName": "8",
    "fullnameOverride": "9",
    "nameOverride": "0",
    "serviceMonitor": {"enabled": True, "tlsConfig": {"serverName": "14"}},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True, "namespace": "10"},
    "networkPolicy": {"enabled": True},
}
"""Names that are digits alone, which Kubernetes allows."""


@pytest.mark.real
@pytest.mark.parametrize("claim", ["", "11"])
def test_names_of_digits_stay_names(helm: Helm, claim: str) -> None:
    """YAML would take them for numbers, and Kubernetes refuse these."""
    values = {**NUMBERED, "persistence": {"storageClassName": "7", "existingClaim": claim}}
    manifests = helm.render(values, release="12", namespace="13")
    assert complaints(manifests) == []
    names = {type(each["metadata"][key]) for each in manifests for key in ("name", "namespace")}
    assert names == {str}


@pytest.mark.real
@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("r", {}, "r-emr-serverless-spark-exporter"),
        ("my.release", {}, "my-release-emr-serverless-spark-exporter"),
        ("123", {}, "emr-123-emr-serverless-spark-exporter"),
        ("1.2.3", {"fullnameOverride": "9.x"}, "emr-9-x"),
        ("a" * 20 + "." + "b" * 32, {}, "a" * 20 + "-" + "b" * 31),
        ("a" * 50 + "--b", {}, "a" * 50),
        ("r", {"fullnameOverride": "f" * 100}, "f" * 52),
        ("r", {"nameOverride": "n" * 57 + ".x"}, "r-" + "n" * 50),
        ("emr-serverless-spark-exporter.eu", {}, "emr-serverless-spark-exporter-eu"),
    ],
)
def test_objects_of_every_release_have_valid_names(
    helm: Helm, release: str, values: Values, name: str
) -> None:
    """Releases may be called what a Service may not."""
    manifests = helm.render({**EVERYTHING, **values}, release=release)
    assert [wrong for each in manifests for wrong in misnamed(each)] == []
    assert {each["metadata"]["name"] for each in manifests if each["kind"] == "Service"} == {name}


EVERYTHING: Values = {
    **KEY,
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True},
}


REFUSED: Mapping[str, tuple[Values, str]] = {
    "two replicas": ({**KEY, "replicaCount": 2}, "replicaCount is 2, and can be 1 or 0"),
    "two demos beside a database": (
        {**DEMO, "postgres": POSTGRES["postgres"], "replicaCount": 2},
        "For replicas keep the ledger in PostgreSQL (postgres.url)",
    ),
    "no credential": ({"config": {"region_id": "cn-hangzhou"}}, "no credential: set"),
    "two credentials": (
        {**KEY, "credentials": {"existingSecret": "k", "rrsaRoleName": "r"}},
        "credentials.rrsaRoleName and credentials.existingSecret are set: give one",
    ),
    "no region": ({"credentials": KEY["credentials"]}, "no region: set config.region_id"),
    "a target without region": (
        {**KEY, "config": {"targets": [{"workspace_id": "w-1"}]}},
        "config.targets[0] has no region_id",
    ),
    "rrsa without account": (
        {**RRSA, "serviceAccount": {"create": False}},
        "credentials.rrsaRoleName needs a ServiceAccount",
    ),
    "probes without password": (
        {**KEY, "config": {"region_id": "cn-hangzhou", "web": {"health_auth": True}}},
        "config.web.health_auth: the probes",
    ),
    "certificate without file": (
        {**KEY, "webConfig": {"tlsSecret": "t"}},
        "webConfig.tlsSecret needs webConfig.existingSecret",
    ),
    "rare scrapes": (
        {**KEY, "serviceMonitor": {"enabled": True, "interval": "90s"}},
        "serviceMonitor.interval (90s) has to be shorter than config.ledger.birth_hold (90s)",
    ),
    "scrapes as rare as a hold of several units": (
        {
            "config": {"region_id": "cn-hangzhou", "ledger": {"birth_hold": "1m29500ms"}},
            "credentials": KEY["credentials"],
            "serviceMonitor": {"enabled": True, "interval": "1m59s"},
        },
        "(1m59s) has to be shorter than config.ledger.birth_hold (1m29500ms)",
    ),
    "rarer scrapes": (
        {
            "config": {"region_id": "cn-hangzhou", "ledger": {"birth_hold": 60}},
            "credentials": KEY["credentials"],
            "serviceMonitor": {"enabled": True, "interval": "2m"},
        },
        "has to be shorter than config.ledger.birth_hold (60)",
    ),
    "scrapes that wait longer than their interval": (
        {**KEY, "serviceMonitor": {"enabled": True, "interval": "5s"}},
        "serviceMonitor.scrapeTimeout (10s) is longer than serviceMonitor.interval (5s)",
    ),
    "scrapes that trust nobody": (
        {**TLS, "serviceMonitor": {"enabled": True}},
        "serviceMonitor.tlsConfig has no serverName",
    ),
    "scrapes without the certificate that is required": (
        {**TLS, "webConfig": {"existingSecret": "w", "clientCertificates": True}},
        "serviceMonitor.tlsConfig has no cert",
    ),
    "client certificates without TLS": (
        {
            **KEY,
            "webConfig": {"existingSecret": "w", "tls": False, "clientCertificates": True},
        },
        "webConfig.clientCertificates needs webConfig.existingSecret and webConfig.tls",
    ),
    "a server that nobody vouches for": (
        {**KEY, "postgres": {"url": "postgresql://emr@db/emr?sslmode=verify-full"}},
        "name the Secret with its authority in postgres.caSecret",
    ),
    "a schema of the server": (
        {**KEY, "postgres": {"url": "postgresql://emr@db/emr", "schema": "pg_emr"}},
        "at '/postgres/schema': 'not' failed",
    ),
    "a repository with a tag": (
        {**KEY, "image": {"repository": "registry:5000/exporter:1.0"}},
        "at '/image/repository'",
    ),
    "a variable that is no text": (
        {**KEY, "extraEnv": [{"name": "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "value": True}]},
        "at '/extraEnv/0/value': got boolean, want string",
    ),
    "a secret in values": (
        {**KEY, "credentials": {"accessKeyId": "LTAI"}},
        "additional properties 'accessKeyId' not allowed",
    ),
    "a duration that is none": (
        {**KEY, "config": {"region_id": "cn-a", "poll": {"interval": "soon"}}},
        "at '/config/poll/interval': 'soon' does not match pattern",
    ),
    "a fraction of an attempt": (
        {**KEY, "config": {"region_id": "cn-a", "api": {"max_attempts": 1.5}}},
        "at '/config/api/max_attempts': got number, want integer or string",
    ),
    "a network that there is not": (
        {**KEY, "config": {"region_id": "cn-a", "api": {"network": "vpn"}}},
        "at '/config/api/network': value must be one of 'public', 'vpc'",
    ),
    "a misspelt setting": (
        {**KEY, "config": {"region_id": "cn-hangzhou", "pol": {}}},
        "additional properties 'pol' not allowed",
    ),
    "a setting of the chart": (
        {**KEY, "config": {"ledger": {"path": "/elsewhere"}}},
        "additional properties 'path' not allowed",
    ),
    "a number as id": (
        {**KEY, "config": {"targets": [{"region_id": "cn-a", "workspace_id": 123}]}},
        "got number, want string",
    ),
    "a number in a list of ids": (
        {**KEY, "config": {"region_id": "cn-a", "workspace_ids": [123]}},
        "got number, want string",
    ),
    "a name with capitals": (
        {**KEY, "nameOverride": "My_Exporter"},
        'nameOverride is "My_Exporter": give lower-case letters, digits and dashes',
    ),
    "a name that ends with a dash": (
        {**KEY, "fullnameOverride": "exporter-"},
        'fullnameOverride is "exporter-": give lower-case letters, digits and dashes',
    ),
    "a key with a blank": (
        {**KEY, "webConfig": {"existingSecret": "s", "key": "web config"}},
        "webConfig/key",
    ),
    "a misspelt value": ({**KEY, "replicas": 1}, "additional properties 'replicas' not allowed"),
    "a part without anything": ({**KEY, "persistence": None}, "missing property 'persistence'"),
    "a password in a URL": (
        {**KEY, "postgres": {"url": "postgresql://emr:secret@db/emr"}},
        "postgres.url holds a password: give it without one",
    ),
    "a password in a parameter": (
        {**KEY, "postgres": {"url": "postgresql://emr@db/emr?password=secret"}},
        "postgres.url holds a password: give it without one",
    ),
    "a password without a database": (
        {**KEY, "postgres": {"existingSecret": "s"}},
        "postgres.existingSecret and postgres.caSecret need postgres.url",
    ),
    "another database": ({**KEY, "postgres": {"url": "mysql://emr@db/emr"}}, "postgres/url"),
    "a database among the settings": (
        {**KEY, "config": {"ledger": {"url": "postgresql://emr@db/emr"}}},
        "additional properties 'url' not allowed",
    ),
    "a short end": ({**KEY, "terminationGracePeriodSeconds": 5}, "minimum: got 5, want 10"),
    "a file system": ({**KEY, "persistence": {"accessMode": "ReadWriteMany"}}, "must be one of"),
}


@pytest.mark.real
@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_meant_is_refused(helm: Helm, values: Values, message: str) -> None:
    """Before anything is installed, with what to do."""
    assert message in helm.refusal(values)


@pytest.mark.real
@ROLLED_OUT
def test_the_exporter_accepts_its_command_line(helm: Helm, values: Values, tmp_path: Path) -> None:
    """Flags and file are settings that the exporter knows, and each value arrives."""
    manifests = helm.render(values)
    settings = settings_of(manifests, tmp_path)
    assert settings.web.listen.port == 9825
    postgres = {} if "demo" in values else values.get("postgres", {})
    assert settings.ledger.url == postgres.get("url")
    assert settings.ledger.schema == postgres.get("schema", "emr_exporter")
    mounted = {each["mountPath"]: each["name"] for each in container(manifests)["volumeMounts"]}
    disk = mounted.get(str(settings.ledger.path.parent))
    assert disk == (None if postgres else "data")
    given = values.get("config") or {}
    expected = load("config", [f"--config.file={written(tmp_path / 'given', given)}"], {}).settings
    for setting in all_settings().values():
        if setting.name not in OF_THE_CHART and not (
            "demo" in values and setting.name == "ledger.birth-hold"
        ):
            assert setting.value_in(settings) == setting.value_in(expected), setting.name


def settings_of(manifests: list[dict[str, Any]], folder: Path) -> Settings:
    """Load the settings as the container would."""
    volumes = {each["name"]: each for each in exporter_pod(manifests)["spec"]["volumes"]}
    mounts = {each["name"]: each["mountPath"] for each in container(manifests)["volumeMounts"]}
    (files,) = (
        each["data"]
        for each in manifests
        if each["kind"] == "ConfigMap"
        and each["metadata"]["name"] == volumes["config"]["configMap"]["name"]
    )
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    command, *flags = container(manifests)["args"]
    flags = [flag.replace(mounts["config"], str(folder)) for flag in flags]
    return load(command, flags, {}).settings


def written(path: Path, settings: Mapping[str, Any]) -> Path:
    """Write settings as an operator's file."""
    path.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
    return path


@pytest.mark.real
def test_the_package_is_complete(helm: Helm, tmp_path: Path) -> None:
    """`make chart` puts files in the place of links; it renders what the folder renders."""
    done = subprocess.run(
        ["make", "--no-print-directory", "chart", f"HELM={helm.program}", f"TO={tmp_path}"],
        cwd=ROOT,
        env=os.environ | helm.folders,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "symbolic link" not in done.stdout + done.stderr
    package = tmp_path / f"{PROGRAM}-{exporter.__version__}.tgz"
    with tarfile.open(package) as tar:
        assert all(member.isfile() for member in tar.getmembers())
        held = {member.name for member in tar.getmembers()}
    assert held == {
        f"{PROGRAM}/{path.relative_to(CHART)}"
        for path in CHART.rglob("*")
        if path.is_file() and path.name != ".helmignore"
    }
    everything = {**EXTRAS, "serviceMonitor": {"enabled": True}}
    assert helm.render(everything, chart=package) == helm.render(everything)


def test_chart_and_package_have_one_version() -> None:
    """So a chart's release says which exporter it runs."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (exporter.__version__,) * 2
    assert chart["name"] == PROGRAM


IN_POSTGRES = ("postgres", "replicas")


@pytest.mark.real
@pytest.mark.parametrize(
    "name", ["demo", "rrsa", "every setting", "access key", "tls", "no disk", *IN_POSTGRES]
)
def test_the_notes_say_what_to_do_next(helm: Helm, name: str) -> None:
    """With commands that exist, and what is special about this installation."""
    notes = helm.notes(MATRIX[name])
    typed = re.findall(rf"-- {PROGRAM} (\w+) (--\S+)", notes)
    assert [(command, flag) for command, flag in typed if command not in NAMES] == []
    kinds = set(re.findall(r"(?:exec|port-forward) (\w+)/", notes))
    assert kinds == {"deployment" if name in IN_POSTGRES else "statefulset"}
    assert ("kubectl -n default exec" in notes) == (name != "demo")
    subject = f"system:serviceaccount:default:r-{PROGRAM}"
    assert (subject in notes) == (name == "rrsa")
    assert ("https://127.0.0.1:9825/" in notes) == (name == "tls")
    assert ("WARNING" in notes) == (name == "no disk")
    assert (f"data-r-{PROGRAM}-0" in notes) == (name not in {"demo", "no disk", *IN_POSTGRES})
    assert ("pg_dump" in notes) == (name in IN_POSTGRES)
    assert ("One of the 3 pods polls" in notes) == (name == "replicas")
    hold = "150s" if name == "every setting" else "90s"
    assert (f"with an interval under {hold}" in " ".join(notes.split())) == (
        name not in {"tls", "replicas"}  # scraped already
    )


NAMES = COMMANDS.keys()


@pytest.mark.real
@pytest.mark.anyio
async def test_the_test_of_the_chart_finds_the_page(helm: Helm, tmp_path: Path) -> None:
    """The script of `helm test` exits with 0 once a real exporter is ready."""
    (made,) = find(helm.render(DEMO), "Pod")["spec"]["containers"]
    assert made["command"] == ["python", "-c"]
    script, host, port, *rest = made["args"]
    assert (host, port) == (f"r-{PROGRAM}.default.svc", "9825")
    async with start([*EXPORTER, "demo", ANY_PORT], tmp_path / "e") as process:
        served = (await process.url()).rpartition(":")[2]
        arguments = [sys.executable, "-c", script, "127.0.0.1", served, *rest]
        code, done = await run(arguments, tmp_path / "test")
    assert (code, done.output) == (0, b"ready; /metrics has the metrics\n")


LARGEST_MEMORY = "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"


@pytest.mark.real
@pytest.mark.process
@pytest.mark.anyio
async def test_the_test_of_the_chart_has_memory_for_any_page(helm: Helm, tmp_path: Path) -> None:
    """As large as that of 1,000 workspaces, 30 MB, and recognized by its last line."""
    session = b'a_sample{of="%s"} 1\n' % (b"x" * 180)
    page = session * 150_000 + b"emr_serverless_spark_exporter_build_info 1\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        body = page if asked.startswith(b"GET /metrics ") else b"Ready.\n"
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    (made,) = find(helm.render(DEMO), "Pod")["spec"]["containers"]
    script, _host, _port, *rest = made["args"]
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = str(server.sockets[0].getsockname()[1])
        command = [sys.executable, "-c", script + LARGEST_MEMORY, "127.0.0.1", port, *rest]
        code, done = await run(command, tmp_path)
    said, kilobytes = done.output.decode().splitlines()
    assert (code, said) == (0, "ready; /metrics has the metrics")
    assert int(kilobytes) < 1024 * int(made["resources"]["limits"]["memory"].removesuffix("Mi"))


@pytest.mark.real
def test_the_test_of_the_chart_runs_where_the_exporter_may(helm: Helm) -> None:
    """On nodes that are chosen or tolerated, with what pulls the image."""
    manifests = helm.render(EXTRAS)
    pod, tester = exporter_pod(manifests)["spec"], find(manifests, "Pod")["spec"]
    for name in (
        "imagePullSecrets",
        "nodeSelector",
        "tolerations",
        "affinity",
        "priorityClassName",
    ):
        assert tester[name] == pod[name] == EXTRAS[name]
