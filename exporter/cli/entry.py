"""The way into the program and, whatever happens, out of it with an exit code."""

import errno
import gc
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from exporter import signals
from exporter.cli import output
from exporter.cli.arguments import place_of_command
from exporter.errors import ExporterError, PollError, UsageError
from exporter.terminal import printable

FAILED = 1
MISUSED = 2
PIPE_CLOSED = 141
"""128 + SIGPIPE, as shells report it."""

_DAEMONS: Final = frozenset({"serve", "demo"})

_MEANT_FOR_OTHERS: Final = (
    "PROMETHEUS_MULTIPROC_DIR",
    "prometheus_multiproc_dir",
    "WEB_CONCURRENCY",
    "DEBUG",
)
"""Variables for other programs of the machine, which our libraries would obey: to keep metrics in
files, to start processes, and to print requests with their secrets."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` names; return the exit code.

    Without `argv` it is the process that was started for it, whose signals it handles.
    """
    if argv is None:
        argv = sys.argv[1:]
        signals.handle_from_start(is_daemon=_is_daemon(argv))
        output.prepare()
    try:
        code = _run(argv)
        sys.stdout.flush()  # here, where an error is still caught
    except signals.Interrupted as interrupted:
        code = _interrupted(interrupted, argv)
    except output.OutputError as error:
        code = _without_output(error, argv)
    except Exception as error:  # noqa: BLE001 - the outermost boundary: people get one line
        code = _explained(error, argv)
    output.finish()
    return code


def _interrupted(interrupted: signals.Interrupted, argv: Sequence[str]) -> int:
    return 0 if _is_daemon(argv) else interrupted.exit_code


def _without_output(error: output.OutputError, argv: Sequence[str]) -> int:
    if error.errno == errno.EPIPE:
        return PIPE_CLOSED
    if error.errno == errno.EIO and output.is_device(sys.stdout):
        # The terminal has been closed; its SIGHUP may come later than the failure to write.
        return _interrupted(signals.Interrupted(signal.SIGHUP), argv)
    _complain(f"the output cannot be written: {error.strerror}")
    return FAILED


def _explained(error: Exception, argv: Sequence[str]) -> int:
    match error:
        case UsageError(problems=problems):
            _complain(*problems)
            return MISUSED
        case PollError():
            _complain(error.with_advice)
        case ExporterError():
            _complain(str(error))
        case _:
            _complain_of_bug(error, argv)
    return FAILED


def _is_daemon(argv: Sequence[str]) -> bool:
    """Ask the raw arguments, because the command may not have been looked up yet."""
    place = place_of_command(argv)
    return place is None or argv[place] in _DAEMONS


def _run(argv: Sequence[str]) -> int:
    for name in _MEANT_FOR_OTHERS:
        os.environ.pop(name, None)
    gc.disable()  # what is imported stays: to look for garbage in it would take a tenth of a start
    # Late, so that whatever goes wrong on the way in is caught too.
    from exporter.cli.commands import program
    from exporter.cli.program import dispatch

    gc.enable()
    return dispatch(program, argv, os.environ)


def _complain(*problems: str) -> None:
    _say(*("error: " + printable(" ".join(problem.splitlines())) for problem in problems))


def _say(*lines: str) -> None:
    with suppress(OSError):  # the exit code says it all
        print(*lines, sep="\n", file=sys.stderr, flush=True)


def _complain_of_bug(error: Exception, argv: Sequence[str]) -> None:
    said = f"{type(error).__name__}: {error}"
    if _wants_debug(argv):
        lines = "".join(traceback.format_exception(error)).split("\n")
        _say(*map(printable, lines))
        _complain(said)
    else:
        _complain(f"{said}; run with --log.level=debug for a traceback")


def _wants_debug(argv: Sequence[str]) -> bool:
    """Ask the raw arguments, because the settings may be what failed."""
    typed = " ".join(argv).replace("--log.level ", "--log.level=").split()
    return "--log.level=debug" in typed or os.environ.get("EMR_EXPORTER_LOG__LEVEL") == "debug"
