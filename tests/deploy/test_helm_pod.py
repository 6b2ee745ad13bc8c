"""The pod of the chart: what it may do, where its credential is from, how it is asked."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.installations import ECS, KEY, MATRIX, POLICY, POSTGRES, ROLLED_OUT, RRSA
from tests.support.charts import (
    Helm,
    Values,
    container,
    exporter_pod,
    find,
    values_file,
    workload,
)
from tests.support.containers import dockerfile
from tests.support.processes import STOP_SECONDS


def pods(manifests: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the specification of each pod: the exporter's and that of `helm test`."""
    for each in manifests:
        if each["kind"] in {"StatefulSet", "Deployment"}:
            yield each["spec"]["template"]["spec"]
        if each["kind"] == "Pod":
            yield each["spec"]


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
    keys = {name for name in variables if re.search("ACCESS_KEY|TOKEN|PASSWORD", name)}
    assert all("secretKeyRef" in variables[name]["valueFrom"] for name in keys)
    has_key = "existingSecret" in values.get("credentials", {})
    wanted = (
        {"ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"} if has_key else set()
    )
    assert keys - {"ALIBABA_CLOUD_SECURITY_TOKEN", "PGPASSWORD"} == wanted


@pytest.mark.real
def test_the_secret_has_the_keys_that_are_asked_for(
    helm: Helm, real_tool: Callable[[str], Path], tmp_path: Path
) -> None:
    """Made by the command in values.yaml, as kubectl understands it."""
    for name in ("access-key-id", "access-key-secret", "password"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    made = set()
    for command in re.findall(r"kubectl (create secret .*)", values_file()):
        words = [real_tool("kubectl"), *command.split(), "--dry-run=client", "--output=json"]
        done = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True)
        secret = json.loads(done.stdout)
        made |= {(secret["metadata"]["name"], key) for key in secret["data"]}
    wanted = [
        each["valueFrom"]["secretKeyRef"]
        for each in container(helm.render(POSTGRES))["env"]
        if "valueFrom" in each
    ]
    assert {(each["name"], each["key"]) for each in wanted} == made


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


ALWAYS_OUT = {(port, protocol) for port in (53, 5353) for protocol in ("UDP", "TCP")}
ALWAYS_OUT |= {(443, "TCP")}


@pytest.mark.real
def test_the_network_policy_lets_out_what_is_needed(helm: Helm) -> None:
    """Names and HTTPS; the node's metadata service for its role; the database; what is given."""
    usual, more, postgres = (
        find(helm.render(each), "NetworkPolicy")["spec"]
        for each in (MATRIX["network policy"], POLICY, POSTGRES)
    )
    assert usual["policyTypes"] == more["policyTypes"] == ["Ingress", "Egress"]
    assert out_of(usual) == {(None, *each) for each in ALWAYS_OUT}
    metadata = {("100.100.100.200/32", 80, "TCP"), (None, 3128, "TCP")}
    assert out_of(more) == out_of(usual) | metadata
    servers = {(None, port, "TCP") for port in (6432, 5432, 5433)}
    assert out_of(postgres) == out_of(usual) | servers


def out_of(policy: Mapping[str, Any]) -> set[tuple[str | None, int, str]]:
    """Return each block of addresses, port and protocol that a policy lets out; `None` is any."""
    return {
        (peer and peer["ipBlock"]["cidr"], port["port"], port["protocol"])
        for rule in policy["egress"]
        for peer in rule.get("to", [None])
        for port in rule["ports"]
    }


@pytest.mark.real
def test_the_network_policy_admits_prometheus(helm: Helm) -> None:
    """Everybody, or those who are named and the chart's own test; always to the one port."""
    manifests = helm.render(POLICY)
    pod, policy = exporter_pod(manifests)["metadata"], find(manifests, "NetworkPolicy")["spec"]
    tester = find(manifests, "Pod")["metadata"]["labels"]
    selected = policy["podSelector"]["matchLabels"].items()
    assert selected <= pod["labels"].items()
    assert not selected <= tester.items()
    (rule,) = policy["ingress"]
    *named, own = rule["from"]
    assert named == POLICY["networkPolicy"]["from"]
    assert own["podSelector"]["matchLabels"].items() <= tester.items()
    ports = [each["name"] for each in container(manifests)["ports"]]
    assert [each["port"] for each in rule["ports"]] == ports
    (usual,) = find(helm.render(MATRIX["network policy"]), "NetworkPolicy")["spec"]["ingress"]
    assert usual == {"ports": rule["ports"]}


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
def test_probes_use_the_protocol_of_the_exporter(
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
    """Return the health check of the image."""
    (line,) = (
        each.strip() for each in dockerfile() if "exporter.healthcheck" in each and "CMD" in each
    )
    words: list[str] = json.loads(line.removeprefix("CMD "))
    return words


@pytest.mark.real
def test_changed_settings_restart_the_pod(helm: Helm) -> None:
    """The exporter reads its file once, so a change of it is a new pod; nothing else is."""
    changed = {**KEY, "config": {"region_id": "cn-beijing"}}
    same = {**KEY, "serviceMonitor": {"enabled": True}}
    first, second, third = (exporter_pod(helm.render(each)) for each in (KEY, changed, same))
    assert first != second
    assert first == third


@pytest.mark.real
def test_a_ledger_in_postgresql_needs_no_disk(helm: Helm) -> None:
    """The pod is one of a Deployment; the password and the authority are in Secrets."""
    manifests = helm.render(POSTGRES)
    kept = workload(manifests)
    assert kept["kind"] == "Deployment"
    pod, made = kept["spec"]["template"]["spec"], container(manifests)
    assert {each["name"] for each in pod["volumes"]} == {"config", "postgres-ca", "tmp"}
    variables = {each["name"]: each for each in made["env"]}
    (folder,) = (
        each["mountPath"] for each in made["volumeMounts"] if each["name"] == "postgres-ca"
    )
    assert variables["PGSSLROOTCERT"]["value"] == f"{folder}/ca.crt"
    assert variables["PGPASSWORD"]["valueFrom"]["secretKeyRef"]["name"] == "emr-postgres"
    small = exporter_pod(helm.render(MATRIX["postgres of one line"]))["spec"]
    assert {each["name"] for each in small["volumes"]} == {"config", "tmp"}
