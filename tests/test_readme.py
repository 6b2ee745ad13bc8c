"""The README's generated parts: with GOLDEN_UPDATE=1 they are written anew."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from exporter.catalog import CATALOG
from exporter.cli.registry import COMMANDS
from exporter.settings.names import known

README = Path(__file__).parent.parent / "README.md"


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
            for setting in known().values()
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


@pytest.mark.parametrize(
    ("name", "generate"), [("settings", settings_table), ("metrics", metrics_table)]
)
def test_generated_parts_are_up_to_date(name: str, generate: Callable[[], str]) -> None:
    """The README's tables say what the program does."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    text = README.read_text(encoding="utf-8")
    before, found_begin, rest = text.partition(begin)
    written, found_end, after = rest.partition(end)
    assert (found_begin, found_end) == (begin, end)
    expected = f"\n{generate()}\n"
    if os.environ.get("GOLDEN_UPDATE") == "1":
        README.write_text(f"{before}{begin}{expected}{end}{after}", encoding="utf-8")
        return
    assert expected == written, "run GOLDEN_UPDATE=1 pytest tests/test_readme.py"


def test_every_command_is_in_the_readme() -> None:
    """No command goes unmentioned."""
    text = README.read_text(encoding="utf-8")
    assert [command.name for command in COMMANDS if f"`{command.name}`" not in text] == []
