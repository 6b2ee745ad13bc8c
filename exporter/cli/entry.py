"""The way into the program and, whatever happens, out of it with an exit code."""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from exporter.errors import ExporterError, PollError, UsageError

FAILED = 1
MISUSED = 2
INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""
PIPE_CLOSED = 141
"""128 + SIGPIPE, likewise."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` names; gives the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    _open_what_is_closed()
    _write_what_cannot_be_encoded()
    try:
        code = _run(argv)
        print(end="", flush=True)  # here, where a closed pipe is still caught
    except UsageError as error:
        _complain(*error.problems)
        return MISUSED
    except ExporterError as error:
        advice = error.advice if isinstance(error, PollError) else ""
        _complain("; ".join(filter(None, (str(error), advice))))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit, and would complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - the outermost boundary: people get one line
        _complain_of_bug(error, argv)
        return FAILED
    return code


def _open_what_is_closed() -> None:
    """Write into nothing where stdout or stderr was closed (`2>&-`), as daemons may be started.

    Python has `None` there then, and the next file or socket would get its number.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
            setattr(sys, name, nowhere)


def _write_what_cannot_be_encoded() -> None:
    """Let stdout write characters that the locale lacks as escapes, as stderr does by itself."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _run(argv: Sequence[str]) -> int:
    # Late, so that whatever goes wrong on the way in is caught too.
    from exporter.cli import commands  # noqa: PLC0415

    return commands.dispatch(argv, os.environ)


def _complain(*problems: str) -> None:
    for problem in problems:
        print("error:", " ".join(problem.splitlines()), file=sys.stderr)


def _complain_of_bug(error: Exception, argv: Sequence[str]) -> None:
    said = f"{type(error).__name__}: {error}"
    if _wants_debug(argv):
        traceback.print_exception(error)
        _complain(said)
    else:
        _complain(f"{said}; run with --log.level=debug for a traceback")


def _wants_debug(argv: Sequence[str]) -> bool:
    """Ask the raw arguments, because the settings may be what failed."""
    typed = " ".join(argv).replace("--log.level ", "--log.level=").split()
    return "--log.level=debug" in typed or os.environ.get("EMR_EXPORTER_LOG__LEVEL") == "debug"
