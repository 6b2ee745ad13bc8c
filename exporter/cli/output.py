"""Stdout and stderr as the program needs them, whatever they lead to."""

import io
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from exporter.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class OutputError(OSError):
    """What was to go to stdout cannot be written; a closed pipe has the number EPIPE."""


class _Stdout(io.FileIO):
    """Stdout whose errors cannot be taken for those of another file or socket."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputError(error.errno, error.strerror) from error


def prepare() -> None:
    """Make both usable: closed ones lead nowhere, and stdout takes each character.

    Python has `None` for what was closed (`2>&-`), as daemons may be started, and the next file or
    socket would get its number. What the locale of stdout lacks is written as an escape, as on
    stderr.
    """
    if sys.stdout is not None:
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Stdout(sys.stdout.fileno(), "w", closefd=False)),
            encoding=sys.stdout.encoding,
            errors="backslashreplace",
            line_buffering=sys.stdout.isatty(),
        )
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
            setattr(sys, name, nowhere)


def is_device(stream: TextIO) -> bool:
    """Whether `stream` leads to a device; one that was closed cannot say that it is a terminal."""
    return stat.S_ISCHR(os.fstat(stream.fileno()).st_mode)


def finish() -> None:
    """Write what is still held back, or drop it: Python would try again, and exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def write_page(page: bytes, path: Path | None) -> None:
    """Write metrics to `path`, or to stdout; a file appears whole or not at all."""
    if path is None:
        sys.stdout.buffer.write(page)
        return
    place = Path(os.path.realpath(path))  # a link stays, and what it leads to is replaced
    try:
        if place.exists() and not place.is_file():
            raise UsageError(
                f"--output={path}: not a regular file; omit --output to print to stdout"
            )
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=place.name, delete=False) as file:
            draft = Path(file.name)
            try:
                file.write(page)
                file.flush()
                os.fsync(file.fileno())
                draft.chmod(0o644)
                draft.replace(place)
            except BaseException:
                draft.unlink()
                raise
    except OSError as error:
        raise UsageError(
            f"--output={path}: {os.strerror(error.errno or 0)};"
            " name a file in a folder that exists and can be written"
        ) from error
