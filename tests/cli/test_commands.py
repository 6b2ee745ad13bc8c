"""Commands, their help, and the outermost boundary."""

import io
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import pytest

from exporter.catalog import CATALOG
from exporter.cli import entry
from exporter.cli.arguments import SWITCHES
from exporter.cli.commands import program
from exporter.cli.program import PROGRAM, CommandGroup, dispatch
from exporter.errors import LedgerError, UsageError
from exporter.settings import Loaded
from exporter.settings.registry import all_settings
from exporter.signals import Interrupted
from tests.support.command_line import COMMANDS

Capture = pytest.CaptureFixture[str]

IN_REGION = "--region-id=cn-a"


def calling(*, error: BaseException | None = None) -> tuple[CommandGroup, list[tuple[str, object]]]:
    """Make a program of two commands that note how they are called."""
    calls: list[tuple[str, object]] = []
    made = CommandGroup("test", default="first")

    @made.command(uses=(), example="first")
    def first(loaded: Loaded) -> int:
        calls.append(("first", loaded.settings.region_id))
        if error:
            raise error
        return 7

    @made.command(uses=("api",), example="second FILE")
    @click.argument("file", metavar="FILE")
    @click.option("--output", metavar="FILE")
    @click.option("--file", "other")
    def second(loaded: Loaded, file: str, output: str | None, other: str | None) -> int:
        calls.append(("second", (loaded.settings.region_id, file, output or other)))
        return 8

    return made, calls


@pytest.mark.parametrize(
    ("argv", "call"),
    [
        ([IN_REGION], ("first", "cn-a")),
        (["first", IN_REGION], ("first", "cn-a")),
        ([IN_REGION, "first"], ("first", "cn-a")),
        (["--region-id", "second", "first", IN_REGION], ("first", "cn-a")),
        (["second", "x", IN_REGION], ("second", ("cn-a", "x", None))),
        ([IN_REGION, "second", "--output", "y", "x"], ("second", ("cn-a", "x", "y"))),
        (["--output=y", "second", IN_REGION, "x", "--output=z"], ("second", ("cn-a", "x", "z"))),
    ],
)
def test_commands_and_flags_may_come_in_any_order(
    argv: list[str], call: tuple[str, object]
) -> None:
    """Every flag except help and version takes a value, so the command is unambiguous."""
    made, calls = calling()
    assert dispatch(made, argv, {}) == {"first": 7, "second": 8}[call[0]]
    assert calls == [call]


@pytest.mark.parametrize("argv", [["--verbose", "check"], ["check", "--verbose"]])
def test_a_flag_without_a_value_may_come_before_the_command(
    monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    """It does not take the command for its value, and says so where it is given one."""
    called: list[bool] = []

    def run(_loaded: Loaded, *, verbose: bool) -> int:
        called.append(verbose)
        return 0

    monkeypatch.setattr(COMMANDS["check"], "run", run)
    assert dispatch(program, [*argv, IN_REGION], {}) == 0
    assert called == [True]
    with pytest.raises(UsageError, match=r"^Option '--verbose' does not take a value\.$"):
        dispatch(program, ["check", "--verbose=yes", IN_REGION], {})


def test_every_flag_without_a_value_is_known() -> None:
    """Before the commands are loaded, too."""
    valueless = {
        flag
        for command in COMMANDS.values()
        for param in command.params
        if isinstance(param, click.Option) and param.is_flag
        for flag in param.opts
    }
    assert valueless | {"-h", "--help"} == SWITCHES


@pytest.mark.parametrize("value", ["", "\udcff"])
def test_an_id_that_none_can_be_is_refused(tmp_path: Path, value: str) -> None:
    """Bytes that are not UTF-8 come from the command line as surrogates."""
    argv = ["ledger", "forget", f"--livy-compute-id={value}"]
    with pytest.raises(UsageError, match=r"^--livy-compute-id: give an id, such as lc-"):
        dispatch(program, [*argv, f"--ledger.path={tmp_path / 'ledger.db'}"], {})


@pytest.mark.parametrize(
    ("argv", "lines"),
    [
        (["frist"], ["frist: unknown command; did you mean first?"]),
        (["xyz"], ["xyz: unknown command; use first, second"]),
        (["first", "now"], ["now: first takes no such argument; remove it"]),
        (["a:geheim@db"], ["(not shown): unknown command; use first, second"]),
        (["first", "a:geheim@db"], ["(not shown): first takes no such argument; remove it"]),
        (["second"], ["second: give FILE, such as emr-serverless-spark-exporter second FILE"]),
        (["second", "y", "--flie=x"], ["--flie: unknown flag; did you mean --file?"]),
        (["first", "--output=x"], ["--output: only the command second takes it; remove it"]),
        (["second", "x", "--output"], ["--output: give a value, such as --output=FILE"]),
        (
            ["first", "--api.timeout"],
            ["--api.timeout: give a value, such as --api.timeout=DURATION"],
        ),
        (
            ["--nope=1", "-x", "first", "--api.max-attempts=x"],
            [
                "--nope: unknown flag; see --help for all flags",
                "-x: unknown flag; see --help for all flags",
                "EMR_EXPORTER_NOPE: unknown variable; unset it",
                "--api.max-attempts=x: give a whole number",
            ],
        ),
    ],
)
def test_invalid_arguments_are_reported_in_one_line_each(argv: list[str], lines: list[str]) -> None:
    """Flags, variables and values together; an unknown command alone."""
    made, calls = calling()
    with pytest.raises(UsageError) as caught:
        dispatch(made, argv, {"EMR_EXPORTER_NOPE": "1"} if len(lines) > 1 else {})
    assert list(caught.value.problems) == lines
    assert calls == []


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("a is wrong", "b\nis wrong"), 2, "error: a is wrong\nerror: b is wrong\n"),
        (
            LedgerError("the disk is full", advice="make room"),
            1,
            "error: the disk is full; make room\n",
        ),
        (LedgerError("the disk is full"), 1, "error: the disk is full\n"),
        (Interrupted(signal.SIGINT), 130, ""),
        (
            ZeroDivisionError("oh"),
            1,
            "error: ZeroDivisionError: oh; run with --log.level=debug for a traceback\n",
        ),
    ],
)
def test_whatever_a_command_raises_becomes_lines_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: BaseException, code: int, said: str
) -> None:
    """No exception leaves the program as a traceback."""
    monkeypatch.setattr("exporter.cli.commands.program", calling(error=error)[0])
    assert entry.main(["first", IN_REGION]) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--region-id", "cn-a"], 0),
        (["serve", IN_REGION, "--discovery.include", "once"], 0),
        (["--discovery.include", "serve", "once", IN_REGION], 143),
    ],
)
def test_the_exit_code_after_a_signal_depends_on_the_command(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], code: int
) -> None:
    """0 for the daemon, 143 for `once`, also where the name is the value of a flag."""
    made, _ = calling(error=Interrupted(signal.SIGTERM))
    for name in ("serve", "once"):
        made.add_command(made.commands["first"], name)
    monkeypatch.setattr("exporter.cli.commands.program", made)
    assert entry.main(argv) == code


@pytest.mark.parametrize("argv", [["--log.level=debug"], ["--log.level", "debug"]])
def test_debug_logging_shows_the_traceback_of_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, argv: list[str]
) -> None:
    """Otherwise one line is shown."""
    monkeypatch.setattr("exporter.cli.commands.program", calling(error=ZeroDivisionError("oh"))[0])
    assert entry.main([IN_REGION, *argv]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_config_prints_every_setting_with_its_source(tmp_path: Path, capsys: Capture) -> None:
    """With the value that is in effect."""
    file = tmp_path / "exporter.yml"
    file.write_text("poll: {interval: 60}\ntargets: [{workspace_id: w-1}]\n")
    environ = {"EMR_EXPORTER_REGION_ID": "cn-beijing"}
    argv = ["config", f"--config.file={file}", "--api.timeout=90"]
    assert dispatch(program, argv, environ) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(all_settings())
    for line in (
        "region-id = cn-beijing  (environment)",
        "workspace-ids =   (default: empty)",
        'targets = [{"workspace_id": "w-1"}]  (file)',
        "api.endpoint =   (default: by region)",
        "api.timeout = 90s  (flag)",
        "api.max-response-bytes = 16MiB  (default)",
        "poll.interval = 1m  (file)",
        "livy.enabled = true  (default)",
    ):
        assert line in lines


def test_metrics_prints_the_whole_catalog(capsys: Capture) -> None:
    """Every metric is in the table, in the catalog's order."""
    assert dispatch(program, ["metrics"], {}) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "TYPE", "LABELS", "HELP"]
    assert [row.split()[:2] for row in rows] == [[each.name, each.kind] for each in CATALOG]


class Terminal(io.StringIO):
    """A stdout that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def help_for(
    monkeypatch: pytest.MonkeyPatch,
    argv: Sequence[str],
    stdout: io.StringIO,
    environ: Mapping[str, str],
) -> str:
    """Return the help as it is printed."""
    monkeypatch.setattr(sys, "stdout", stdout)
    assert dispatch(program, argv, environ) == 0
    return stdout.getvalue()


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["--help", IN_REGION]])
def test_the_help_shows_every_command_and_exit_code(
    monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    """Summaries are not cut; exit codes are shown once."""
    text = help_for(monkeypatch, argv, io.StringIO(), {})
    words = " ".join(text.split())
    for name, command in program.commands.items():
        assert f"{name} {command.help}" in words
    for code in (0, entry.FAILED, entry.MISUSED, 130, entry.PIPE_CLOSED, 143):
        assert f"\n    {code} " in text


def shown(text: str) -> set[str]:
    """Return the flags that have an entry in a help."""
    return {line.split()[0] for line in text.splitlines() if line.startswith("  --")}


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["ledger", "backup", "postgresql://ann:geheim@db/x"], "PATH"),
        (["ledger", "import", "--from=postgresql://ann:geheim@db/x"], "--from"),
        (["once", "--region-id=cn-hangzhou", "--output=https://ann:geheim@host/x"], "--output"),
    ],
)
def test_a_url_is_not_accepted_as_a_path(argv: list[str], name: str) -> None:
    """The error does not repeat it, as a password may be in it."""
    with pytest.raises(UsageError) as caught:
        dispatch(program, argv, {})
    assert str(caught.value) == (
        f"{name}: give the path of a file; a database is given by ledger.url"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_an_example(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With its summary and the flags that it uses, each with its default."""
    text = help_for(monkeypatch, [*name.split(), "--help"], io.StringIO(), {})
    command = COMMANDS[name]
    assert f"Usage: {PROGRAM} {name}" in text
    assert " ".join((command.help or "").split()) in " ".join(text.split())
    assert f"{PROGRAM} {command.example}" in text
    assert command.example.startswith(name)
    assert "Exit codes" not in text
    assert "`" not in text
    flags = {flag.setting.flag for flag in command.flags if not flag.hidden}
    own = {
        "once": {"--output"},
        "check": {"--verbose"},
        "ledger import": {"--from"},
        "ledger forget": {"--livy-compute-id"},
    }
    assert shown(text) == flags | own.get(name, set())
    assert text.count("(default:") == len(flags)


@pytest.mark.parametrize(
    ("name", "uses", "lacks"),
    [
        (
            "serve",
            "--poll.interval --web.listen-address --ledger.path --api.network",
            "--demo.speed",
        ),
        ("demo", "--demo.speed --poll.interval", "--region-id --api.endpoint --ledger.path"),
        ("once", "--region-id --ledger.path --sessions.max-series-sessions", "--poll.interval"),
        ("check", "--web.config.file --ledger.path --api.timeout", "--poll.interval"),
        ("reconcile", "--ledger.path --poll.timeout", "--web.listen-address --usage.by-proxy-user"),
        ("ledger backup", "--ledger.path --config.file", "--region-id --api.timeout"),
        ("metrics", "", "--config.file --region-id"),
    ],
)
def test_the_help_shows_the_settings_that_a_command_uses(
    monkeypatch: pytest.MonkeyPatch, name: str, uses: str, lacks: str
) -> None:
    """Other settings are accepted, so that all commands can be given the same flags."""
    flags = shown(help_for(monkeypatch, [*name.split(), "--help"], io.StringIO(), {}))
    assert flags >= set(uses.split())
    assert flags.isdisjoint(lacks.split())
    assert len(COMMANDS[name].flags) == len(all_settings())


def test_config_shows_every_setting_in_its_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting is left out of the help as a whole."""
    text = help_for(monkeypatch, ["config", "--help"], io.StringIO(), {})
    assert shown(text) == {setting.flag for setting in all_settings().values()}


def test_a_group_of_commands_has_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ledger --help` and `ledger` alone list its commands."""
    text = help_for(monkeypatch, ["ledger", "--help"], io.StringIO(), {})
    assert "backup" in text
    assert "forget" in text
    with pytest.raises(UsageError, match="ledger: add a command: backup, import, forget"):
        dispatch(program, ["ledger"], {})


@pytest.mark.parametrize("word", ["--nope", "--ledger.path"])
def test_a_flag_is_not_accepted_as_a_path(tmp_path: Path, word: str) -> None:
    """`ledger backup` does not write a file named like a flag."""
    argv = ["ledger", "backup", word, f"--ledger.path={tmp_path / 'ledger.db'}"]
    with pytest.raises(UsageError):
        dispatch(program, argv, {})


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_the_help_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are parsed as they are shown."""
    (tmp_path / "exporter.yml").touch()
    monkeypatch.chdir(tmp_path)
    called: list[str] = []

    def run(_loaded: Loaded, **_: str | None) -> int:
        called.append(name)
        return 0

    monkeypatch.setattr(COMMANDS[name], "run", run)
    assert dispatch(program, COMMANDS[name].example.split(), {}) == 0
    assert called == [name]


@pytest.mark.parametrize(
    ("stdout", "environ", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_headings_are_bold_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch,
    *,
    stdout: io.StringIO,
    environ: dict[str, str],
    coloured: bool,
) -> None:
    """And not if NO_COLOR is set."""
    assert ("\x1b[" in help_for(monkeypatch, ["--help"], stdout, environ)) is coloured
