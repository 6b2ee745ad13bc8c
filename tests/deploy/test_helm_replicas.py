"""Replicas of the chart: spread, drained and rolled out one by one, and each scraped."""

import pytest

from tests.deploy.installations import MATRIX, POSTGRES
from tests.deploy.manifests import complaints
from tests.support.charts import Helm, exporter_pod, find, workload
from tests.support.processes import STOP_SECONDS
from tests.support.repository import ROOT

pytestmark = pytest.mark.real

REPLICAS = MATRIX["replicas"]
ALONE = {**POSTGRES, "serviceMonitor": {"enabled": True}}


def test_replicas_have_no_disk_and_are_spread_over_nodes(helm: Helm) -> None:
    """Also where there are fewer nodes than replicas; the constraint looks at these pods."""
    manifests = helm.render(REPLICAS)
    kept = workload(manifests)
    assert (kept["kind"], kept["spec"]["replicas"]) == ("Deployment", 3)
    assert "PersistentVolumeClaim" not in str(manifests)
    pod = exporter_pod(manifests)
    (spread,) = pod["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert (spread["maxSkew"], spread["whenUnsatisfiable"]) == (1, "ScheduleAnyway")
    selected = spread["labelSelector"]["matchLabels"]
    assert selected == kept["spec"]["selector"]["matchLabels"]
    assert selected.items() <= pod["metadata"]["labels"].items()


@pytest.mark.parametrize(("values", "unavailable"), [(REPLICAS, 1), (ALONE, 0)])
def test_a_new_pod_stands_by_before_an_old_one_ends(
    helm: Helm, values: dict[str, object], unavailable: int
) -> None:
    """A single pod ends once the new one is ready; there is time to resign the lease."""
    kept = workload(helm.render(values))
    assert kept["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": unavailable},
    }
    assert kept["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > STOP_SECONDS


def test_nodes_are_drained_one_by_one(helm: Helm) -> None:
    """One replica at a time may be evicted; a single pod does not block a node."""
    manifests = helm.render(REPLICAS)
    budget = find(manifests, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == workload(manifests)["spec"]["selector"]
    for values in (ALONE, MATRIX["access key"]):
        assert "PodDisruptionBudget" not in {each["kind"] for each in helm.render(values)}


def test_replicas_that_are_not_ready_do_not_block_a_drain(helm: Helm) -> None:
    """Where Kubernetes knows the field: by default it would wait until they are ready again."""
    manifests = helm.render(REPLICAS, kubernetes="1.27")
    assert complaints(manifests, oldest="1.27") == []
    budget = find(manifests, "PodDisruptionBudget")["spec"]
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_each_pod_is_scraped(helm: Helm) -> None:
    """No address stands for several pods, and those that stand by are scraped too."""
    manifests = helm.render(REPLICAS)
    service = find(manifests, "Service")["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert service["selector"] == workload(manifests)["spec"]["selector"]["matchLabels"]
    dropped = find(manifests, "ServiceMonitor")["spec"]["endpoints"][0]["relabelings"][0]
    assert not {"instance", "pod", "namespace"} & set(dropped["regex"].split("|"))
    # Where Prometheus is not the operator's, the notes give all pods, and no single target.
    notes = helm.notes({**REPLICAS, "serviceMonitor": {"enabled": False}})
    assert "dns_sd_configs: [{names: [r-emr-serverless-spark-exporter.default.svc]" in notes
    assert ".svc:9825" not in notes


def test_a_second_installation_has_a_job_of_its_own(helm: Helm) -> None:
    """The alerts on owners tell installations apart by it; by the value that the page names."""
    readme = " ".join((ROOT / "deploy/README.md").read_text(encoding="utf-8").split())
    assert "In the chart these are `postgres.schema` and `nameOverride`." in readme
    manifests = helm.render({**REPLICAS, "nameOverride": "emr-2"})
    job = find(manifests, "ServiceMonitor")["spec"]["jobLabel"]
    assert find(manifests, "Service")["metadata"]["labels"][job] == "emr-2"
