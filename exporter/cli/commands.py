"""Finds the command that was typed and runs it with its settings."""

import platform
import sys
from collections.abc import Mapping, Sequence

import exporter
from exporter.cli import helptext
from exporter.cli.arguments import Arguments, split
from exporter.cli.registry import COMMANDS, DEFAULT, PROGRAM, Call, Command
from exporter.errors import UsageError
from exporter.settings import load
from exporter.settings.names import nearest


def dispatch(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run what `argv` asks for; gives the exit code.

    Raises `UsageError` where there is no such command or its settings are wrong.
    """
    arguments = split(argv)
    if arguments.asks_version:
        print(version())
        return 0
    command, values = _find(arguments.words)
    if arguments.asks_help:
        print(helptext.render(command if arguments.words else None, sys.stdout, environ))
        return 0
    _check_values(command, values)
    options, flags = _own_options(command, arguments)
    loaded = load(command.name.split()[0], flags, environ)
    return command.run(Call(loaded, options, tuple(values)))


def version() -> str:
    """Give name, version, revision where it is known, and Python's version."""
    revision = getattr(exporter, "__revision__", "")
    details = [f"revision {revision}"] if revision else []
    details.append(f"Python {platform.python_version()}")
    return f"{PROGRAM} {exporter.__version__} ({', '.join(details)})"


def _find(words: Sequence[str]) -> tuple[Command, Sequence[str]]:
    """Give the command that `words` begin with, and the words after it."""
    if not words:
        return DEFAULT, ()
    by_name = {command.name: command for command in COMMANDS}
    for length in (2, 1):
        command = by_name.get(" ".join(words[:length]))
        if command is not None:
            return command, words[length:]
    parts = [name for name in by_name if name.startswith(f"{words[0]} ")]
    if parts:
        raise UsageError(f"{' '.join(words)}: incomplete command; there are {', '.join(parts)}")
    advice = nearest(words[0], by_name) or f"there are {', '.join(by_name)}"
    raise UsageError(f"{words[0]}: unknown command; {advice}")


def _check_values(command: Command, values: Sequence[str]) -> None:
    """Refuse words that the command does not take, and the lack of those that it needs."""
    surplus = values[len(command.arguments) :]
    if surplus:
        raise UsageError(
            *(f"{word}: {command.name} takes no such argument; remove it" for word in surplus)
        )
    lacking = command.arguments[len(values) :]
    if lacking:
        raise UsageError(
            f"{command.name}: give {' '.join(lacking)}, such as {PROGRAM} {command.example}"
        )


def _own_options(command: Command, arguments: Arguments) -> tuple[dict[str, str], list[str]]:
    """Part the command's own flags from the settings' flags."""
    words = {option.flag: option.word for option in command.options}
    owners = {option.flag: other.name for other in COMMANDS for option in other.options}
    options: dict[str, str] = {}
    flags = []
    for flag, value in arguments.flags:
        if flag in words and not value:
            raise UsageError(f"{flag}: give a value, such as {flag}={words[flag]}")
        if flag in words and value:
            options[flag] = value
        elif flag in owners:
            raise UsageError(f"{flag}: only the command {owners[flag]} takes it; remove it")
        else:
            flags.append(flag if value is None else f"{flag}={value}")
    lacking = [each for each in command.options if each.is_needed and each.flag not in options]
    if lacking:
        raise UsageError(*(f"{each.flag}: give {each.word}, {each.help}" for each in lacking))
    return options, flags
