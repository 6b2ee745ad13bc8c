"""The help: commands, then every setting by its group."""

import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import TextIO

from exporter.cli.registry import COMMANDS, DEFAULT, PROGRAM, Command
from exporter.settings.names import Setting, known
from exporter.terminal import takes_colour

_INDENT = 32
"""Column where explanations begin."""
_WIDEST = 100

_SOURCES = (
    "Every setting is a flag; or a variable (--api.max-attempts is EMR_EXPORTER_API__MAX_ATTEMPTS, "
    "empty = unset); or a key in the YAML file of --config.file (api: max_attempts:). "
    "Flags win over variables, variables over the file."
)

_EXIT_CODES = {
    "0": "all is well; a daemon was ended by SIGTERM or SIGINT",
    "1": "something failed, or once, check or reconcile found what is not as it should be",
    "2": "what was given is wrong; each line on stderr says what to give",
    "130, 141": "interrupted; whoever read the output has gone",
}

Style = Callable[[str], str]
"""Dresses up a heading."""


def render(command: Command | None, stream: TextIO, environ: Mapping[str, str]) -> str:
    """Write the help of `command`, or of the program, as it suits `stream`."""
    bold: Style = _bold if takes_colour(stream, environ) else str
    width = min(shutil.get_terminal_size().columns, _WIDEST) if stream.isatty() else _WIDEST
    return "\n".join([*_head(command, bold, width), "", *_settings(bold, width)])


def _head(command: Command | None, bold: Style, width: int) -> Iterator[str]:
    if command is None:
        yield f"{bold('Usage:')} {PROGRAM} [COMMAND] [--flag=value ...]"
        yield from ("", "Prometheus exporter for Spark sessions on EMR Serverless.", "")
        yield bold("Commands:")
        for each in COMMANDS:
            name = f"{each.name} (default)" if each is DEFAULT else each.name
            yield from _entry(name, each.summary, width)
        yield from ("", bold("Examples:"))
        yield from (f"  {PROGRAM} {each.example}" for each in COMMANDS)
        yield from _exit_codes(bold, width)
        yield from ("", bold("Options:"))
    else:
        usage = " ".join((PROGRAM, command.name, *command.arguments, "[--flag=value ...]"))
        yield f"{bold('Usage:')} {usage}"
        yield from ("", command.summary, "", f"{bold('Example:')} {PROGRAM} {command.example}")
        yield from _exit_codes(bold, width)
        yield from ("", bold("Options:"))
        for option in command.options:
            yield from _entry(f"{option.flag} {option.word}", option.help, width)
    yield from _entry("-h, --help", "show this, or the help of a command", width)
    yield from _entry("-V, --version", "show the version", width)


def _exit_codes(bold: Style, width: int) -> Iterator[str]:
    yield from ("", bold("Exit codes:"))
    for codes, meaning in _EXIT_CODES.items():
        yield from _entry(codes, meaning, width)


def _settings(bold: Style, width: int) -> Iterator[str]:
    yield bold("Settings:")
    yield from textwrap.wrap(_SOURCES, width, initial_indent="  ", subsequent_indent="  ")
    for prefix, settings in groupby(known().values(), _prefix):
        yield from ("", bold(f"{prefix}:"))
        for setting in settings:
            explained = f"{setting.field.description} (default: {setting.default})"
            usage = f"{setting.flag} {setting.notation.word}"
            yield from _entry(usage, explained.replace("`", ""), width)


def _prefix(setting: Setting) -> str:
    return setting.name.split(".")[0] if len(setting.path) > 1 else "what to poll"


def _entry(name: str, text: str, width: int) -> Iterator[str]:
    indent = " " * _INDENT
    lines = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
    begin = f"  {name}"
    if len(begin) <= _INDENT - 2:
        yield begin.ljust(_INDENT) + lines.pop(0).lstrip()
    else:
        yield begin
    yield from lines


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m"
