"""The table of commands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.cli import tables
from exporter.settings import Loaded

PROGRAM = "emr-serverless-spark-exporter"


@dataclass(frozen=True, slots=True)
class Call:
    """What a command is run with."""

    loaded: Loaded
    options: Mapping[str, str] = field(default_factory=dict)
    """The command's own flags that were given."""
    arguments: tuple[str, ...] = ()
    """What follows the command and is no flag."""


@dataclass(frozen=True, slots=True)
class Option:
    """A flag that belongs to one command and is no setting."""

    flag: str
    word: str
    """Stands for the value in the help."""
    help: str
    is_needed: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One command."""

    name: str
    summary: str
    example: str
    """The arguments of an example, without the program."""
    run: Callable[[Call], int]
    options: tuple[Option, ...] = ()
    arguments: tuple[str, ...] = ()
    """Words that stand for the arguments it needs."""


def _serve(call: Call) -> int:
    from exporter import app  # noqa: PLC0415 - what only a daemon needs is imported by it alone

    _log(call)
    return app.serve(call.loaded.settings)


def _demo(call: Call) -> int:
    from exporter import app  # noqa: PLC0415 - as above

    _log(call)
    return app.demo(call.loaded.settings)


def _once(call: Call) -> int:
    from exporter import app  # noqa: PLC0415 - as above

    _log(call)
    output = call.options.get("--output")
    return app.once(call.loaded.settings, Path(output) if output else None)


def _check(call: Call) -> int:
    from exporter import app  # noqa: PLC0415 - as above

    _log(call)
    print(tables.settings(call.loaded), flush=True)
    findings = app.check(call.loaded.settings)
    print(f"\n{tables.findings(findings)}")
    return 0 if all(finding.is_good for finding in findings) else 1


def _reconcile(call: Call) -> int:
    from exporter import app  # noqa: PLC0415 - as above

    _log(call)
    return app.reconcile(call.loaded.settings)


def _back_up(call: Call) -> int:
    from exporter import app  # noqa: PLC0415 - as above

    return app.back_up_ledger(call.loaded.settings, Path(call.arguments[0]))


def _forget(call: Call) -> int:
    from exporter import app  # noqa: PLC0415 - as above

    return app.forget_gateway(call.loaded.settings, call.options["--livy-compute-id"])


def _config(call: Call) -> int:
    print(tables.settings(call.loaded))
    return 0


def _metrics(_call: Call) -> int:
    print(tables.metrics())
    return 0


def _log(call: Call) -> None:
    from exporter import logs  # noqa: PLC0415 - as above

    log = call.loaded.settings.log
    logs.configure(log.level, log.format)


COMMANDS = (
    Command(
        "serve",
        "Poll sessions on an interval and serve their metrics to Prometheus.",
        "serve --region-id=cn-hangzhou --web.listen-address=:9825",
        _serve,
    ),
    Command(
        "demo",
        "Do the same against an embedded simulated cloud; no account is needed.",
        "demo --demo.speed=60",
        _demo,
    ),
    Command(
        "once",
        "Poll every target once and print the metrics; exit code 1 if any target failed.",
        "once --region-id=cn-hangzhou --output=/var/lib/node_exporter/emr.prom",
        _once,
        (Option("--output", "FILE", "write the metrics there, all or nothing, not on stdout"),),
    ),
    Command(
        "check",
        "Try the web configuration, the credential and each call; exit code 1 if anything fails.",
        "check --region-id=cn-hangzhou",
        _check,
    ),
    Command(
        "reconcile",
        "Hold the ledger against the full history; exit code 1 where a CU-hour has no place.",
        "reconcile --region-id=cn-hangzhou --ledger.path=/var/lib/emr/emr-exporter.db",
        _reconcile,
    ),
    Command(
        "ledger backup",
        "Write a consistent copy of the ledger, also beside a running daemon.",
        "ledger backup /backup/emr-exporter.db",
        _back_up,
        arguments=("PATH",),
    ),
    Command(
        "ledger forget",
        "End the counters of a Livy gateway that is gone; stop the daemon first.",
        "ledger forget --livy-compute-id=lc-0123456789abcdef",
        _forget,
        (Option("--livy-compute-id", "ID", "the gateway to forget", is_needed=True),),
    ),
    Command(
        "config",
        "Print the effective settings and where each comes from, secrets masked.",
        "config --config.file=exporter.yml",
        _config,
    ),
    Command("metrics", "Print every metric with its type, labels and help.", "metrics", _metrics),
)
DEFAULT = COMMANDS[0]
