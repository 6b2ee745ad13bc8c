"""The chart: rendered by the real helm, held to real schemas, refused where it cannot be meant."""

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

import exporter
from exporter.cli.registry import COMMANDS, PROGRAM
from exporter.settings import Settings, load
from exporter.settings.names import known
from tests.deploy.charts import CHART, OF_THE_CHART, SCHEMA, Helm, Values, config_schema, find
from tests.deploy.containers import dockerfile
from tests.deploy.manifests import OLDEST, complaints, versions
from tests.e2e.test_processes import ANY_PORT
from tests.processes import EXPORTER, ROOT, STOP_SECONDS, run, start

DEMO: Values = {"demo": True}
KEY: Values = {"config": {"region_id": "cn-hangzhou"}, "credentials": {"existingSecret": "emr-key"}}
RRSA: Values = {
    "config": {"region_id": "cn-hangzhou", "workspace_ids": ["w-0123456789abcdef"]},
    "credentials": {"rrsaRoleName": "emr-exporter"},
}
ECS: Values = {"config": {"region_id": "cn-hangzhou"}, "credentials": {"ecsRamRole": True}}
EVERY_SETTING: Values = {
    "config": {
        "targets": [
            {
                "region_id": "cn-hangzhou",
                "workspace_id": "w-0123456789abcdef",
                "livy_compute_ids": ["lc-0123456789abcdef"],
            },
            {
                "region_id": "ap-southeast-1",
                "role_arn": "acs:ram::1234567890123456:role/emr-exporter",
                "account": "data-science",
            },
        ],
        "session_clusters": {"enabled": True},
        "livy": {"enabled": True, "full_walk_interval": "6h", "settle_after": "1h30m"},
        "api": {"network": "vpc", "max_attempts": 3, "max_response_bytes": 33554432},
        "poll": {"interval": "1m", "timeout": 90.5},
        "discovery": {"include": ["prod-*"], "exclude": "*-test,*-old"},
        "sessions": {"max_series_sessions": 100000},
        "usage": {"by_proxy_user": False},
        "ledger": {"birth_hold": "150s"},
        "web": {"telemetry_path": "/emr/metrics"},
        "log": {"format": "json"},
    },
    "credentials": {"existingSecret": "emr-key"},
}
MONITOR: Values = {**KEY, "serviceMonitor": {"enabled": True, "labels": {"release": "kps"}}}
TLS: Values = {
    **KEY,
    "webConfig": {"existingSecret": "emr-web", "tlsSecret": "emr-tls"},
    "serviceMonitor": {
        "enabled": True,
        "interval": "1m",
        "tlsConfig": {
            "ca": {"secret": {"name": "emr-ca", "key": "ca.crt"}},
            "serverName": "emr-exporter",
        },
        "basicAuth": {
            "username": {"name": "emr-scrape", "key": "username"},
            "password": {"name": "emr-scrape", "key": "password"},
        },
        "relabelings": [{"action": "replace", "targetLabel": "cluster", "replacement": "prod"}],
        "metricRelabelings": [{"action": "labeldrop", "regex": "proxy_user"}],
    },
}
POLICY: Values = {
    **ECS,
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "extraEgress": [{"ports": [{"port": 3128, "protocol": "TCP"}]}],
    },
}
EXTRAS: Values = {
    **KEY,
    "nameOverride": "emr",
    "image": {"digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "commonLabels": {"team": "data"},
    "commonAnnotations": {"owner": "data@example.com"},
    "podLabels": {"tier": "monitoring"},
    "podAnnotations": {"example.com/log": "yes"},
    "serviceAccount": {"name": "emr-sa", "annotations": {"example.com/a": "b"}},
    "service": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
    "persistence": {
        "storageClassName": "alicloud-disk-topology-alltype",
        "size": "40Gi",
        "accessMode": "ReadWriteOncePod",
        "annotations": {"e": "f"},
        "labels": {"g": "h"},
    },
    "prometheusRule": {"enabled": True, "labels": {"release": "kps"}},
    "dashboards": {"enabled": True, "annotations": {"grafana_folder": "EMR"}, "namespace": "graf"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "system-cluster-critical",
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "extraEnvFrom": [{"secretRef": {"name": "more"}}],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
}
MATRIX: Mapping[str, Values] = {
    "demo": DEMO,
    "access key": KEY,
    "temporary key": {
        **KEY,
        "credentials": {"existingSecret": "k", "keys": {"securityToken": "t"}},
    },
    "rrsa": RRSA,
    "ecs role": ECS,
    "every setting": EVERY_SETTING,
    "monitor": MONITOR,
    "tls": TLS,
    "client certificates": {
        **KEY,
        "webConfig": {"existingSecret": "emr-web", "clientCertificates": True},
    },
    "passwords only": {**KEY, "webConfig": {"existingSecret": "emr-web", "tls": False}},
    "rules": {**KEY, "prometheusRule": {"enabled": True}},
    "budgets": {
        **KEY,
        "prometheusRule": {"enabled": True, "budgets": {"*": 1000, "root_queue": 2500.5}},
    },
    "dashboards": {**KEY, "dashboards": {"enabled": True}},
    "network policy": {**KEY, "networkPolicy": {"enabled": True}},
    "network policy with peers": POLICY,
    "no disk": {**KEY, "persistence": {"enabled": False}},
    "a claim": {**KEY, "persistence": {"existingClaim": "ledger"}},
    "extras": EXTRAS,
    "no settings": {**DEMO, "config": None},
    "stopped": {**KEY, "replicaCount": 0},
    "no account of its own": {**KEY, "serviceAccount": {"create": False}},
}
ROLLED_OUT = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())


@pytest.fixture(scope="module")
def helm(real_tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Give the real helm."""
    return Helm(real_tool("helm"), tmp_path_factory.mktemp("helm"))


def pods(manifests: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give the specification of each pod: the exporter's and that of `helm test`."""
    for each in manifests:
        if each["kind"] == "StatefulSet":
            yield each["spec"]["template"]["spec"]
        if each["kind"] == "Pod":
            yield each["spec"]


def exporter_pod(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the template of the exporter's pod."""
    template: dict[str, Any] = find(manifests, "StatefulSet")["spec"]["template"]
    return template


def container(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the exporter's container."""
    (only,) = exporter_pod(manifests)["spec"]["containers"]
    return dict(only)


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
@pytest.mark.parametrize("kind", ["StatefulSet", "ServiceMonitor", "PrometheusRule"])
def test_the_schemas_would_object(helm: Helm, kind: str) -> None:
    """A field that does not exist is noticed, in each kind of schema."""
    manifests = helm.render({**MONITOR, "prometheusRule": {"enabled": True}})
    manifest = next(each for each in manifests if each["kind"] == kind)
    assert complaints([manifest]) == []
    manifest["spec"]["replicsa"] = 1
    assert complaints([manifest]) != []


def test_the_oldest_kubernetes_is_what_the_chart_says() -> None:
    """The chart promises no version that nothing is checked against."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"
    assert versions()[0] == OLDEST


REFUSED: Mapping[str, tuple[Values, str]] = {
    "two replicas": ({**KEY, "replicaCount": 2}, "replicaCount is 2, and can be 1 or 0"),
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
    "rarer scrapes": (
        {
            "config": {"region_id": "cn-hangzhou", "ledger": {"birth_hold": 60}},
            "credentials": KEY["credentials"],
            "serviceMonitor": {"enabled": True, "interval": "2m"},
        },
        "has to be shorter than config.ledger.birth_hold (60)",
    ),
    "a secret in values": (
        {**KEY, "credentials": {"accessKeyId": "LTAI"}},
        "additional properties 'accessKeyId' not allowed",
    ),
    "a misspelt setting": (
        {**KEY, "config": {"region_id": "cn-hangzhou", "pol": {}}},
        "additional properties 'pol' not allowed",
    ),
    "a setting of the chart": (
        {**KEY, "config": {"ledger": {"path": "/elsewhere"}}},
        "additional properties 'path' not allowed",
    ),
    "a misspelt value": ({**KEY, "replicas": 1}, "additional properties 'replicas' not allowed"),
    "a part without anything": ({**KEY, "persistence": None}, "missing property 'persistence'"),
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
    mounted = {each["mountPath"]: each["name"] for each in container(manifests)["volumeMounts"]}
    assert mounted[str(settings.ledger.path.parent)] == "data"
    given = values.get("config") or {}
    expected = load("config", [f"--config.file={written(tmp_path / 'given', given)}"], {}).settings
    for setting in known().values():
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
@ROLLED_OUT
def test_pods_meet_the_restricted_standard(helm: Helm, values: Values) -> None:
    """Field by field, as the Pod Security Standards list them; and a little more."""
    specs = list(pods(helm.render(values)))
    assert len(specs) == 2
    for spec in specs:
        assert {"hostNetwork", "hostPID", "hostIPC", "initContainers"}.isdisjoint(spec)
        assert {kind for each in spec.get("volumes", []) for kind in each if kind != "name"} <= {
            "configMap",
            "emptyDir",
            "persistentVolumeClaim",
            "projected",
        }
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        of_pod = spec["securityContext"]
        assert of_pod["runAsNonRoot"] is True
        assert of_pod["runAsUser"] > 0
        assert of_pod["fsGroup"] > 0
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {"sysctls", "seLinuxOptions", "appArmorProfile"}.isdisjoint(of_pod)
        for each in spec["containers"]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in each.get("ports", []))
            assert each["resources"]["limits"]["memory"]


@pytest.mark.real
def test_the_pod_fits_the_image(helm: Helm) -> None:
    """User, folder of the ledger and port are those of the Dockerfile."""
    pod, lines = exporter_pod(helm.render(KEY))["spec"], dockerfile()
    security = pod["securityContext"]
    assert f"USER {security['runAsUser']}:{security['runAsGroup']}" in lines
    (made,) = pod["containers"]
    (folder,) = (each["mountPath"] for each in made["volumeMounts"] if each["name"] == "data")
    assert f"VOLUME {folder}" in lines
    assert [f"EXPOSE {each['containerPort']}" in lines for each in made["ports"]] == [True]


@pytest.mark.real
@ROLLED_OUT
def test_no_secret_is_rendered(helm: Helm, values: Values) -> None:
    """Neither an object of that kind nor a key as the text of a variable."""
    manifests = helm.render(values)
    assert "Secret" not in {each["kind"] for each in manifests}
    variables = {each["name"]: each for each in container(manifests)["env"]}
    keys = {name for name in variables if re.search("ACCESS_KEY|TOKEN", name)}
    assert all("secretKeyRef" in variables[name]["valueFrom"] for name in keys)
    has_key = "existingSecret" in values.get("credentials", {})
    wanted = (
        {"ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"} if has_key else set()
    )
    assert keys - {"ALIBABA_CLOUD_SECURITY_TOKEN"} == wanted


@pytest.mark.real
def test_the_secret_has_the_keys_that_are_asked_for(
    helm: Helm, real_tool: Callable[[str], Path], tmp_path: Path
) -> None:
    """Made by the command in values.yaml, as kubectl understands it."""
    (command,) = re.findall(r"kubectl (create secret .*)", values_file())
    for name in ("access-key-id", "access-key-secret"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    words = [real_tool("kubectl"), *command.split(), "--dry-run=client", "--output=json"]
    made = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True)
    secret = json.loads(made.stdout)
    wanted = [
        each["valueFrom"]["secretKeyRef"]
        for each in container(helm.render(KEY))["env"]
        if "valueFrom" in each
    ]
    assert {each["name"] for each in wanted} == {secret["metadata"]["name"]}
    assert {each["key"] for each in wanted} == set(secret["data"])


@pytest.mark.real
def test_rrsa_is_asked_for(helm: Helm) -> None:
    """By the annotation and the label that ACK's add-on looks for, and for that way alone."""
    manifests = helm.render(RRSA)
    account = find(manifests, "ServiceAccount")["metadata"]
    assert account["annotations"] == {"pod-identity.alibabacloud.com/role-name": "emr-exporter"}
    pod = exporter_pod(manifests)
    assert pod["metadata"]["labels"]["pod-identity.alibabacloud.com/injection"] == "on"
    assert pod["spec"]["serviceAccountName"] == account["name"]
    assert "pod-identity" not in json.dumps(helm.render(KEY))


@pytest.mark.real
@pytest.mark.parametrize(("values", "expected"), [(KEY, "true"), (RRSA, "true"), (ECS, "false")])
def test_the_metadata_service_is_asked_only_on_demand(
    helm: Helm, values: Values, expected: str
) -> None:
    """Off by default: a pod must not come by the role of its node by accident."""
    variables = {each["name"]: each.get("value") for each in container(helm.render(values))["env"]}
    assert variables["ALIBABA_CLOUD_ECS_METADATA_DISABLED"] == expected


@pytest.mark.real
def test_the_end_is_waited_for(helm: Helm) -> None:
    """The kubelet kills later than the exporter promises to end."""
    assert exporter_pod(helm.render(KEY))["spec"]["terminationGracePeriodSeconds"] > STOP_SECONDS


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("access key", {"scheme": "HTTP"}),
        ("passwords only", {"scheme": "HTTP"}),
        ("tls", {"scheme": "HTTPS"}),
        ("client certificates", None),
    ],
)
def test_probes_speak_what_the_exporter_speaks(
    helm: Helm, name: str, expected: Mapping[str, str] | None
) -> None:
    """HTTP or HTTPS; the image's own health check where a certificate would be asked for."""
    made = container(helm.render(MATRIX[name]))
    probes = {each: made[f"{each}Probe"] for each in ("startup", "liveness", "readiness")}
    if expected is None:
        words = dockerfile_check()
        for probe in probes.values():
            assert probe["exec"]["command"] == [*words, "127.0.0.1:9825"]
        return
    paths = {"startup": "/-/healthy", "liveness": "/-/healthy", "readiness": "/-/ready"}
    for each, probe in probes.items():
        assert probe["httpGet"] == {"path": paths[each], "port": "http", **expected}


def dockerfile_check() -> list[str]:
    """Give the health check of the image."""
    (line,) = (
        each.strip() for each in dockerfile() if "exporter.healthcheck" in each and "CMD" in each
    )
    words: list[str] = json.loads(line.removeprefix("CMD "))
    return words


@pytest.mark.real
def test_the_scrape_finds_the_page(helm: Helm) -> None:
    """Path and scheme follow the settings; labels of the pod's place are left out."""
    assert endpoint_of(helm.render(TLS))["scheme"] == "https"
    moved = helm.render({**EVERY_SETTING, "serviceMonitor": {"enabled": True}})
    endpoint = endpoint_of(moved)
    assert (endpoint["path"], endpoint["scheme"]) == ("/emr/metrics", "http")
    assert endpoint["relabelings"] == [
        {"action": "labeldrop", "regex": "container|endpoint|service"}
    ]
    monitor, service = find(moved, "ServiceMonitor"), find(moved, "Service")
    labels = service["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["spec"]["jobLabel"] in labels
    (port,) = service["spec"]["ports"]
    assert endpoint["port"] == port["name"]
    assert service["spec"]["selector"].items() <= exporter_pod(moved)["metadata"]["labels"].items()


def endpoint_of(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Give what the operator scrapes."""
    (endpoint,) = find(manifests, "ServiceMonitor")["spec"]["endpoints"]
    return dict(endpoint)


@pytest.mark.real
def test_changed_settings_restart_the_pod(helm: Helm) -> None:
    """The exporter reads its file once, so a change of it is a new pod; nothing else is."""
    changed = {**KEY, "config": {"region_id": "cn-beijing"}}
    same = {**KEY, "serviceMonitor": {"enabled": True}}
    first, second, third = (exporter_pod(helm.render(each)) for each in (KEY, changed, same))
    assert first != second
    assert first == third


RULES = ("recording", "budgets", "alerts")


def rules_of(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the specification of each PrometheusRule by the last word of its name."""
    return {
        each["metadata"]["name"].rpartition("-")[2]: each["spec"]
        for each in manifests
        if each["kind"] == "PrometheusRule"
    }


@pytest.mark.real
def test_the_rules_are_those_of_the_files(helm: Helm) -> None:
    """Group by group, templates of alerts untouched."""
    folder = ROOT / "deploy" / "prometheus"
    files = {name: yaml.safe_load((folder / f"{name}.yml").read_text("utf-8")) for name in RULES}
    assert rules_of(helm.render(MATRIX["rules"])) == files


@pytest.mark.real
def test_budgets_can_be_given(helm: Helm) -> None:
    """In the shape of the file, the other rules unchanged."""
    usual, given = rules_of(helm.render(MATRIX["rules"])), rules_of(helm.render(MATRIX["budgets"]))
    assert [given[name] == usual[name] for name in RULES] == [True, False, True]
    (group,), (usual_group,) = given["budgets"]["groups"], usual["budgets"]["groups"]
    (usual_rule,) = usual_group["rules"]
    assert group["name"] == usual_group["name"]
    assert [promql_parser.parse(rule["expr"]) for rule in group["rules"]]
    assert group["rules"] == [
        {**usual_rule, "expr": "vector(1000)", "labels": {"queue": "*"}},
        {**usual_rule, "expr": "vector(2500.5)", "labels": {"queue": "root_queue"}},
    ]


@pytest.mark.real
def test_the_dashboards_are_those_of_the_files(helm: Helm) -> None:
    """Byte by byte, one ConfigMap each, with the label that the sidecar looks for."""
    found = [
        each
        for each in helm.render(MATRIX["dashboards"])
        if "grafana_dashboard" in each["metadata"]["labels"]
    ]
    folder = ROOT / "grafana" / "dashboards"
    files = {f"{PREFIX}{path.name}": path.read_text("utf-8") for path in folder.glob("*.json")}
    assert {name: text for each in found for name, text in each["data"].items()} == files
    assert len(found) == len(files) == 3


PREFIX = "emr-serverless-spark-"


@pytest.mark.real
def test_the_package_is_whole(helm: Helm, tmp_path: Path) -> None:
    """The links to rules and dashboards become files; it renders what the folder renders."""
    done = helm.run("package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
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


def test_golden_schema_of_the_settings() -> None:
    """The schema of `config` is the exporter's settings; `make golden` writes it anew."""
    schema = values_schema()
    if os.environ.get("GOLDEN_UPDATE") == "1":
        schema["properties"]["config"] = config_schema()
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        SCHEMA.write_text(text + "\n", encoding="utf-8")
    assert schema["properties"]["config"] == config_schema(), "run `make golden`"


def values_schema() -> dict[str, Any]:
    """Read the schema of the values."""
    return dict(json.loads(SCHEMA.read_text(encoding="utf-8")))


@cache
def values_file() -> str:
    """Read the values as they stand, with their comments."""
    return (CHART / "values.yaml").read_text(encoding="utf-8")


def test_values_and_schema_name_the_same() -> None:
    """What can be set stands in values.yaml; what stands there can be set."""
    schema = values_schema()
    described = set(names(schema, lambda each: each.get("properties", {}))) - {"global"}
    described -= {name for name in described if name.startswith("config.")}
    described.remove("resources.claims")  # of no use here, and Kubernetes has it
    shown = set(names(yaml.safe_load(values_file()), lambda each: each))
    free = ("dashboards.labels", "resources.", "podSecurityContext.", "securityContext.")
    assert {name for name in shown - described if not name.startswith(free)} == set()
    assert described - shown == set()


def names(tree: Any, below: Callable[[Any], Any], path: str = "") -> Iterator[str]:  # noqa: ANN401  as JSON has it
    """Name everything in a tree by its path."""
    inner = below(tree) if isinstance(tree, dict) else {}
    for key, value in inner.items():
        name = f"{path}.{key}".removeprefix(".")
        yield name
        yield from names(value, below, name)


def test_every_value_is_used() -> None:
    """None of the values is without effect."""
    templates = "".join(path.read_text("utf-8") for path in (CHART / "templates").rglob("*.*"))
    groups = yaml.safe_load(values_file())
    assert [name for name in groups if f".Values.{name}" not in templates] == []


@pytest.mark.real
@pytest.mark.parametrize("name", ["demo", "rrsa", "access key", "tls", "no disk"])
def test_the_notes_say_what_to_do_next(helm: Helm, name: str) -> None:
    """With commands that exist, and what is special about this installation."""
    notes = helm.notes(MATRIX[name])
    typed = re.findall(rf"-- {PROGRAM} (\w+) (--\S+)", notes)
    assert [(command, flag) for command, flag in typed if command not in NAMES] == []
    assert ("exec statefulset" in notes) == (name != "demo")
    subject = f"system:serviceaccount:default:r-{PROGRAM}"
    assert (subject in notes) == (name == "rrsa")
    assert ("https://127.0.0.1:9825/" in notes) == (name == "tls")
    assert ("WARNING" in notes) == (name == "no disk")
    assert (f"data-r-{PROGRAM}-0" in notes) == (name not in {"demo", "no disk"})


NAMES = {command.name for command in COMMANDS}


@pytest.mark.real
@pytest.mark.anyio
async def test_the_test_of_the_chart_finds_the_page(helm: Helm, tmp_path: Path) -> None:
    """The script of `helm test` exits with 0 once a real exporter is ready."""
    (pod,) = (each for each in helm.render(DEMO) if each["kind"] == "Pod")
    (made,) = pod["spec"]["containers"]
    assert made["command"] == ["python", "-c"]
    script, host, port, *rest = made["args"]
    assert (host, port) == (f"r-{PROGRAM}.default.svc", "9825")
    async with start([*EXPORTER, "demo", ANY_PORT], tmp_path / "e") as process:
        served = (await process.url()).rpartition(":")[2]
        arguments = [sys.executable, "-c", script, "127.0.0.1", served, *rest]
        code, done = await run(arguments, tmp_path / "test")
    assert (code, done.output.startswith(b"ready; /metrics has")) == (0, True), done.output
