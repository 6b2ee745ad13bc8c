"""The texts that commands print."""

import shlex
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from exporter.catalog import CATALOG
from exporter.cli.program import invocation
from exporter.model import NANO
from exporter.settings import Loaded
from exporter.settings.registry import Setting, all_settings
from exporter.terminal import printable, width

if TYPE_CHECKING:
    from exporter.app import (  # no more than its type: `config` needs none of the rest
        DemoAccess,
        Finding,
        Reconciliation,
    )


def settings(loaded: Loaded, *, is_given: bool = False) -> str:
    """Write every setting, or each that was given, as `name = value  (origin)`."""
    return "\n".join(
        f"{setting.name} = {_shown(setting, setting.value_in(loaded.settings))}"
        f"  ({_origin(setting, loaded)})"
        for setting in all_settings().values()
        if not is_given or loaded.origins[setting.name] != "default"
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
        ("ok" if finding.is_good else "FAILED", finding.where, finding.what, finding.said)
        for finding in found
    ]
    return _columns(rows)


def reconciliations(found: "Iterable[Reconciliation]") -> str:
    """Write what `reconcile` has found out of each gateway."""
    return "\n".join(line for gateway in found for line in _gateway(gateway))


def _gateway(found: "Reconciliation") -> Iterator[str]:
    workspace_id, livy_compute_id = found.gateway
    gone = "" if found.is_found else ", no longer found: its counters stay"
    yield printable(f"gateway {livy_compute_id} of workspace {workspace_id}{gone}")
    rows = [
        (balance.queue or '""', *map(_cu_hours, (*balance[1:], balance.difference)))
        for balance in found.balances
    ]
    text = printable(found.remark) or _columns([_BALANCE, *rows], right=range(1, len(_BALANCE)))
    yield from (f"  {line}" for line in text.splitlines())


_BALANCE = (
    "queue",
    "exported",
    "+ held back",
    "+ advanced",
    "= listed",
    "+ overcounted",
    "+ no longer listed",
    "difference",
)


def _cu_hours(nano: int) -> str:
    """Write CU-hours with all nine digits."""
    whole, rest = divmod(abs(nano), NANO)
    return f"{'-' if nano < 0 else ''}{whole}.{rest:09d}"


def invitation(access: "DemoAccess", telemetry_path: str) -> str:
    """Write where to look at the demo, and how to try the other commands on it."""
    program = invocation()
    return f"""\
The simulated cloud is running. Open {access.url}/ (metrics: {access.url}{telemetry_path})
To try other commands on it, in another terminal:
  export ALIBABA_CLOUD_ACCESS_KEY_ID={access.access_key_id}
  export ALIBABA_CLOUD_ACCESS_KEY_SECRET={access.access_key_secret}
  export EMR_EXPORTER_API__ENDPOINT={access.endpoint}
  export EMR_EXPORTER_REGION_ID={access.region_id}
  {program} check
  {program} once
  {program} reconcile --ledger.path={shlex.quote(str(access.ledger_path))}"""


def _shown(setting: Setting, value: object) -> str:
    return "" if value in (None, ()) else printable(setting.write(value))


def _origin(setting: Setting, loaded: Loaded) -> str:
    """Return the source of a value; for an unset one, also what that means."""
    origin = loaded.origins[setting.name]
    is_unset = origin == "default" and setting.value_in(loaded.settings) in (None, ())
    return f"default: {setting.default}" if is_unset else origin


def _columns(rows: Sequence[tuple[str, ...]], right: Container[int] = ()) -> str:
    rows = [tuple(map(printable, row)) for row in rows]
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            _filled(cell, wanted, is_right=place in right)
            for place, (cell, wanted) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _filled(cell: str, wanted: int, *, is_right: bool) -> str:
    space = " " * (wanted - width(cell))
    return space + cell if is_right else cell + space
