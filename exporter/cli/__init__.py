"""The command line: commands, errors in one line, exit codes.

entry       the way in and out, with an exit code; `output` stdout and stderr
commands    each command
program     every setting is a flag of every command; the texts of `--help`
arguments   which word is the command
tables      the texts that commands print
"""

from exporter.cli.entry import main

__all__ = ["main"]
