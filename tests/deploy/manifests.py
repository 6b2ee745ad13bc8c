"""Manifests held to the schemas of Kubernetes and of prometheus-operator."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate import utils

Manifest = Mapping[str, Any]

CRDS = Path(__file__).parent / "crds"

OLDEST = "1.25"
"""The oldest version that the schemas know, and that the chart says it needs."""


def versions() -> tuple[str, str]:
    """Give the oldest and the newest version of Kubernetes that the schemas know."""
    return utils.major_minor(utils.all_versions()[0]), utils.major_minor(utils.latest_version())


def complaints(manifests: Iterable[Manifest]) -> list[str]:
    """Say what is wrong with manifests, each only once; unknown fields are wrong too."""
    unique = sorted({json.dumps(each, sort_keys=True) for each in manifests})
    return [complaint for text in unique for complaint in _complaints_of(text)]


@cache
def _complaints_of(text: str) -> Sequence[str]:
    manifest = json.loads(text)
    name = f"{manifest['kind']}/{manifest['metadata']['name']}"
    return [f"{name}: {complaint}" for complaint in _look_at(manifest)]


def _look_at(manifest: Manifest) -> Iterator[str]:
    custom = _custom_schemas().get((manifest["apiVersion"], manifest["kind"]))
    if custom is not None:
        for error in jsonschema.Draft202012Validator(custom).iter_errors(manifest):
            yield f"{error.json_path}: {error.message}"
        return
    for version in versions():
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except (
            kubernetes_validate.ValidationError,
            kubernetes_validate.SchemaNotFoundError,
        ) as error:
            yield f"in {version}: {error.message}"


@cache
def _custom_schemas() -> Mapping[tuple[str, str], Any]:
    """Give the schemas of the operator's resources by version and kind."""
    found = {}
    for path in sorted(CRDS.glob("*.yaml")):
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
        for version in spec["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}  # Kubernetes' own
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def _strict(schema: Any) -> Any:  # noqa: ANN401  a schema is any JSON
    """Refuse unknown fields, which the API server would drop in silence, and allow its union."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: _strict(value) for key, value in schema.items()}
    if changed.get("x-kubernetes-int-or-string") is True:
        changed.pop("type", None)
        changed["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if changed.get("type") == "object" and isinstance(changed.get("properties"), dict):
        changed.setdefault("additionalProperties", False)
    return changed
