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
    command = _find(arguments.words)
    if arguments.asks_help:
        print(helptext.render(command if arguments.words else None, sys.stdout, environ))
        return 0
    options, flags = _own_options(command, arguments)
    return command.run(Call(load(command.name, flags, environ), options))


def version() -> str:
    """Give name, version, revision where it is known, and Python's version."""
    revision = getattr(exporter, "__revision__", "")
    details = [f"revision {revision}"] if revision else []
    details.append(f"Python {platform.python_version()}")
    return f"{PROGRAM} {exporter.__version__} ({', '.join(details)})"


def _find(words: Sequence[str]) -> Command:
    if not words:
        return DEFAULT
    by_name = {command.name: command for command in COMMANDS}
    name, *surplus = words
    if name not in by_name:
        advice = nearest(name, by_name) or f"there are {', '.join(by_name)}"
        raise UsageError(f"{name}: unknown command; {advice}")
    if surplus:
        raise UsageError(*(f"{word}: {name} takes no such argument; remove it" for word in surplus))
    return by_name[name]


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
    return options, flags
