"""Manifests held to the schemas of Kubernetes and of prometheus-operator."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.charts import OLDEST

Manifest = Mapping[str, Any]

CRDS = Path(__file__).parent / "crds"

_PART = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL = re.compile(rf"(?=.{{1,63}}$){_PART}")
_SERVICE = re.compile(r"(?=.{1,63}$)[a-z]([-a-z0-9]*[a-z0-9])?")
_STATEFUL_SET = re.compile(rf"(?=.{{1,52}}$){_PART}")
_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}$){_PART}(\.{_PART})*")
_LABEL_VALUE = re.compile(r"(?=.{0,63}$)([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_NAMES = {"Service": _SERVICE, "StatefulSet": _STATEFUL_SET}
"""What the API server takes as names, and no schema tells; a StatefulSet's pods get a label with
its name and a hash behind it."""


def versions() -> tuple[str, str]:
    """Return the oldest and the newest version of Kubernetes that the schemas know."""
    from kubernetes_validate import utils  # noqa: PLC0415  as below

    return utils.major_minor(utils.all_versions()[0]), utils.major_minor(utils.latest_version())


def complaints(manifests: Iterable[Manifest], *, oldest: str = OLDEST) -> list[str]:
    """Say what is wrong with manifests, from `oldest` on; unknown fields are wrong too."""
    unique = sorted({json.dumps(each, sort_keys=True) for each in manifests})
    return [complaint for text in unique for complaint in _complaints_of(text, oldest)]


@cache
def _complaints_of(text: str, oldest: str) -> Sequence[str]:
    manifest = json.loads(text)
    name = f"{manifest['kind']}/{manifest['metadata']['name']}"
    found = (*_look_at(manifest, oldest), *misnamed(manifest))
    return [f"{name}: {complaint}" for complaint in found]


def misnamed(manifest: Manifest) -> Iterator[str]:
    """Say which names and labels the API server would refuse."""
    name, spec = manifest["metadata"]["name"], manifest.get("spec", {})
    namespace = manifest["metadata"]["namespace"]
    if not _NAMES.get(manifest["kind"], _SUBDOMAIN).fullmatch(name):
        yield f"{name} is not a name of such an object"
    if not _LABEL.fullmatch(namespace):
        yield f"{namespace} is not a name of a namespace"
    if not _SERVICE.fullmatch(spec.get("serviceName", "none")):
        yield f"{spec['serviceName']} is not a name of a Service"
    for metadata in (manifest["metadata"], spec.get("template", {}).get("metadata", {})):
        for label, value in metadata.get("labels", {}).items():
            if not _LABEL_VALUE.fullmatch(value):
                yield f"{value} is not a value of the label {label}"


def _look_at(manifest: Manifest, oldest: str) -> Iterator[str]:
    # To import these takes long, and every worker reads this module.
    import jsonschema  # noqa: PLC0415
    import kubernetes_validate  # noqa: PLC0415

    custom = _custom_schemas().get((manifest["apiVersion"], manifest["kind"]))
    if custom is not None:
        for error in jsonschema.Draft202012Validator(custom).iter_errors(manifest):
            yield f"{error.json_path}: {error.message}"
        return
    for version in (oldest, versions()[1]):
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except (
            kubernetes_validate.ValidationError,
            kubernetes_validate.SchemaNotFoundError,
        ) as error:
            yield f"in {version}: {error.message}"


@cache
def _custom_schemas() -> Mapping[tuple[str, str], Any]:
    """Return the schemas of the operator's resources by version and kind."""
    found = {}
    for path in sorted(CRDS.glob("*.yaml")):
        spec = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)["spec"]
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
