"""The chart, rendered by the real helm."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from exporter.settings import TargetSettings
from exporter.settings.registry import Setting, all_settings
from tests.support.repository import ROOT

CHART = ROOT / "deploy" / "helm" / "emr-serverless-spark-exporter"
SCHEMA = CHART / "values.schema.json"

Values = Mapping[str, Any]

RELEASE = "r"
"""The name of an installation where it does not matter."""

OLDEST = "1.25"
"""The oldest Kubernetes that the chart says it needs, and that the schemas know."""

OF_THE_CHART = frozenset(
    {"config.file", "web.listen-address", "web.config.file"}
    | {"ledger.path", "ledger.url", "ledger.schema"}
)
"""Settings that the chart gives itself, and refuses in `config`."""


@dataclass(frozen=True)
class Helm:
    """Runs helm offline, with folders of its own."""

    program: Path
    folder: Path
    rendered: Path
    """A folder for what was rendered, which several processes may share."""

    @property
    def folders(self) -> dict[str, str]:
        """The environment variables that keep helm out of the home folder."""
        return {f"HELM_{kind}_HOME": str(self.folder) for kind in ("CACHE", "CONFIG", "DATA")}

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever its exit code."""
        return subprocess.run(
            [self.program, *arguments],
            env=os.environ | self.folders,
            check=False,
            capture_output=True,
            text=True,
        )

    def render(
        self,
        values: Values,
        *,
        chart: Path = CHART,
        release: str = RELEASE,
        namespace: str = "default",
        kubernetes: str = OLDEST,
    ) -> list[dict[str, Any]]:
        """Return the manifests that an installation with `values` makes, by default in an old one.

        What is valid there is valid everywhere.
        """
        asked = json.dumps([str(chart), release, namespace, kubernetes, values])
        name = hashlib.sha256(asked.encode()).hexdigest()
        path = self.rendered / name
        if not path.exists():  # many tests look at the same ones
            done = self._template(values, chart, release, namespace, kubernetes)
            assert done.returncode == 0, done.stderr
            unfinished = self.folder / name
            unfinished.write_text(done.stdout, encoding="utf-8")
            unfinished.replace(path)
        text = path.read_text(encoding="utf-8")
        return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]

    def notes(self, values: Values) -> str:
        """Return what helm prints after an installation with `values`."""
        words = ("install", RELEASE, CHART, "--dry-run=client")
        done = self.run(*words, "--values", self._written(values))
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("\nNOTES:\n")[2]

    def refusal(self, values: Values) -> str:
        """Return why an installation with `values` is refused."""
        done = self._template(values, CHART, RELEASE, "default", OLDEST)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def _template(
        self, values: Values, chart: Path, release: str, namespace: str, kubernetes: str
    ) -> subprocess.CompletedProcess[str]:
        where = (f"--namespace={namespace}", f"--kube-version={kubernetes}")
        words = ("template", release, chart, *where)
        return self.run(*words, "--values", self._written(values))

    def _written(self, values: Values) -> Path:
        path = self.folder / "values.json"
        path.write_text(json.dumps(values), encoding="utf-8")
        return path


def find(manifests: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """Return the only manifest of a kind."""
    (found,) = (each for each in manifests if each["kind"] == kind)
    return dict(found)


def exporter_pod(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the template of the exporter's pod."""
    template: dict[str, Any] = workload(manifests)["spec"]["template"]
    return template


def workload(manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the object that keeps the exporter's pod."""
    (found,) = (each for each in manifests if each["kind"] in {"StatefulSet", "Deployment"})
    return dict(found)


def container(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the exporter's container."""
    (only,) = exporter_pod(manifests)["spec"]["containers"]
    return dict(only)


@cache
def values_file() -> str:
    """Read the values as they stand, with their comments."""
    return (CHART / "values.yaml").read_text(encoding="utf-8")


def config_schema() -> dict[str, Any]:
    """Write the JSON schema of the value `config`: the exporter's settings, without the chart's.

    Loose on the notation of values, which the exporter itself checks at its start.
    """
    schema: dict[str, Any] = {**_object(), "description": "the exporter's settings"}
    for setting in all_settings().values():
        if setting.name in OF_THE_CHART:
            continue
        group = schema
        for step in setting.path[:-1]:
            group = group["properties"].setdefault(step, _object())
        group["properties"][setting.path[-1]] = _schema_of(setting)
    return schema


def _object() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _texts(*, is_list: bool) -> dict[str, Any]:
    """Ask for texts: Helm reads `0123` without quotes as 83."""
    text: dict[str, Any] = {"type": "string"}
    return {"type": ["array", "string"], "items": text} if is_list else text


def _schema_of(setting: Setting) -> dict[str, Any]:
    default = f" (default: {setting.default})"
    described = {"description": f"{setting.field.description}{default}"}
    if setting.name == "targets":
        entry = _object()
        entry["properties"] = {
            name: {"description": field.description or "", **_texts(is_list=field.default == ())}
            for name, field in TargetSettings.model_fields.items()
        }
        return {**described, "type": "array", "items": entry}
    return {**described, **_values_of(setting)}


_NUMBER = "[0-9]+([.][0-9]+)?"
_NOTATIONS: Mapping[str, dict[str, Any]] = {
    "true|false": {"type": "boolean"},
    "DURATION": {
        "type": ["number", "string"],
        "pattern": f"^({_NUMBER}(ms|[wdhms]))+$|^{_NUMBER}$",
    },
    "SIZE": {"type": ["integer", "string"], "pattern": f"^{_NUMBER} ?([KMGkmg][Ii]?)?[Bb]?$"},
    "NUMBER": {"type": ["number", "string"], "pattern": f"^{_NUMBER}$"},
}
"""By the word for the value in the help: near enough to refuse a value before the pod does."""


def _values_of(setting: Setting) -> dict[str, Any]:
    word = setting.notation.word
    if setting.is_list:
        return _texts(is_list=True)
    if word in _NOTATIONS:
        is_whole = setting.field.annotation is int and word == "NUMBER"
        whole = {"type": ["integer", "string"], "pattern": "^[0-9]+$"}
        return whole if is_whole else _NOTATIONS[word]
    return {"enum": word.split("|")} if "|" in word else {"type": "string"}
