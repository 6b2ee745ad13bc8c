"""The commands: each runs what `app` does, prints what it returns and gives the exit code."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.cli import tables
from exporter.cli.output import write_page
from exporter.cli.program import PROGRAM, CommandGroup
from exporter.settings import Loaded
from exporter.settings.notation import check_file_path
from exporter.signals import interrupting
from exporter.terminal import printable

if TYPE_CHECKING:
    from exporter.ledger import Postgres

_TARGETS = (
    *("region-id", "workspace-ids", "livy-compute-ids", "targets", "config"),
    *("session-clusters", "livy.enabled", "discovery.include", "discovery.exclude"),
)
_POLL = ("api", "poll.timeout", "log")
_LEDGER = ("ledger.path", "ledger.url", "ledger.schema", "lease.duration")
_DEMO = (
    *("config", "session-clusters", "livy", "poll", "discovery", "sessions", "usage", "web", "log"),
    *("ledger.birth-hold", "ledger.forget-after"),
    *("api.timeout", "api.max-attempts", "api.max-requests-per-second", "api.max-response-bytes"),
)


def _file(_ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return the value of an option or argument, if it can be a path; flags are refused later."""
    try:
        if value is not None and not value.startswith("--"):
            check_file_path(value)
    except ValueError as error:
        name = param.opts[0] if isinstance(param, click.Option) else param.metavar
        raise click.UsageError(f"{name}: {error}") from None
    return value


def _id(_ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return the value of an option that is an id of the API: not empty, and in UTF-8."""
    try:
        is_id = bool(value.encode())
    except UnicodeEncodeError:
        is_id = False
    if not is_id:
        raise click.UsageError(f"{param.opts[0]}: give an id, such as lc-0123456789abcdef")
    return value


program = CommandGroup(
    PROGRAM,
    default="serve",
    help="Prometheus exporter for Spark sessions on EMR Serverless.",
    epilog=f"""Without a command, serve runs.
    {PROGRAM} COMMAND --help shows the settings that a command uses.

    \b
    Exit codes:
      0    success; a daemon: ended by a signal
      1    something failed, or once, check or reconcile found a problem
      2    wrong arguments, settings or files; each line on stderr says what to do
      129  the terminal was closed, unless it is a daemon
      130  interrupted (Ctrl-C), unless it is a daemon
      141  the reader of the output closed the pipe
      143  ended by SIGTERM, unless it is a daemon

    \b
    Documentation:
      https://github.com/emr-serverless-spark-exporter/emr-serverless-spark-exporter""",
)


@program.command(
    uses=(*_TARGETS, *_DEMO, "api", "ledger", "lease"),
    example="serve --region-id=cn-hangzhou --web.listen-address=:9825",
)
def serve(loaded: Loaded) -> int:
    """Poll sessions on an interval and serve their metrics to Prometheus (default command)."""
    from exporter import app

    _log(loaded)
    app.serve(loaded.settings)
    return 0


@program.command(uses=(*_DEMO, "demo"), needs_region=False, example="demo --demo.speed=60")
def demo(loaded: Loaded) -> int:
    """Run the daemon against an embedded simulated cloud; no account is needed."""
    from exporter import app

    _log(loaded)
    path = loaded.settings.web.telemetry_path
    app.demo(loaded.settings, lambda access: print(tables.invitation(access, path), flush=True))
    return 0


@program.command(
    uses=(*_TARGETS, *_POLL, "sessions", "usage", *_LEDGER, "ledger.forget-after"),
    example="once --region-id=cn-hangzhou --output=/var/lib/node_exporter/emr.prom",
)
@click.option(
    "--output",
    metavar="FILE",
    callback=_file,
    help="file to write atomically, instead of stdout (-)",
)
def once(loaded: Loaded, output: str | None) -> int:
    """Poll every target once and print the metrics; exit 1 if any target failed."""
    from exporter import app

    _log(loaded)
    page = app.once(loaded.settings)
    write_page(page.text, None if output in {None, "-"} else Path(output))
    return 0 if page.is_complete else 1


@program.command(
    uses=(*_TARGETS, "api", "web.config", "web.listen-address", *_LEDGER, "log"),
    example="check --region-id=cn-hangzhou",
)
@click.option(
    "--verbose", is_flag=True, help="print every setting, also those with their default value"
)
def check(loaded: Loaded, *, verbose: bool) -> int:
    """Check the credential, each API call and what else a start needs; exit 1 if anything fails."""
    from exporter import app

    _log(loaded)
    findings = app.check(loaded.settings)
    print(tables.findings(findings))
    if verbose:
        print(f"\nSettings:\n{tables.settings(loaded)}")
    elif given := tables.settings(loaded, is_given=True):
        print(f"\nSettings that were given (--verbose shows all):\n{given}")
    return 0 if all(finding.is_good for finding in findings) else 1


@program.command(
    uses=(*_TARGETS, *_POLL, *_LEDGER),
    example="reconcile --region-id=cn-hangzhou --ledger.path=/var/lib/emr/emr-exporter.db",
)
def reconcile(loaded: Loaded) -> int:
    """Compare the ledger with the full history; exit 1 if any CU-hours are unaccounted for."""
    from exporter import app

    _log(loaded)
    found = app.reconcile(loaded.settings)
    print(tables.reconciliations(found))
    return 0 if all(gateway.is_good for gateway in found) else 1


@program.group()
def ledger() -> None:
    """Copy the ledger, move it, or remove a gateway from it."""


@ledger.command(
    uses=("config", *_LEDGER),
    needs_region=False,
    example="ledger backup /backup/emr-exporter.db",
)
@click.argument("path", metavar="PATH", callback=_file)
def backup(loaded: Loaded, path: str) -> int:
    """Write a consistent copy of the ledger to PATH; the daemon may be running."""
    from exporter.ledger import back_up

    with interrupting():
        back_up(_location(loaded), Path(path))
    print(printable(f"copied {loaded.settings.ledger.path} to {path}"))
    return 0


@ledger.command(
    "import",
    uses=("config", *_LEDGER),
    needs_region=False,
    example="ledger import --from /data/emr-exporter.db "
    "--ledger.url=postgresql://exporter@db/ledger",
)
@click.option(
    "--from",
    "source",
    metavar="FILE",
    required=True,
    callback=_file,
    help="SQLite file of the ledger to import",
)
def import_(loaded: Loaded, source: str) -> int:
    """Copy a ledger from FILE into an empty schema of PostgreSQL; stop the daemon first."""
    from exporter.clock import SystemClock
    from exporter.ledger import Postgres, import_ledger

    location = _location(loaded)
    if not isinstance(location, Postgres):
        raise click.UsageError("give --ledger.url, the database to import into")
    with interrupting():
        count = import_ledger(Path(source), location, SystemClock())
    print(printable(f"copied {count} sessions from {source} to {location}"))
    return 0


@ledger.command(
    uses=("config", *_LEDGER),
    needs_region=False,
    example="ledger forget --livy-compute-id=lc-0123456789abcdef",
)
@click.option(
    "--livy-compute-id",
    metavar="ID",
    required=True,
    callback=_id,
    help="the gateway to forget",
)
def forget(loaded: Loaded, livy_compute_id: str) -> int:
    """Remove a deleted Livy gateway and its counters from the ledger; stop the daemon first."""
    from exporter.clock import SystemClock
    from exporter.ledger import forget_gateway

    with interrupting():
        forgotten = forget_gateway(_location(loaded), livy_compute_id, SystemClock())
    for workspace_id, _ in forgotten:
        print(printable(f"forgot gateway {livy_compute_id} of workspace {workspace_id}"))
    if not forgotten:
        print(printable(f"the ledger has no gateway {livy_compute_id}"))
    return 0 if forgotten else 1


@program.command(
    uses=(*_TARGETS, *_DEMO, "api", "ledger", "lease", "demo"),
    needs_region=False,
    example="config --config.file=exporter.yml",
)
def config(loaded: Loaded) -> int:
    """Print the effective settings and where each comes from."""
    print(tables.settings(loaded))
    return 0


@program.command(uses=(), needs_region=False, example="metrics")
def metrics(_loaded: Loaded) -> int:
    """Print every metric with its type, labels and help."""
    print(tables.metrics())
    return 0


def _location(loaded: Loaded) -> "Path | Postgres":
    from exporter.ledger import Postgres

    ledger, lease = loaded.settings.ledger, loaded.settings.lease
    return Postgres(ledger.url, ledger.schema, lease.duration) if ledger.url else ledger.path


def _log(loaded: Loaded) -> None:
    from exporter import logs

    logs.configure(loaded.settings.log.level, loaded.settings.log.format)
