"""What the Markdown files say is what the program does.

With GOLDEN_UPDATE=1 the generated tables are written.
"""

import ast
import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import promql_parser
import pytest
import yaml

from exporter import catalog, model
from exporter.catalog import CATALOG, PREFIX
from exporter.cli import entry
from exporter.cli.program import PROGRAM
from exporter.errors import LedgerFailure, Reason
from exporter.settings.registry import all_settings
from exporter.web.access.file_schema import WebFile
from tests.support.command_line import COMMANDS, load
from tests.support.documents import documents, markdown_table, where
from tests.support.repository import ROOT, git_files

CHART = ROOT / "deploy/helm/emr-serverless-spark-exporter"
DOCUMENTS = documents()
README = DOCUMENTS["README.md"]
METRICS = DOCUMENTS["exporter/METRICS.md"]
QUOTED = [(name, words) for name, page in DOCUMENTS.items() for words in page.quoted]
DOTTED = [(name, words) for name, words in QUOTED if not re.search(r"\.(ini|json|py|yml)$", words)]


def settings_table() -> str:
    """Write the settings as a Markdown table."""
    return markdown_table(
        ("Setting", "Variable", "Default", "Meaning"),
        (
            (
                f"`{setting.name}`",
                f"`{setting.variable}`",
                setting.default
                if setting.field.get_default() in (None, ())
                else f"`{setting.default}`",
                setting.field.description or "",
            )
            for setting in all_settings().values()
        ),
    )


def metrics_table() -> str:
    """Write the catalog as a Markdown table."""
    return markdown_table(
        ("Metric", "Type", "Labels", "Meaning"),
        (
            (
                f"`{metric.name}`",
                metric.kind,
                " ".join(f"`{label}`" for label in metric.labels),
                metric.help,
            )
            for metric in CATALOG
        ),
    )


def idle_settings() -> str:
    """Name the settings that no code reads yet."""
    used = attributes()
    idle = [
        setting.name
        for path, setting in all_settings().items()
        # The first is read before there are settings; the second through `web.listen`.
        if setting.name not in {"config.file", "web.listen-address"}
        and (path[-2] if len(path) > 1 else "self", path[-1]) not in used
    ]
    return sentence("These settings are checked, and have no effect yet", idle)


def idle_metrics() -> str:
    """Name the metrics that no code exports yet."""
    used = {name for owner, name in attributes() if owner == "catalog"}
    idle = [
        value.name.removeprefix(PREFIX)
        for name, value in vars(catalog).items()
        if isinstance(value, catalog.Metric) and name not in used
    ]
    return sentence("These metrics are reserved, and not exported yet", idle)


def sentence(claim: str, names: list[str]) -> str:
    """Write a claim about `names`, or nothing where there are none."""
    return f"{claim}: {', '.join(f'`{name}`' for name in names)}." if names else ""


@cache
def attributes() -> frozenset[tuple[str, str]]:
    """Return each `owner.name` that the program reads, without leading underscores."""
    files = (ROOT / "exporter").rglob("*.py")
    return frozenset(pair for path in files for pair in _attributes_in(path))


def _attributes_in(path: Path) -> Iterator[tuple[str, str]]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    # Where `api = settings.api_settings`, `api.timeout` is read of `api_settings`.
    aliases = {
        target.id: node.value.attr
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in nodes:
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            yield aliases.get(name, name).lstrip("_"), node.attr


@pytest.mark.parametrize(
    ("path", "part", "generate"),
    [
        ("exporter/SETTINGS.md", "idle-settings", idle_settings),
        ("exporter/SETTINGS.md", "settings", settings_table),
        ("exporter/METRICS.md", "idle-metrics", idle_metrics),
        ("exporter/METRICS.md", "metrics", metrics_table),
    ],
)
def test_golden_tables_are_up_to_date(path: str, part: str, generate: Callable[[], str]) -> None:
    """The tables of settings and metrics say what the program does."""
    begin, end = f"<!-- {part}:begin -->", f"<!-- {part}:end -->"
    text = (ROOT / path).read_text(encoding="utf-8")
    before, found_begin, rest = text.partition(begin)
    written, found_end, after = rest.partition(end)
    assert (found_begin, found_end) == (begin, end)
    generated = generate()
    expected = f"\n{generated}\n" if generated else "\n"
    if os.environ.get("GOLDEN_UPDATE") == "1":
        (ROOT / path).write_text(f"{before}{begin}{expected}{end}{after}", encoding="utf-8")
        return
    assert expected == written, "run `make golden` and read the diff"


def test_the_readme_can_be_read_in_a_few_minutes() -> None:
    """It has at most 300 lines: the rest stands where it is used."""
    assert len(README.text.splitlines()) <= 300


def test_the_figures_of_the_readme_are_those_of_the_benchmarks() -> None:
    """Each of them stands beside its command in `tests/bench/README.md`."""
    _, _, performance = README.text.partition("\n## Performance\n")
    figure = re.compile(r"\d(?:[\d,.]*\d)?")
    figures = set(figure.findall(performance.partition("\n## ")[0]))
    assert figures
    assert figures - set(figure.findall(DOCUMENTS["tests/bench/README.md"].text)) == set()


def test_no_sentence_stands_in_two_places() -> None:
    """A statement has one place, and links lead to it; so it cannot be right and wrong at once."""
    long = 60
    sentences = Counter(
        found
        for name, page in DOCUMENTS.items()
        if name != "CHANGELOG.md"
        for found in page.sentences
        if len(found) >= long
    )
    assert [found for found, times in sentences.items() if times > 1] == []


def test_every_command_is_in_the_table_of_commands() -> None:
    """No command goes unmentioned, and none is invented."""
    assert README.first_words("Command") == [*COMMANDS]


def test_the_exit_codes_are_those_of_the_program() -> None:
    """The table of exit codes is complete."""
    ended = (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM)
    ours = (0, entry.FAILED, entry.MISUSED, *(128 + number for number in ended))
    codes = DOCUMENTS["deploy/README.md"].first_words("Exit code")
    assert codes == [str(code) for code in ours]


def test_commands_that_are_typed_exist() -> None:
    """What follows the program's name in an example is one of its commands, or a flag."""
    typed = [
        words
        for page in DOCUMENTS.values()
        for code in [*page.blocks(), *page.quoted]
        for words in re.findall(rf"{PROGRAM} +([a-z]+(?: [a-z]+)?)(?![\w/])", code)
    ]
    known = {*COMMANDS, *(name.split()[0] for name in COMMANDS)}
    assert typed
    assert [words for words in typed if words.split()[0] not in known] == []
    groups = {name.split()[0] for name in COMMANDS if " " in name}
    assert [words for words in typed if words in groups] == []


OTHER_FLAGS = {
    "pip": {"--require-hashes", "--no-deps"},
    "docker": {"--read-only", "--cap-drop", "--security-opt", "--memory", "--name", "--restart"}
    | {"--rm", "--entrypoint"},
    "docker compose": {"--build", "--profile", "--volumes"},
    "prometheus": {"--storage.tsdb.path"},
    "helm, kubectl": {"--create-namespace", "--for", "--previous", "--set", "--timeout"},
    "chown": {"--reference"},
    "systemctl": {"--now", "--what"},
    "pg_dump, pg_restore": {"--dbname", "--file", "--format", "--no-owner", "--schema"},
    "cosign, gh": {"--certificate-identity-regexp", "--certificate-oidc-issuer", "--repo"},
}


def test_flags_and_variables_exist() -> None:
    """Every flag and every variable of ours that is named anywhere is known."""
    flags = {setting.flag for setting in all_settings().values()}
    flags |= {"--help", "--version", "--flags", "--x"}
    flags |= {
        flag for command in COMMANDS.values() for param in command.params for flag in param.opts
    }
    flags = flags.union(*OTHER_FLAGS.values())
    named = where(DOCUMENTS, r"(?<![\w-])--[a-z][a-z.-]*[a-z]")
    assert [(name, flag) for name, flag in named if flag not in flags] == []
    variables = {setting.variable for setting in all_settings().values()} | {"EMR_EXPORTER_"}
    named = where(DOCUMENTS, r"EMR_EXPORTER_\w*")
    assert [(name, variable) for name, variable in named if variable not in variables] == []


def test_settings_in_backticks_exist() -> None:
    """What looks like the name of a setting in a group is one."""
    names = {setting.name for setting in all_settings().values()}
    groups = {name.split(".")[0] for name in names if "." in name}
    looks = re.compile(rf"(?:{'|'.join(map(re.escape, groups))})(?:\.[a-z-]+)+")
    assert [pair for pair in DOTTED if looks.fullmatch(pair[1]) and pair[1] not in names] == []


def test_values_of_the_chart_exist() -> None:
    """What looks like a value of the chart is one; those in `config` are settings."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    looks = re.compile(r"([a-z]+[A-Z]?[A-Za-z]*)((?:\.[A-Za-z]+)+)")
    found = ((name, looks.fullmatch(words)) for name, words in DOTTED)
    named = [
        (name, match)
        for name, match in found
        if match and match[1] in {*values} - {"config", "demo"}
    ]
    assert named

    def exists(match: re.Match[str]) -> bool:
        value: Any = values[match[1]]
        for key in match[2].split(".")[1:]:
            if not isinstance(value, dict) or key not in value:
                return False
            value = value[key]
        return True

    assert [(name, match[0]) for name, match in named if not exists(match)] == []


def rules(key: str) -> set[str]:
    """Return the names of the shipped rules: `key` is `alert` or `record`."""
    files = (ROOT / "deploy/prometheus").glob("*.yml")
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in files]
    groups = [group for document in documents for group in document.get("groups", [])]
    return {rule[key] for group in groups for rule in group["rules"] if key in rule}


def metrics_named() -> Iterator[tuple[str, str]]:
    """Return every name, without prefix, that is used as that of a metric."""
    yield from where(DOCUMENTS, rf"(?<!:)\b{PREFIX}(\w+)\b(?!:)")
    for name, words in QUOTED:
        for metric in re.findall(r"^((?:session_cluster|livy|exporter)_\w+)(?:{.*)?$", words):
            yield name, metric


def test_every_metric_and_recorded_series_that_is_named_exists() -> None:
    """In the prose, in an example or in a query: in the catalog, or recorded by a shipped rule."""
    names = {metric.name.removeprefix(PREFIX) for metric in CATALOG}
    names |= {label for metric in CATALOG for label in metric.labels}
    names |= {"livy_compute_ids"}  # the key in `targets`
    assert [pair for pair in metrics_named() if pair[1] not in names] == []
    recorded = list(where(DOCUMENTS, rf"\w+:{PREFIX}\w+:\w+"))
    assert recorded
    assert [pair for pair in recorded if pair[1] not in rules("record")] == []


def test_alerts_that_are_named_exist() -> None:
    """And wherever their number is given, it is right."""
    alerts = rules("alert")
    named = where(DOCUMENTS, r"EmrSpark\w+")
    assert [pair for pair in named if pair[1] not in alerts] == []
    counts = list(where(DOCUMENTS, r"(\d+) alerts"))
    assert counts
    assert [pair for pair in counts if pair[1] != str(len(alerts))] == []


def test_states_and_reasons_are_complete() -> None:
    """The documented states and the closed lists of reasons are in the page about metrics."""
    words = set(METRICS.quoted)
    assert {*model.SESSION_CLUSTER_STATES, *model.LIVY_SESSION_STATES} - words == set()
    assert {*Reason, *LedgerFailure, *model.Loss} - words == set()


def test_queries_are_valid_and_about_our_metrics() -> None:
    """Each PromQL example parses and reads our metrics only."""
    queries = [query for page in DOCUMENTS.values() for query in page.blocks("promql")]
    assert queries
    ours = {metric.name for metric in CATALOG}
    for query in queries:
        promql_parser.parse(query)
        assert {*re.findall(r"[a-z]+(?:_[a-z]+){3,}", query)} - ours == set()


BCRYPT = "$2y$10$" + "." * 53
"""Has the form of a hash, as the documentation only hints at one."""


def yaml_blocks() -> list[tuple[str, dict[str, Any]]]:
    """Return each example in YAML, as text and read."""
    codes = [code for page in DOCUMENTS.values() for code in page.blocks("yaml")]
    hashed = [code.replace("$2y$10$...", BCRYPT) for code in codes]
    return [(code, yaml.safe_load(code)) for code in hashed]


def merged(default: object, given: object) -> object:
    """Return a value of the chart as Helm has it, where an example gives `given`."""
    if isinstance(default, dict) and isinstance(given, dict):
        return default | given
    return default if given is None else given


def test_examples_in_yaml_can_be_used(tmp_path: Path) -> None:
    """Each is a web configuration, values of the chart, settings, or for Prometheus."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    kinds: Counter[str] = Counter()
    for code, found in yaml_blocks():
        if "tls_server_config" in found:
            WebFile.model_validate(found)
            kinds["web"] += 1
        elif {*found} <= {*values}:
            jsonschema.validate(
                {key: merged(values[key], found.get(key)) for key in values}, schema
            )
            kinds["chart"] += 1
        elif {"scrape_configs", "rule_files"}.isdisjoint(found):
            path = tmp_path / "settings.yml"
            path.write_text(code, encoding="utf-8")
            load("serve", [f"--config.file={path}"], {})
            kinds["settings"] += 1
    assert {*kinds} == {"web", "chart", "settings"}


@pytest.mark.real
def test_the_configuration_of_prometheus_is_valid(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """`promtool` accepts it with the rules beside it, and it scrapes where the exporter listens."""
    (config,) = (yaml.safe_load(code) for code in README.blocks("yaml") if "scrape_configs" in code)
    (static,) = config["scrape_configs"][0]["static_configs"]
    assert static["targets"] == [all_settings()["web", "listen_address"].default]
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    for name in config["rule_files"]:
        (tmp_path / name).write_bytes((ROOT / "deploy/prometheus" / name).read_bytes())
    subprocess.run([real_tool("promtool"), "check", "config", path], check=True)


def test_links_lead_somewhere() -> None:
    """A relative link names a file of the repository, and an anchor a heading of it."""
    broken = []
    for name, page in DOCUMENTS.items():
        for link in page.links:
            path, _, anchor = link.partition("#")
            target = (page.folder / path).resolve() if path else ROOT / name
            linked = DOCUMENTS.get(str(target.relative_to(ROOT)))
            if not target.exists() or (anchor and (not linked or anchor not in linked.anchors)):
                broken.append((name, link))
    assert broken == []


FOREIGN = {"docs/web-configuration.md"}
"""Prometheus' exporter-toolkit has it."""


def test_what_points_to_the_documentation_finds_it() -> None:
    """Comments, notes, units and links of alerts name files and headings that exist."""
    broken, seen = [], 0
    for path in git_files("deploy", "exporter", "grafana"):
        if path.suffix in {".md", ".png"}:
            continue
        text = re.sub(r"\S*/blob/main/", "", (ROOT / path).read_text(encoding="utf-8"))
        for name, anchor in re.findall(r"([\w./-]*\w\.md)\b(?:#([\w-]+))?", text):
            seen += 1
            beside = str((path.parent / name).as_posix())
            page = DOCUMENTS.get(name) or DOCUMENTS.get(beside)
            found = name in FOREIGN or (page and (not anchor or anchor in page.anchors))
            broken += [] if found else [(str(path), name, anchor)]
    assert seen > len(rules("alert"))
    assert broken == []


def test_files_and_modules_that_are_named_exist() -> None:
    """A path of the repository, in backticks or in an example, leads to something."""
    tops = "deploy|exporter|grafana|tests"
    paths = where(DOCUMENTS, rf"(?<![\w/.<~*-])((?:{tops})/[\w./*-]*[\w*])")
    made = {"deploy/compose/.env"}  # by whoever follows the steps
    assert [(n, p) for n, p in paths if p not in made and not list(ROOT.glob(p))] == []
    modules = where(DOCUMENTS, r"python3? -m ((?:exporter|tests)[\w.]*)")
    assert [pair for pair in modules if find_spec(pair[1]) is None] == []


def test_identifiers_in_backticks_stand_in_the_code() -> None:
    """A name such as that of a log event, a label or a key occurs outside of the documentation."""
    files = [path for path in git_files() if path.suffix not in {".md", ".png", ".lock"}]
    code = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in files)
    words = set(re.findall(r"\w+", code))
    looks = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")
    named = [pair for pair in QUOTED if looks.fullmatch(pair[1]) and pair[0] != "CHANGELOG.md"]
    assert named
    assert [pair for pair in named if pair[1] not in words] == []


def test_benchmarks_that_are_named_exist() -> None:
    """Each figure has a benchmark that measures it."""
    from tests.bench.__main__ import BENCHMARKS  # noqa: PLC0415 - takes long to import

    named = {name for _, name in where(DOCUMENTS, r"-m tests\.bench ([a-z_]+)")}
    named |= {row[-1].strip("` |") for row in DOCUMENTS["tests/bench/README.md"].table("What")}
    assert named - {*BENCHMARKS} == set()


def test_make_targets_are_those_of_the_makefile() -> None:
    """Every `make` target that is named exists, and each that can be used is in the table."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE))
    named = where(DOCUMENTS, r"(?:^|`)make ([a-z]+)")
    assert [pair for pair in named if pair[1] not in targets] == []
    rows = DOCUMENTS["CONTRIBUTING.md"].first_words("Command")
    assert {*rows} == {f"make {target}" for target in targets - {"help"}}


def test_every_floor_of_the_house_is_in_the_table() -> None:
    """The packages in the table are the package's modules."""
    modules = {
        path.stem
        for path in (ROOT / "exporter").iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.stem != "__pycache__")
    }
    rows = DOCUMENTS["exporter/README.md"].table("Floor")
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    assert modules - named == {"__init__", "__main__"}
    assert named - modules == set()
