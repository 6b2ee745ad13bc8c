"""What the commands `config`, `metrics` and `check` print."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from exporter.catalog import CATALOG
from exporter.settings import Loaded
from exporter.settings.registry import Setting, all_settings

if TYPE_CHECKING:
    from exporter.app import Finding  # no more than its type: `config` needs none of the rest


def settings(loaded: Loaded) -> str:
    """Write every setting as `name = value  (origin)`."""
    return "\n".join(
        f"{setting.name} = {_shown(setting, setting.value_in(loaded.settings))}"
        f"  ({_origin(setting, loaded)})"
        for setting in all_settings().values()
    )


def metrics() -> str:
    """Write the catalog as a table."""
    rows = [("NAME", "TYPE", "LABELS", "HELP")]
    rows += [
        (metric.name, metric.kind, " ".join(metric.labels) or "-", metric.help)
        for metric in CATALOG
    ]
    return _columns(rows)


def findings(found: "Iterable[Finding]") -> str:
    """Write what `check` has found out as a table."""
    rows = [("RESULT", "WHERE", "WHAT", "ANSWER")]
    rows += [
        ("ok" if each.is_good else "FAILED", each.where, each.what, each.said) for each in found
    ]
    return _columns(rows)


def _shown(setting: Setting, value: object) -> str:
    return "" if value in (None, ()) else setting.write(value)


def _origin(setting: Setting, loaded: Loaded) -> str:
    """Name the source; where nobody set anything, also what that means."""
    origin = loaded.origins[setting.name]
    is_unset = origin == "default" and setting.value_in(loaded.settings) in (None, ())
    return f"default: {setting.default}" if is_unset else origin


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
