"""Commands, their help, and the outermost boundary."""

import io
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.catalog import CATALOG
from exporter.cli import main, registry
from exporter.cli.arguments import Arguments, split
from exporter.cli.commands import dispatch
from exporter.cli.helptext import render
from exporter.cli.registry import COMMANDS, Call, Command
from exporter.errors import LedgerError, UsageError
from exporter.settings.names import known
from exporter.signals import Interrupted

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("argv", "arguments"),
    [
        ([], Arguments()),
        (["once"], Arguments(words=("once",))),
        (["--a", "b", "once"], Arguments(words=("once",), flags=(("--a", "b"),))),
        (["once", "--a=b"], Arguments(words=("once",), flags=(("--a", "b"),))),
        (["--a", "--b=c"], Arguments(flags=(("--a", None), ("--b", "c")))),
        (["--help", "once"], Arguments(words=("once",), asks_help=True)),
        (["once", "-h"], Arguments(words=("once",), asks_help=True)),
        (["-V"], Arguments(asks_version=True)),
        (["--help=x"], Arguments(flags=(("--help", "x"),))),
    ],
)
def test_commands_and_flags_come_in_any_order(argv: list[str], arguments: Arguments) -> None:
    """Every flag but help and version takes a value, so that the command is never in doubt."""
    assert split(argv) == arguments


def stub(monkeypatch: pytest.MonkeyPatch, run: Callable[[Call], int]) -> None:
    """Put a command of the test's own into the table."""
    command = Command("stub", "Do what the test says.", "stub", run, COMMANDS[2].options)
    monkeypatch.setattr("exporter.cli.commands.COMMANDS", (*COMMANDS, command))


def test_a_command_gets_its_settings_and_its_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags of a command are no settings."""
    calls: list[Call] = []

    def run(call: Call) -> int:
        calls.append(call)
        return 7

    stub(monkeypatch, run)
    code = dispatch(["--output", "x.prom", "stub", "--region-id=cn-a", "--output=y.prom"], {})
    assert code == 7
    assert calls[0].options == {"--output": "y.prom"}
    assert calls[0].loaded.settings.region_id == "cn-a"


def failing(error: BaseException) -> Callable[[Call], int]:
    """Make a command that raises."""

    def run(_call: Call) -> int:
        raise error

    return run


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
    stub(monkeypatch, failing(error))
    assert main(["stub", "--region-id=cn-a"]) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("argv", [["--log.level=debug"], ["--log.level", "debug"]])
def test_a_traceback_is_shown_to_who_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, argv: list[str]
) -> None:
    """With debug logging a bug shows where it happened."""
    stub(monkeypatch, failing(ZeroDivisionError("oh")))
    assert main(["stub", "--region-id=cn-a", *argv]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_config_prints_every_setting_with_its_source(tmp_path: Path, capsys: Capture) -> None:
    """What is in effect, and why, is seen at a glance."""
    file = tmp_path / "exporter.yml"
    file.write_text("poll: {interval: 60}\ntargets: [{workspace_id: w-1}]\n")
    environ = {"EMR_EXPORTER_REGION_ID": "cn-beijing"}
    assert dispatch(["config", f"--config.file={file}", "--api.timeout=90"], environ) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(known())
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
    assert dispatch(["metrics"], {}) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "TYPE", "LABELS", "HELP"]
    assert [row.split()[:2] for row in rows] == [[each.name, each.kind] for each in CATALOG]


def help_for(
    command: Command | None = None, *, tty: bool = False, environ: Mapping[str, str] | None = None
) -> str:
    """Give the help as it would be printed."""
    stream = io.StringIO()
    if tty:
        stream.isatty = lambda: True  # type: ignore[method-assign]
    return render(command, stream, environ or {})


def test_the_help_shows_every_command_and_setting() -> None:
    """Each command comes with an example, each setting with its default."""
    text = help_for()
    for command in COMMANDS:
        assert f"  {command.name}" in text
        assert f"{registry.PROGRAM} {command.example}" in text
    for setting in known().values():
        assert f"  {setting.flag} {setting.notation.word}" in text
    assert text.count("(default:") == len(known())
    assert "`" not in text


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_an_example(command: Command, capsys: Capture) -> None:
    """--help after a command explains that command."""
    assert dispatch([command.name, "--help"], {}) == 0
    text = capsys.readouterr().out
    assert f"Example: {registry.PROGRAM} {command.example}" in text
    assert all(option.flag in text for option in command.options)
    head, _, codes = text.partition("Exit codes:\n")
    assert head
    assert [line.split()[0] for line in codes.splitlines()[:2]] == ["0", "1"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_the_help_work(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the help shows can be typed."""
    (tmp_path / "exporter.yml").touch()
    monkeypatch.chdir(tmp_path)
    stubbed = replace(command, run=lambda _: 0)
    monkeypatch.setattr("exporter.cli.commands.COMMANDS", (stubbed,))
    assert dispatch(command.example.split(), {}) == 0


@pytest.mark.parametrize(
    ("tty", "environ", "coloured"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_headings_are_bold_on_a_terminal_that_wants_it(
    *, tty: bool, environ: dict[str, str], coloured: bool
) -> None:
    """Colour is for terminals, and NO_COLOR is honoured."""
    assert ("\x1b[" in help_for(tty=tty, environ=environ)) is coloured
