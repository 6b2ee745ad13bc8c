"""The command line, for tests of settings and of what is written about commands."""

from collections.abc import Mapping, Sequence

from exporter.cli.commands import program
from exporter.cli.program import Command, commands
from exporter.settings import Loaded

COMMANDS: Mapping[str, Command] = dict(commands(program))
"""Every command by what is typed for it, such as `ledger backup`."""


def load(command: str, argv: Sequence[str], environ: Mapping[str, str]) -> Loaded:
    """Load the settings as a command would that is called with the flags `argv`."""
    found = COMMANDS[command]
    return found.load(found.make_context(command, [*argv], obj=environ))
