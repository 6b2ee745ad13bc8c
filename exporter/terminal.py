"""What a terminal can show that a file cannot: colour, and a line that is drawn again and again.

Only what is drawn lives here; who has something to show decides what and when.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TextIO

_ERASE: Final = "\r\x1b[K"
"""Back to the first column, and away with what stands in the line."""

_DRAWN_EVERY: Final = 0.1
"""Seconds; more often nobody sees."""

_BAR_WIDTH: Final = 30
_USUAL_COLUMNS: Final = 80


def takes_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether whoever reads `stream` wants colour; see https://no-color.org."""
    return takes_redrawing(stream, environ) and not environ.get("NO_COLOR")


def takes_redrawing(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether a line on `stream` can be written over."""
    return stream.isatty() and environ.get("TERM") != "dumb"


@dataclass(slots=True)
class _Part:
    """One history that is being read; `total` is `None` where nobody knows it."""

    pages: int
    total: int | None
    began_at: float
    began_with: int


class ProgressLine:
    """One line at the foot of a terminal that tells how far the reading of histories has come.

    Whoever else writes to the terminal writes through it: the line makes way for whole lines,
    and stands below them again. Safe to use from any thread.
    """

    def __init__(self, stream: TextIO, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take the terminal, and a clock in seconds."""
        self._stream = stream
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._parts: dict[str, _Part] = {}
        self._drawn = ""
        self._drawn_at = float("-inf")

    def show(self, name: str, pages: int, total: int | None) -> None:
        """Tell that so many pages of the history `name` were read, out of `total` if known."""
        with self._lock:
            now = self._monotonic()
            part = self._parts.setdefault(name, _Part(pages, total, now, pages))
            part.pages, part.total = pages, total
            if now - self._drawn_at >= _DRAWN_EVERY:
                self._draw(now)

    def end(self, name: str) -> None:
        """Tell that the history `name` is read no more; the last one takes the line away."""
        with self._lock:
            if self._parts.pop(name, None) is not None:
                self._draw(self._monotonic())

    def clear(self) -> None:
        """Tell that nothing is read any more."""
        with self._lock:
            self._parts.clear()
            self._draw(self._monotonic())

    def write(self, text: str) -> int:
        """Write above the line, in one piece, so that nothing is torn."""
        with self._lock:
            if self._drawn and text.endswith("\n"):
                self._stream.write(f"{_ERASE}{text}{self._drawn}")
            else:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written, if somebody is there."""
        with suppress(OSError):
            self._stream.flush()

    def _draw(self, now: float) -> None:
        line = self._line(now)
        if line != self._drawn:
            if self._is_stopped():
                return
            with suppress(OSError):  # the window was closed; what goes on here needs none
                self._stream.write(_ERASE + line)
                self._stream.flush()
        self._drawn, self._drawn_at = line, now

    def _is_stopped(self) -> bool:
        """Tell whether to write would have to wait: for somebody who has pressed Ctrl-S, say."""
        try:
            return not select.select([], [self._stream], [], 0)[1]
        except (OSError, ValueError):  # it is no file, so nobody can stop it
            return False

    def _line(self, now: float) -> str:
        """Write the line, as long as the terminal is wide: one that wraps cannot be erased."""
        if not self._parts:
            return ""
        pages = sum(part.pages for part in self._parts.values())
        totals = [part.total for part in self._parts.values() if part.total is not None]
        text = f"Reading {self._names()}"
        if len(totals) < len(self._parts):
            text += f": {pages} pages"
        else:
            total = max(pages, sum(totals), 1)
            bar = ("#" * (_BAR_WIDTH * pages // total)).ljust(_BAR_WIDTH, ".")
            text += f" [{bar}] {pages} of {total} pages{self._left(now)}"
        return text[: self._columns() - 1]

    def _columns(self) -> int:
        """Ask each time: people resize their windows. A pseudo-terminal may say 0."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _USUAL_COLUMNS
        except OSError:
            return _USUAL_COLUMNS

    def _names(self) -> str:
        if len(self._parts) > 1:
            return f"{len(self._parts)} histories"
        # An id comes from the service: it must not move the cursor.
        return "".join(char if char.isprintable() else "?" for char in next(iter(self._parts)))

    def _left(self, now: float) -> str:
        """Say how long the slowest one will take, by its speed so far."""
        seconds = 0.0
        for part in self._parts.values():
            read = part.pages - part.began_with
            if not read or part.total is None:
                return ""
            seconds = max(seconds, (now - part.began_at) / read * (part.total - part.pages))
        minutes, rest = divmod(round(seconds), 60)
        return f", {minutes}:{rest:02d} left"
