"""The README says what the program does; with GOLDEN_UPDATE=1 its generated parts are written."""

import ast
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from exporter import catalog, model
from exporter.catalog import CATALOG, PREFIX
from exporter.cli import entry
from exporter.cli.program import PROGRAM
from exporter.errors import Reason
from exporter.model import Action
from exporter.settings.registry import all_settings
from exporter.web.access.schema import WebFile
from tests.support.command_line import COMMANDS, load
from tests.support.repository import ROOT

README = ROOT / "README.md"

Block = tuple[str, str]
"""A block of code: its language and its text."""


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Write a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def settings_table() -> str:
    """Write the settings as a Markdown table."""
    return table(
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
    return table(
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
    """Give each `owner.name` that the code of the program reads, without leading underscores."""
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
    ("name", "generate"),
    [
        ("idle-settings", idle_settings),
        ("settings", settings_table),
        ("idle-metrics", idle_metrics),
        ("metrics", metrics_table),
    ],
)
def test_golden_parts_of_the_readme_are_up_to_date(name: str, generate: Callable[[], str]) -> None:
    """The README's tables say what the program does."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    text = README.read_text(encoding="utf-8")
    before, found_begin, rest = text.partition(begin)
    written, found_end, after = rest.partition(end)
    assert (found_begin, found_end) == (begin, end)
    generated = generate()
    expected = f"\n{generated}\n" if generated else "\n"
    if os.environ.get("GOLDEN_UPDATE") == "1":
        README.write_text(f"{before}{begin}{expected}{end}{after}", encoding="utf-8")
        return
    assert expected == written, "run `make golden` and read the diff"


def text() -> str:
    """Read the README."""
    return README.read_text(encoding="utf-8")


def blocks(*languages: str) -> list[str]:
    """Give the blocks of code in one of `languages`; all blocks where none is given."""
    found: list[Block] = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text(), re.MULTILINE | re.DOTALL)
    return [_dedented(code) for language, code in found if not languages or language in languages]


def _dedented(code: str) -> str:
    margin = len(code) - len(code.lstrip(" "))
    return "".join(line[margin:] for line in code.splitlines(keepends=True))


def quoted() -> list[str]:
    """Give what stands in backticks in the prose."""
    prose = re.sub(r"^ *```.*?^ *```$", "", text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


def section(title: str) -> str:
    """Give a chapter of the README."""
    _, found, rest = text().partition(f"\n## {title}\n")
    assert found
    return rest.partition("\n## ")[0]


def test_every_command_is_in_the_table_of_commands() -> None:
    """No command goes unmentioned, and none is invented."""
    rows = re.findall(r"^\| `([a-z ]+)`", section("Commands"), re.MULTILINE)
    assert rows == [*COMMANDS]


def test_the_exit_codes_are_those_of_the_program() -> None:
    """The table of exit codes is complete."""
    codes = re.findall(r"^\| (\d+) \|", section("Commands"), re.MULTILINE)
    signals = (128 + signal.SIGINT, entry.PIPE_CLOSED, 128 + signal.SIGTERM)
    ours = (0, entry.FAILED, entry.MISUSED, *signals)
    assert codes == [str(code) for code in ours]


def test_commands_that_are_typed_exist() -> None:
    """What follows the program's name in an example is one of its commands, or a flag."""
    typed = re.findall(
        rf"^(?:\$ )?{PROGRAM}(?: +([a-z]+(?: [a-z]+)?))?", "\n".join(blocks()), re.MULTILINE
    )
    assert [words for words in typed if words and words not in COMMANDS] == []


def test_flags_and_variables_exist() -> None:
    """Every flag and every variable of ours that is named anywhere is known."""
    flags = {setting.flag for setting in all_settings().values()} | {
        "--help",
        "--version",
        "--flags",
    }
    flags |= {
        flag for command in COMMANDS.values() for param in command.params for flag in param.opts
    }
    flags |= {"--require-hashes", "--no-deps"}  # pip's
    flags |= {"--read-only", "--cap-drop", "--security-opt", "--memory"}  # docker's
    flags |= {"--name", "--restart", "--build", "--rm", "--entrypoint"}
    flags |= {"--create-namespace", "--now", "--volumes"}  # helm's, systemctl's, Compose's
    flags |= {"--certificate-identity-regexp", "--certificate-oidc-issuer"}  # cosign's
    flags |= {"--repo", "--previous"}  # gh's, kubectl's
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z.-]*[a-z]", text())) - flags == set()
    variables = {setting.variable for setting in all_settings().values()}
    assert set(re.findall(r"EMR_EXPORTER_\w+", text())) - variables == set()


def test_settings_in_backticks_exist() -> None:
    """What looks like the name of a setting in a group is one."""
    names = {setting.name for setting in all_settings().values()}
    groups = {name.split(".")[0] for name in names if "." in name}
    looks = re.compile(rf"(?:{'|'.join(map(re.escape, groups))})(?:\.[a-z-]+)+")
    dotted = {each for each in quoted() if looks.fullmatch(each)}
    assert dotted - names == set()


def metrics_named() -> Iterator[str]:
    """Give every name, without prefix, that the README uses as that of a metric."""
    yield from re.findall(rf"{PREFIX}(\w+)", text())
    for words in quoted():
        yield from re.findall(r"^((?:session_cluster|livy|exporter)_\w+)(?:{.*)?$", words)


def test_every_metric_that_is_named_exists() -> None:
    """A metric in the prose, in an example or in a query is in the catalog."""
    names = {metric.name.removeprefix(PREFIX) for metric in CATALOG}
    not_metrics = {label for metric in CATALOG for label in metric.labels}
    not_metrics |= {"livy_compute_ids"}  # the key in `targets`
    assert {name for name in metrics_named() if name} - names - not_metrics == set()


def test_states_and_reasons_are_complete() -> None:
    """The documented states and the closed list of reasons are in the README."""
    words = set(quoted())
    assert {*model.SESSION_CLUSTER_STATES, *model.LIVY_SESSION_STATES} - words == set()
    assert {reason.value for reason in Reason} - words == set()


def test_queries_are_valid_and_about_our_metrics() -> None:
    """Each PromQL example parses and reads our metrics only."""
    queries = blocks("promql")
    assert queries
    ours = {metric.name for metric in CATALOG}
    for query in queries:
        promql_parser.parse(query)
        assert {*re.findall(r"[a-z]+(?:_[a-z]+){3,}", query)} - ours == set()


BCRYPT = "$2y$10$" + "." * 53
"""Has the form of a hash, as the README only hints at one."""


def test_json_and_yaml_can_be_read(tmp_path: Path) -> None:
    """JSON parses; YAML is a Prometheus configuration, or settings that the program accepts."""
    assert all(json.loads(code) for code in blocks("json"))
    codes = [code.replace("$2y$10$...", BCRYPT) for code in blocks("yaml")]
    loaded = {code: yaml.safe_load(code) for code in codes}
    web_files = [found for found in loaded.values() if "tls_server_config" in found]
    assert [WebFile.model_validate(found).model_fields_set for found in web_files]
    elsewhere = {"scrape_configs", "rule_files", "tls_server_config"}
    files = [code for code, found in loaded.items() if elsewhere.isdisjoint(found)]
    assert files
    for number, code in enumerate(files):
        path = tmp_path / f"{number}.yml"
        path.write_text(code, encoding="utf-8")
        load("serve", [f"--config.file={path}"], {})


@pytest.mark.real
def test_the_configuration_of_prometheus_is_valid(
    tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """`promtool` accepts it, and it scrapes where the exporter listens."""
    found: list[dict[str, Any]] = [yaml.safe_load(code) for code in blocks("yaml")]
    config = next(each for each in found if "scrape_configs" in each)
    (static,) = config["scrape_configs"][0]["static_configs"]
    assert static["targets"] == [all_settings()["web", "listen_address"].default]
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    subprocess.run([real_tool("promtool"), "check", "config", path], check=True)


def test_the_policy_allows_every_call() -> None:
    """The RAM policy names the calls that the exporter makes, and no others."""
    (policy,) = (json.loads(code) for code in blocks("json"))
    (statement,) = policy["Statement"]
    allowed = {action.removeprefix("emr-serverless-spark:") for action in statement["Action"]}
    assert allowed == set(Action)


def test_links_lead_somewhere() -> None:
    """A relative link names a file of the repository, an anchor a heading of this page."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text())
    headings = re.findall(r"^#+ (.+)$", text(), re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}
    local = [each for each in targets if not each.startswith("http")]
    broken = [each for each in local if each not in anchors and not (ROOT / each).exists()]
    assert broken == []


def test_make_targets_are_those_of_the_makefile() -> None:
    """Every `make` target that is named exists, and each that can be used is in the table."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text(), re.MULTILINE)) - targets == set()
    rows = set(re.findall(r"^\| `make ([a-z]+)`", section("Development"), re.MULTILINE))
    assert targets - rows - WITHOUT_ROW == set()


WITHOUT_ROW = {"help"}


def test_every_floor_of_the_house_is_in_the_table() -> None:
    """The packages in the README are the package's modules."""
    modules = {
        path.stem for path in (ROOT / "exporter").iterdir() if path.suffix == ".py" or path.is_dir()
    }
    rows = re.findall(
        r"^\| (?:roof|ground)? ?\| (`[^|]+`) \|", section("Development"), re.MULTILINE
    )
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert modules - named == {"__init__", "__main__", "__pycache__"} & modules
