"""The command line: commands, errors in one line, exit codes."""

from exporter.cli.entry import main

__all__ = ["main"]
