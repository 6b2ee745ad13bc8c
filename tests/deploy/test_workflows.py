"""GitHub's workflows: in the right form, pinned, with no right too many.

They cannot be run here; what they run, such as `.ci/run` and the build of image and package, can.
"""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.charts import CHART
from tests.support.repository import ROOT

FOLDER = ROOT / ".github" / "workflows"
PATHS = sorted(FOLDER.glob("*.yml"))
WORKFLOWS: Mapping[str, Mapping[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in PATHS
}
SCHEMAS = ("vendor.github-workflows", "custom.github-workflows-require-timeout")

SIGNED = {"contents": "read", "id-token": "write", "attestations": "write"}
RIGHTS = {
    "package": SIGNED,
    "image": {**SIGNED, "packages": "write"},
    "chart": {**SIGNED, "packages": "write"},
    "pypi": {"id-token": "write"},
    "release": {"contents": "write"},
}
"""What each job may do beyond reading the repository."""


def jobs() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every job by name."""
    for workflow in WORKFLOWS.values():
        yield from workflow["jobs"].items()


def steps() -> Iterator[Mapping[str, Any]]:
    """Yield every step of every job."""
    for _, job in jobs():
        yield from job.get("steps", ())


def scripts() -> list[str]:
    """Return every script that a step runs."""
    return [step["run"] for step in steps() if "run" in step]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_workflows_fit_their_schema(schema: str) -> None:
    """Every key is one that GitHub knows, and every job has a timeout."""
    check_schema(schema, *PATHS)


def test_whatever_is_pinned_is_kept_up_to_date() -> None:
    """Dependabot looks after images and actions; each folder that it is told of has such files."""
    path = ROOT / ".github" / "dependabot.yml"
    check_schema("vendor.dependabot", path)
    updates = yaml.safe_load(path.read_text(encoding="utf-8"))["updates"]
    files = {
        "docker": "Dockerfile",
        "docker-compose": "compose.yml",
        "github-actions": ".github/workflows",
        "pip": "pyproject.toml",
    }
    assert {update["package-ecosystem"] for update in updates} == files.keys()
    for update in updates:
        folder = ROOT / update["directory"].removeprefix("/")
        assert (folder / files[update["package-ecosystem"]]).exists()


def check_schema(schema: str, *paths: Path) -> None:
    """Hold files against one of the schemas that the linter has with it."""
    linter = Path(sys.executable).parent / "check-jsonschema"
    command = [str(linter), f"--builtin-schema={schema}", *map(str, paths)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_action_is_pinned_by_its_commit() -> None:
    """A tag can be moved, a commit cannot; the tag stands beside it for people."""
    lines = [line for path in PATHS for line in path.read_text(encoding="utf-8").splitlines()]
    used = [line.partition("uses: ")[2] for line in lines if "uses: " in line]
    foreign = [each for each in used if not each.startswith("./")]
    assert len(foreign) == len([step for step in steps() if "uses" in step])
    pinned = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [each for each in foreign if not pinned.fullmatch(each)] == []
    by_name: dict[str, set[str]] = {}
    for each in foreign:
        by_name.setdefault(each.partition("@")[0], set()).add(each)
    assert {name: pins for name, pins in by_name.items() if len(pins) > 1} == {}


def test_no_job_may_more_than_it_needs() -> None:
    """All may read; the rights to write are those in the table, and no checkout keeps a token."""
    assert {name: flow["permissions"] for name, flow in WORKFLOWS.items()} == {
        "ci": {"contents": "read"},
        "release": {"contents": "read"},
    }
    assert {name: job["permissions"] for name, job in jobs() if "permissions" in job} == RIGHTS
    checkouts = [step for step in steps() if "checkout@" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_scripts_are_shell_and_take_nothing_in_by_text() -> None:
    """What comes from outside comes as a variable, never as part of a script."""
    for script in scripts():
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        assert "${{" not in script


def test_all_versions_of_python_that_are_promised_are_tested() -> None:
    """The matrix is what the package says it runs on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]["python"] == promised


def test_a_release_is_tested_then_built_and_published_in_order() -> None:
    """Nothing is published of what was not tested; PyPI, where nothing can be undone, is last."""
    found = WORKFLOWS["release"]["jobs"]
    assert found["test"]["uses"] == "./.github/workflows/ci.yml"
    needs = {name: job.get("needs") for name, job in found.items()}
    assert needs == {
        "test": None,
        "package": "test",
        "image": "package",
        "chart": "image",
        "pypi": ["image", "chart"],
        "release": "pypi",
    }
    built = next(step["with"] for step in found["image"]["steps"] if step.get("id") == "build")
    assert built["platforms"] == "linux/amd64,linux/arm64"
    assert built["sbom"] is True


def test_a_release_has_the_files_of_its_jobs_and_no_others() -> None:
    """The record of an image's build, an artifact too, is no ZIP file: to download it fails."""
    given = {step["with"]["name"] for step in steps() if "upload-artifact@" in step.get("uses", "")}
    downloads = [step["with"] for step in steps() if "download-artifact@" in step.get("uses", "")]
    for download in downloads:
        assert set(re.findall(r"\w+", download.get("name") or download["pattern"])) <= given
    assert {*re.findall(r"\w+", downloads[-1]["pattern"])} == given


def test_the_notes_of_a_release_are_its_part_of_the_changelog(tmp_path: Path) -> None:
    """The script that cuts it out gives that version's part, and no other."""
    (script,) = (each for each in scripts() if "gh release" in each)
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n## [Unreleased]\nlater\n## [1.2.3] - 2026-01-01\n- news\n## [1.2.2]\nold\n"
    )
    (tmp_path / "gh").write_text("#!/bin/sh\n")
    (tmp_path / "gh").chmod(0o755)
    environment = {"GITHUB_REF_NAME": "v1.2.3", "PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "notes.md").read_text() == "- news\n"


@pytest.mark.real
def test_the_released_chart_runs_the_released_image(
    real_tool: Callable[[str], Path], tmp_path: Path
) -> None:
    """Both scripts agree, whoever owns the repository; what is signed is what was pushed."""
    chart = tmp_path / CHART.relative_to(ROOT)
    shutil.copytree(CHART, chart)  # the links in it become files
    shutil.copy(ROOT / "Makefile", tmp_path)
    stubs = tmp_path / "bin"
    stubs.mkdir()
    helm = f'[ "$1" = push ] && echo "Digest: sha256:beef" || exec {real_tool("helm")} "$@"'
    for name, does in {"helm": helm, "cosign": 'echo "$@" >signed'}.items():
        (stubs / name).write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
        (stubs / name).chmod(0o755)
    environment = {
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_REF_NAME": "v1.2.3",
        "GITHUB_REPOSITORY": "Some-Body/Exporter",
        "GITHUB_REPOSITORY_OWNER": "Some-Body",
        "HOME": str(tmp_path),
        "PATH": f"{stubs}:/usr/bin:/bin",
    }
    for job, name in (("image", "Name the image"), ("chart", "Package, push and sign")):
        script = script_of(job, name)
        subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, check=True)
    pushed = dict(line.split("=") for line in (tmp_path / "output").read_text().splitlines())
    with tarfile.open(tmp_path / "chart" / f"{CHART.name}-1.2.3.tgz") as package:
        held = {
            name: yaml.safe_load(package.extractfile(f"{CHART.name}/{name}") or b"")
            for name in ("Chart.yaml", "values.yaml")
        }
    assert pushed == {"image": "ghcr.io/some-body/exporter", "version": "1.2.3"}
    assert held["values.yaml"]["image"]["repository"] == pushed["image"]
    assert held["values.yaml"]["image"]["tag"] == ""
    assert held["Chart.yaml"]["appVersion"] == pushed["version"]
    signed = (tmp_path / "signed").read_text(encoding="utf-8").split()
    assert signed == ["sign", "--yes", f"ghcr.io/some-body/charts/{CHART.name}@sha256:beef"]


def script_of(job: str, name: str) -> str:
    """Return what a step of the release runs."""
    (step,) = (
        each for each in WORKFLOWS["release"]["jobs"][job]["steps"] if each.get("name") == name
    )
    return str(step["run"])
