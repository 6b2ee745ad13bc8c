"""The house itself: what is tracked, locked and shipped, and the loopback guard."""

import ast
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import exporter
from tests.guard import sitecustomize as guard
from tests.support.processes import claim, free_port
from tests.support.repository import ADDRESS, PYPROJECT, ROOT, git_files

# Joined here, so that this file does not hold what it looks for.
REGISTRY_HOSTS = "|".join(
    ["python" + "hosted", r"pypi" + r"\.org", r"deb\." + r"debian\.org", r"registry\." + "npmjs"]
)
MACHINE_PATHS = r"(?<![\w.])/(?:" + "|".join(["wo" + "rk", "fa" + "rm", "ro" + "ot"]) + r")/"
SCRATCH_PATHS = r"/tmp/" + r"(?:bash_jobs|studio)"
FORBIDDEN_TEXT = re.compile(
    f"{REGISTRY_HOSTS}|{MACHINE_PATHS}|{SCRATCH_PATHS}".encode(), re.IGNORECASE
)


def test_no_registry_host_and_no_path_of_a_machine_is_tracked() -> None:
    """A tracked file names no package registry's host and no place on a developer's machine."""
    found = [
        f"{name}:{number}: {line.decode(errors='replace').strip()}"
        for name in git_files()
        for number, line in enumerate((ROOT / name).read_bytes().splitlines(), 1)
        if FORBIDDEN_TEXT.search(line)
    ]
    assert found == []


def test_the_address_of_the_project_is_the_same_everywhere() -> None:
    """Source, image, chart, links of alerts, and what verifies a release: all of one place."""
    _, _, ours = ADDRESS.partition("github.com/")
    owner, _, name = ours.partition("/")
    # In a regular expression dots are escaped; the last part ends where a path goes on.
    address = re.compile(rb"(?:github\\?\.com|ghcr\.io)/([\w-]+/[\w-]+)")
    found = {
        (str(path), place.decode())
        for path in git_files()
        for place in address.findall((ROOT / path).read_bytes())
        if b"emr" in place
    }
    assert {place for _, place in found} == {ours, f"{owner}/charts"}, sorted(found)
    files = {path for path, _ in found}
    assert {"README.md", "deploy/prometheus/alerts.yml"} <= files
    chart = "deploy/helm/emr-serverless-spark-exporter"
    assert {f"{chart}/Chart.yaml", f"{chart}/values.yaml"} <= files
    assert name == PYPROJECT["project"]["name"]


def test_every_rule_that_ruff_ignores_has_its_reason() -> None:
    """Each ignored rule stands on a line of its own with a reason behind it."""
    lint = PYPROJECT["tool"]["ruff"]["lint"]
    ignored = [*lint["ignore"]]
    for codes in lint["per-file-ignores"].values():
        ignored.extend(codes)
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    explained = re.findall(r'^ +"([A-Z]+\d*)", *# \S+(?: \S+){2,}$', text, re.MULTILINE)
    assert sorted(explained) == sorted(ignored)


def pins(lock: str) -> dict[str, str]:
    """Read a lock file: package name to version; every pin must carry a hash."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[A-Za-z])", text, flags=re.MULTILINE)
    entries = [block for block in blocks if re.match("[A-Za-z]", block)]
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    requirements = [Requirement(entry.split(" \\")[0]) for entry in entries]
    return {canonicalize_name(each.name): str(each.specifier)[2:] for each in requirements}


@pytest.mark.parametrize(
    ("lock", "declared"),
    [
        ("requirements.lock", PYPROJECT["project"]["dependencies"]),
        ("requirements.lock", PYPROJECT["project"]["optional-dependencies"]["postgres"]),
        ("requirements-dev.lock", PYPROJECT["project"]["dependencies"]),
        ("requirements-dev.lock", PYPROJECT["dependency-groups"]["dev"]),
    ],
    ids=["runtime", "postgres", "runtime-in-dev", "dev"],
)
def test_the_locks_hold_what_the_project_declares(lock: str, declared: list[str]) -> None:
    """A dependency cannot be added or raised without `make lock`."""
    locked = pins(lock)
    unmet = [
        text
        for text in declared
        for wanted in [Requirement(text)]
        if not wanted.specifier.contains(locked.get(canonicalize_name(wanted.name), "0"))
    ]
    assert unmet == []


def test_development_runs_on_the_versions_that_are_shipped() -> None:
    """Every pin of the runtime lock is in the development lock, at the same version."""
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Build the wheel, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as built_wheel:
        yield built_wheel


@pytest.mark.process
def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """The wheel is the files of `exporter` that git knows, beside its own metadata."""
    info = f"emr_serverless_spark_exporter-{exporter.__version__}.dist-info/"
    shipped = {name for name in wheel.namelist() if not name.startswith(info)}
    ours = git_files("--cached", "--others", "--exclude-standard", "exporter")
    assert shipped == {name.as_posix() for name in ours}


@pytest.mark.process
def test_the_wheel_says_version_command_and_licence(wheel: zipfile.ZipFile) -> None:
    """The version stands in one place; the command and the licence come with the wheel."""
    info = f"emr_serverless_spark_exporter-{exporter.__version__}.dist-info"
    metadata = wheel.read(f"{info}/METADATA").decode().splitlines()
    assert f"Version: {exporter.__version__}" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    entry_points = wheel.read(f"{info}/entry_points.txt").decode()
    assert "emr-serverless-spark-exporter = exporter.cli:main" in entry_points


def test_the_changelog_knows_the_version() -> None:
    """The newest release in the changelog is this version, or there is none yet."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert sections[1:2] in ([], [exporter.__version__])


def test_the_changelog_of_the_first_release_repairs_nothing() -> None:
    """What nobody had is neither changed nor fixed: until there is a release, all is added."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    kinds = re.findall(r"^### (Changed|Fixed)$", text, re.MULTILINE)
    released = re.search(r"^## \[\d", text, re.MULTILINE)
    assert released or not kinds, "only `### Added` (did a merge by union bring old lines back?)"


def unmentioned_modules(package: Path) -> set[str]:
    """Return the modules of a package that its docstring does not name."""
    modules = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    modules |= {path.parent.name for path in package.glob("*/__init__.py")}
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8"))) or ""
    return modules - set(re.findall(r"\w+", docstring))


def test_the_docstring_of_a_package_says_what_its_modules_are_for() -> None:
    """Each module is named there; those of the whole are in `exporter/README.md`."""
    packages = [path.parent for path in (ROOT / "exporter").glob("*/**/__init__.py")]
    assert packages
    missing = {str(path.relative_to(ROOT)): unmentioned_modules(path) for path in packages}
    assert {package: modules for package, modules in missing.items() if modules} == {}


def bound_names(statement: ast.stmt) -> list[str]:
    """Name what a top-level statement defines; an import defines only what is taken from us."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [node.id for node in targets if isinstance(node, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.ImportFrom(module=module, level=level, names=names):
            is_ours = level > 0 or (module or "").split(".")[0] == "exporter"
            return [each.asname or each.name for each in names] if is_ours else []
    return []


def face_errors(path: Path) -> set[str]:
    """Name what a module's `__all__` lacks or has too much; nothing where it has none.

    What a package imports from us is public too, unless its own code is what uses the name.
    """
    module = ast.parse(path.read_text(encoding="utf-8"))
    used = {node.id for node in ast.walk(module) if isinstance(node, ast.Name)}
    declared: set[str] | None = None
    own: set[str] = set()
    imported: set[str] = set()
    for statement in module.body:
        names = bound_names(statement)
        if names == ["__all__"] and isinstance(statement, ast.Assign | ast.AnnAssign):
            assert statement.value is not None
            declared = set(ast.literal_eval(statement.value))
        elif isinstance(statement, ast.ImportFrom):
            imported.update(names)
        else:
            own.update(name for name in names if not name.startswith("_"))
    if declared is None:
        return set()
    wanted = own | (imported - used if path.name == "__init__.py" else set())
    return (wanted - declared) | (declared - own - imported)


def test_all_is_the_public_face() -> None:
    """Where a module has `__all__`, it lists exactly the module's public names."""
    paths = sorted((ROOT / "exporter").rglob("*.py"))
    errors = {str(path.relative_to(ROOT)): face_errors(path) for path in paths}
    assert {path: names for path, names in errors.items() if names} == {}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        (b"127.0.0.1", True),
        ("", False),
        ("0.0.0.0", False),  # noqa: S104 - named, not bound
        ("::", False),
        ("100.100.100.200", False),
        ("192.168.0.1", False),
        ("::ffff:8.8.8.8", False),
        ("example.com", False),
        ("localhost.example.com", False),
    ],
)
def test_the_guard_tells_this_machine_from_the_rest(host: str | bytes, *, expected: bool) -> None:
    """Only loopback addresses and `localhost` are this machine."""
    assert guard.is_loopback(host) is expected


# What tests might do, each swallowing the exception; 192.0.2.1 is set aside for documentation.
ESCAPES = {
    "connect": "socket.socket().connect(('192.0.2.1', 80))",
    "connect_ex": "socket.socket().connect_ex(('192.0.2.1', 80))",
    "bind": "socket.socket().bind(('', 0))",
    "sendto": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
    "sendmsg": "socket.socket(type=socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('192.0.2.1', 53))",
    "getaddrinfo": "socket.getaddrinfo('example.com', 80)",
    "gethostbyname": "socket.gethostbyname('example.com')",
    "asyncio": "asyncio.run(asyncio.open_connection('192.0.2.1', 80))",
    "thread": "in_thread(lambda: socket.create_connection(('192.0.2.1', 80)))",
    "child": "in_child('import socket; socket.create_connection((\"192.0.2.1\", 80), 1)')",
}
GOOD_NEIGHBOURS = """
def test_good_loopback():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
        socket.getaddrinfo("localhost", 80)
        left, right = socket.socketpair()
        left.close(), right.close()

def test_good_unix(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
"""
GUARDED_MODULE = """
import asyncio, contextlib, socket, subprocess, sys, threading

def in_thread(work):
    thread = threading.Thread(target=lambda: swallow(work))
    thread.start()
    thread.join()

def in_child(code):
    subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL)

def swallow(work):
    with contextlib.suppress(Exception):
        work()
"""


def run_pytest(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with our conftest, but not our configuration, over a folder."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command += ["-c", os.devnull, "--rootdir", str(folder), "-rfE", str(folder)]
    environment = os.environ | variables
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )


@pytest.mark.process
def test_the_guard_fails_whatever_leaves_this_machine(tmp_path: Path) -> None:
    """Each way out fails its test, although the test swallows the exception; loopback passes."""
    tests = [f"def test_{name}():\n    swallow(lambda: {code})\n" for name, code in ESCAPES.items()]
    module = GUARDED_MODULE + "\n".join(tests) + GOOD_NEIGHBOURS
    (tmp_path / "test_escapes.py").write_text(module, encoding="utf-8")
    output = run_pytest(tmp_path).stdout
    failed = re.findall(r"^FAILED \S+::test_(\w+)", output, re.MULTILINE)
    assert sorted(failed) == sorted(ESCAPES), output
    assert f"{len(ESCAPES)} failed, 2 passed" in output
    assert "The loopback guard refused:" in output


@pytest.mark.process
def test_the_tests_refuse_to_run_with_the_metadata_service(tmp_path: Path) -> None:
    """Without the variable that turns the metadata service off, no test runs."""
    (tmp_path / "test_any.py").write_text("def test_any(): pass\n", encoding="utf-8")
    answer = run_pytest(tmp_path, ALIBABA_CLOUD_ECS_METADATA_DISABLED="")
    assert answer.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ALIBABA_CLOUD_ECS_METADATA_DISABLED=true" in answer.stdout + answer.stderr
    assert "passed" not in answer.stdout


def test_the_home_of_the_tests_is_empty() -> None:
    """No file of whoever runs the tests can reach them."""
    assert list(Path.home().iterdir()) == []


@pytest.mark.process
@pytest.mark.parametrize(("required", "outcome"), [("1", "1 failed"), ("", "1 skipped")])
def test_a_missing_tool_skips_unless_all_are_required(
    tmp_path: Path, required: str, outcome: str
) -> None:
    """Where REQUIRE_REAL_TOOLS=1, as in CI, a missing tool is a failure and never a skip."""
    text = "def test_tool(real_tool): real_tool('no-such-tool')\n"
    (tmp_path / "test_tool.py").write_text(text, encoding="utf-8")
    output = run_pytest(tmp_path, REQUIRE_REAL_TOOLS=required).stdout
    assert outcome in output


def test_a_port_is_given_to_one_test_only() -> None:
    """Until the process ends that was given it, no run of the tests is given it again."""
    assert not claim(free_port())


def imported_modules(path: Path) -> Iterator[str]:
    """Name the modules that a file may import, what it takes from each included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_module_imports_a_test_module() -> None:
    """What several test modules use is in `tests/support`, or in a module beside them."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in sorted((ROOT / "tests").rglob("*.py"))
    }
    tests = {name for name in modules if name.rpartition(".")[2].startswith("test_")}
    found = {name: tests.intersection(imported_modules(path)) for name, path in modules.items()}
    assert {name: imported for name, imported in found.items() if imported} == {}


def test_no_two_public_classes_have_one_name() -> None:
    """A name that is read in one package means the same in every other."""
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "exporter").rglob("*.py")):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.ClassDef) and not statement.name.startswith("_"):
                places.setdefault(statement.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
