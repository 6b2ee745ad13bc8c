"""Logging: events with fields, one line each, on stderr.

Every module logs with `structlog.get_logger()` a constant snake_case event and fields. What
libraries log through `logging` comes out of the same renderer, from warnings on.
"""

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from exporter import terminal

PACKAGE = "exporter"
"""Loggers below it log at the level that was asked for; all others from warnings on, at least."""

MASK = "********"
UNCAUGHT = "uncaught_exception"

_SECRET_NAME = re.compile(
    r"secret|passw|token|authorization|signature|access_?key|private_?key|cookie", re.IGNORECASE
)
_FIRST = ("timestamp", "level", "event")


def configure(level: str, log_format: str | None, stream: TextIO | None = None) -> None:
    """Send all logging to `stream` (stderr), from `level` on.

    Without a format it is `console` on a TTY, else `logfmt`.
    """
    stream = stream or sys.stderr
    log_format = log_format or ("console" if stream.isatty() else "logfmt")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(log_format, stream))
    least = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(handlers=[handler], level=max(least, logging.WARNING), force=True)
    logging.getLogger(PACKAGE).setLevel(least)
    # It warns of each poll that has to be skipped, which is an event of ours, and a counter.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)
    threading.excepthook = sys.unraisablehook = _log_uncaught
    logging.raiseExceptions = False  # an error of stderr is not written to stderr
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _log_uncaught(uncaught: "threading.ExceptHookArgs | sys.UnraisableHookArgs") -> None:
    """Log, on one line, what ended a thread or was raised where it cannot be caught."""
    structlog.get_logger(PACKAGE).error(UNCAUGHT, exc_info=uncaught.exc_value)


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask fields that are named like secrets: a last resort, as no code should log them."""
    return {name: _masked(name, value) for name, value in event.items()}


def _masked(name: str, value: object) -> object:
    if _SECRET_NAME.search(name) and value:
        return MASK
    if isinstance(value, Mapping):
        return {str(key): _masked(str(key), below) for key, below in value.items()}
    return value


def _flatten(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Write every field as plain text that cannot leave its line."""
    return {name: _plain(value) for name, value in event.items()}


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return terminal.printable(str(value))


def _shared() -> list[Processor]:
    """Return what is done to our own events and to those of libraries alike."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(log_format: str, stream: TextIO) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_shared(), structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            mask_secrets,
            *_RENDERERS[log_format](stream),
        ],
    )


def _logfmt(_stream: TextIO) -> list[Processor]:
    renderer = structlog.processors.LogfmtRenderer(key_order=_FIRST, drop_missing=True)
    return [structlog.processors.format_exc_info, _flatten, renderer]


def _json(_stream: TextIO) -> list[Processor]:
    def dumps(event: dict[str, Any], **_options: object) -> str:
        first = {name: event[name] for name in _FIRST if name in event}
        line = json.dumps(first | event, default=str, ensure_ascii=False)
        if line.isprintable():
            return line
        return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)

    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(dumps)]


def _console(stream: TextIO) -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=terminal.takes_colour(stream, os.environ),
        exception_formatter=_write_traceback,
    )
    return [_flatten_but_exceptions, renderer]


def _write_traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    """Write a traceback, indented, so that no line of an exception's text looks like an event."""
    lines = traceback.format_exception(*exc_info)
    stream.write(
        "\n".join(f"  {terminal.printable(line)}" for line in "".join(lines).split("\n")).rstrip()
    )


def _flatten_but_exceptions(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    kept = {name: event.pop(name) for name in ("exc_info", "stack_info") if name in event}
    return {**_flatten(logger, method, event), **kept}


_RENDERERS: Mapping[str, Callable[[TextIO], list[Processor]]] = {
    "logfmt": _logfmt,
    "json": _json,
    "console": _console,
}
