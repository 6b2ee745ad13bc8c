"""The Compose file: its files exist and are good, and what it configures is started for real.

There is no Docker engine here, and no registry to take images from. So the options of the
exporter's service are those with which the tests of the image run it in podman, and Debian's
Prometheus and Alertmanager run on the files that the services mount. Grafana is not started: Debian
has none.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from exporter.settings.registry import all_settings
from tests.deploy.units import environment_file
from tests.support.command_line import load
from tests.support.containers import HARDENED, dockerfile
from tests.support.processes import EXPORTER, eventually, free_port, start
from tests.support.prometheus import Prometheus, find_alertmanager, is_ready
from tests.support.promtool import groups
from tests.support.repository import ROOT

pytestmark = pytest.mark.anyio

FOLDER = ROOT / "deploy" / "compose"
COMPOSE: Mapping[str, Any] = yaml.safe_load((FOLDER / "compose.yml").read_text(encoding="utf-8"))
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
ENV = FOLDER / ".env.example"
PORTS = {
    "exporter": "9825:9825",
    "exporter-2": "9826:9825",
    "prometheus": "9090:9090",
    "alertmanager": "9093:9093",
    "grafana": "3000:3000",
}
"""By service: the port on this machine, and that inside."""

EXPORTERS = ("exporter", "exporter-2")


def mounts(service: str) -> Iterator[tuple[Path, str]]:
    """Yield what a service mounts of this repository, and where it sees it."""
    for volume in SERVICES[service].get("volumes", []):
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            yield (FOLDER / source).resolve(), target


def mounted(service: str, folder: Path) -> Path:
    """Lay out the files that a service mounts as it sees them, below `folder`."""
    for source, target in mounts(service):
        place = folder / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, place)
    return folder


def read(name: str) -> Any:  # noqa: ANN401 - as the file has it
    """Read a YAML file of the repository."""
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_it_is_a_compose_file() -> None:
    """It fits the schema of Compose files."""
    linter = Path(sys.executable).parent / "check-jsonschema"
    file = str(FOLDER / "compose.yml")
    command = [str(linter), "--builtin-schema=vendor.compose-spec", file]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_is_pinned_hardened_and_for_this_machine_only(service: str) -> None:
    """No tag that moves, nothing to write but volumes, no rights, no port to the outside."""
    described = SERVICES[service]
    if service in EXPORTERS:
        assert (FOLDER / described["build"] / "Dockerfile").resolve() == ROOT / "Dockerfile"
    else:
        assert re.search(r":v?\d+(\.\d+)+$", described["image"])
    assert described["read_only"] is True
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    ports = [f"127.0.0.1:{PORTS[service]}"] if service in PORTS else []
    assert described.get("ports", []) == ports


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_mounted_exists(service: str) -> None:
    """Each file is there and cannot be changed from inside; each volume is declared."""
    assert [str(source) for source, _ in mounts(service) if not source.exists()] == []
    volumes = [each.split(":") for each in SERVICES[service].get("volumes", [])]
    assert {each[2] for each in volumes if each[0].startswith(".")} <= {"ro"}
    assert {each[0] for each in volumes if not each[0].startswith(".")} <= set(COMPOSE["volumes"])


def test_the_example_env_is_accepted_by_the_exporter() -> None:
    """Each variable is one of ours or the vendor's, and the command is one that runs."""
    variables = environment_file(ENV.read_text(encoding="utf-8"))
    assert variables.pop("EXPORTER_COMMAND") == "serve"
    ours = {name for name in variables if name.startswith("EMR_EXPORTER_")}
    assert ours <= {setting.variable for setting in all_settings().values()}
    assert all(name.startswith("ALIBABA_CLOUD_") for name in set(variables) - ours)
    assert load("serve", [], variables).settings.region_id == "cn-hangzhou"


def test_the_profiles_have_the_database_of_the_example_env() -> None:
    """The URL, uncommented, leads to that service, and all have one password."""
    text = re.sub(r"^#(?=[A-Z_]+=)", "", ENV.read_text(encoding="utf-8"), flags=re.MULTILINE)
    variables = environment_file(text)
    url = urlsplit(str(load("serve", [], variables).settings.ledger.url))
    described = SERVICES[str(url.hostname)]
    profiles = {name: each["profiles"] for name, each in SERVICES.items() if "profiles" in each}
    assert profiles == {"postgres": ["postgres", "ha"], "exporter-2": ["ha"]}
    assert described == SERVICES["postgres"]
    given = described["environment"]
    assert (url.username, url.path) == (given["POSTGRES_USER"], f"/{given['POSTGRES_DB']}")
    assert given["POSTGRES_PASSWORD"] == "${PGPASSWORD:-}"
    assert "PGPASSWORD" in variables


def test_the_profile_ha_has_two_exporters_of_one_kind() -> None:
    """The same image, settings and limits; nothing of the second one is on a disk."""
    first, second = (dict(SERVICES[name]) for name in EXPORTERS)
    for of_one in ("ports", "command", "volumes", "profiles"):
        first.pop(of_one, None), second.pop(of_one, None)
    assert first == second
    assert "volumes" not in SERVICES["exporter-2"]
    assert SERVICES["exporter-2"]["command"] == [
        environment_file(ENV.read_text(encoding="utf-8"))["EXPORTER_COMMAND"]
    ]


def test_prometheus_scrapes_each_exporter_and_nothing_else() -> None:
    """It asks for a name that exporters have in common, and takes each address that it gets."""
    [scraped] = read("deploy/compose/prometheus.yml")["scrape_configs"]
    [asked] = scraped["dns_sd_configs"]
    aliases = {
        name: each["networks"]["default"]["aliases"]
        for name, each in SERVICES.items()
        if "networks" in each
    }
    assert aliases == dict.fromkeys(EXPORTERS, asked["names"])
    assert {PORTS[name].partition(":")[2] for name in EXPORTERS} == {str(asked["port"])}
    assert not set(asked["names"]) & set(SERVICES)


def test_the_readme_starts_what_is_here() -> None:
    """The files in the commands of the README exist, and lie where Compose looks for them."""
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    files = set(re.findall(r"^docker compose -f (\S+)", readme, re.MULTILINE))
    assert files == {"deploy/compose/compose.yml"}
    (copied,) = re.findall(r"^cp (\S+)/.env.example (\S+)/.env ", readme, re.MULTILINE)
    assert [ROOT / folder for folder in copied] == [FOLDER, FOLDER]


def test_a_real_env_is_never_committed() -> None:
    """The file that holds the secret is ignored by git, and does not get into the image."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "/deploy/compose/.env" in ignored
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in allowed
    assert not any(line.startswith("!deploy") for line in allowed)


def test_prometheus_differs_from_the_shipped_example_in_addresses_only() -> None:
    """Who moves from Compose to a Prometheus of their own finds the same there."""
    ours, shipped = read("deploy/compose/prometheus.yml"), read("deploy/prometheus/prometheus.yml")
    ours["rule_files"] = [Path(name).name for name in ours["rule_files"]]
    [scraped], [example] = ours["scrape_configs"], shipped["scrape_configs"]
    del scraped["dns_sd_configs"], example["static_configs"]
    text = json.dumps(ours).replace("alertmanager:9093", "127.0.0.1:9093")
    assert json.loads(text) == shipped


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    """The data source differs from the shipped one in its address; the dashboards are in place."""
    ours = read("deploy/compose/datasources.yaml")
    shipped = read("grafana/provisioning/datasources/emr-serverless-spark.yaml")
    assert ours["datasources"][0].pop("url") == "http://prometheus:9090"
    assert shipped["datasources"][0].pop("url") == "http://127.0.0.1:9090"
    assert ours == shipped
    # Neither replaces a data source that a Grafana may have, nor the default one.
    assert "isDefault" not in shipped["datasources"][0]
    assert shipped["datasources"][0]["name"] != "Prometheus"
    (provider,) = read("grafana/provisioning/dashboards/emr-serverless-spark.yaml")["providers"]
    targets = {target: source for source, target in mounts("grafana")}
    assert targets[provider["options"]["path"]] == ROOT / "grafana" / "dashboards"
    variable = "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"
    home = Path(SERVICES["grafana"]["environment"][variable])
    assert (targets[str(home.parent)] / home.name).is_file()


@pytest.mark.real
def test_the_configurations_are_valid(tmp_path: Path, real_tool: Callable[[str], Path]) -> None:
    """`promtool` and `amtool` accept what the services mount, rules included."""
    prometheus = mounted("prometheus", tmp_path / "p") / "etc/prometheus/prometheus.yml"
    command: list[str | Path] = [real_tool("promtool"), "check", "config", prometheus]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "SUCCESS: 3 rule files found" in done.stdout
    alertmanager = mounted("alertmanager", tmp_path / "a") / "etc/alertmanager/alertmanager.yml"
    subprocess.run([real_tool("amtool"), "check-config", alertmanager], check=True)


def test_the_options_of_the_exporter_are_those_that_the_image_is_tested_with() -> None:
    """As locked down as the containers in which it is started there, its ledger on the volume."""
    service = SERVICES["exporter"]
    assert (
        *(["--read-only"] if service["read_only"] else []),
        *(f"--cap-drop={each}" for each in service["cap_drop"]),
        *(f"--security-opt={each.removesuffix(':true')}" for each in service["security_opt"]),
        f"--memory={service['mem_limit']}",
    ) == HARDENED
    assert service["command"] == ["${EXPORTER_COMMAND:-demo}"]
    (target,) = (each.split(":")[1] for each in service["volumes"])
    assert f"VOLUME {target}" in dockerfile()


@pytest.mark.real
@pytest.mark.timeout(150)
async def test_all_services_run_together(tmp_path: Path, real_tool: Callable[[str], Path]) -> None:
    """Prometheus scrapes the exporter, has loaded every rule, and has found Alertmanager."""
    exporter, alertmanager = (f"127.0.0.1:{free_port()}" for _ in range(2))
    # No name server is run here: the exporter is a static target.
    asked = (
        "dns_sd_configs:\n      - {names: [exporters], type: A, port: 9825, refresh_interval: 15s}"
    )
    addresses = {
        asked: f'static_configs:\n      - targets: ["{exporter}"]',
        "alertmanager:9093": alertmanager,
        " 30s": " 1s",
    }
    binary = find_alertmanager() or real_tool("alertmanager")
    demo = [*EXPORTER, "demo", f"--web.listen-address={exporter}"]
    async with (
        start(demo, tmp_path / "e"),
        service("alertmanager", binary, tmp_path / "a", alertmanager, {}),
        service(
            "prometheus",
            real_tool("prometheus"),
            tmp_path / "p",
            f"127.0.0.1:{free_port()}",
            addresses,
        ) as http,
    ):
        metric = "emr_serverless_spark_livy_sessions"
        await Prometheus(http).until(f'sum({metric}{{state="running"}}) > 0')
        rules = (await http.get("/api/v1/rules")).json()["data"]["groups"]
        assert {each["name"] for each in rules} == {each["name"] for each in groups()}
        found = (await http.get("/api/v1/alertmanagers")).json()["data"]["activeAlertmanagers"]
        assert [each["url"] for each in found] == [f"http://{alertmanager}/api/v2/alerts"]
        assert [rule for each in rules for rule in each["rules"] if rule["health"] == "err"] == []


@asynccontextmanager
async def service(
    name: str, binary: Path, folder: Path, address: str, replaced: Mapping[str, str]
) -> AsyncIterator[httpx.AsyncClient]:
    """Run a service by its own command on its own files, with other addresses and paths."""
    mounted(name, folder)
    config = next(target for _, target in mounts(name) if target.endswith(".yml"))
    file = folder / config.lstrip("/")
    text = file.read_text(encoding="utf-8")
    for old, new in replaced.items():
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
    flags = [re.sub(r"=/", f"={folder}/", flag) for flag in SERVICES[name]["command"]]
    command: list[str | Path] = [binary, *flags, f"--web.listen-address={address}"]
    async with (
        start(command, folder / "run") as process,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as http,
    ):
        await eventually(partial(is_ready, http))
        yield http
        code, _ = await process.end()
        assert code == 0
