"""The line at the foot of a terminal, drawn into a text; tests/cli has it on a real terminal."""

import fcntl
import io
import itertools
import os
import pty
import struct
import termios
from collections.abc import Callable
from contextlib import suppress

import pytest

from exporter.terminal import ProgressLine

ERASE = "\r\x1b[K"


class Drawn:
    """A line with a clock that goes on by hand."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.now = 100.0
        self.line = ProgressLine(self.stream, monotonic=lambda: self.now)

    def show(self, name: str, pages: int, total: int | None, *, after: float = 1.0) -> str:
        """Let time pass, tell something, and give what is written then."""
        self.now += after
        return self.written(lambda: self.line.show(name, pages, total))

    def written(self, act: Callable[[], object]) -> str:
        """Give what is written while something happens."""
        before = len(self.stream.getvalue())
        act()
        return self.stream.getvalue()[before:]


def test_the_time_left_goes_by_the_speed_so_far() -> None:
    """A walk that goes on where it failed is not taken for a fast one."""
    drawn = Drawn()
    assert drawn.show("w/lc", 40, 100).endswith("] 40 of 100 pages")
    assert drawn.show("w/lc", 42, 100, after=4).endswith("] 42 of 100 pages, 1:56 left")


def test_of_several_the_slowest_counts() -> None:
    """Pages are added up; who of them does not know its end takes the bar away."""
    drawn = Drawn()
    drawn.show("w/a", 0, 10)
    drawn.show("w/b", 0, 100, after=0)
    drawn.show("w/a", 5, 10, after=5)
    assert drawn.show("w/b", 5, 100, after=0.2).startswith(f"{ERASE}Reading 2 histories [##...")
    assert "10 of 110 pages, 1:39 left" in drawn.stream.getvalue()
    assert drawn.show("w/b", 6, None) == f"{ERASE}Reading 2 histories: 11 pages"


def test_more_pages_than_expected_are_no_harm() -> None:
    """A history that grows while it is read fills the bar, and not more."""
    assert f"[{'#' * 30}] 13 of 13 pages" in Drawn().show("w/lc", 13, 12)


def test_it_is_drawn_ten_times_a_second_at_most() -> None:
    """Nobody sees more, and a terminal over a slow line is not flooded."""
    drawn = Drawn()
    drawn.show("w/lc", 1, 1000)
    shown = [drawn.show("w/lc", page, 1000, after=0.01) for page in range(2, 22)]
    assert sum(bool(each) for each in shown) == 2


def test_what_is_written_stands_above() -> None:
    """In one piece, so that no other writer comes between; the line goes with its last part."""
    drawn = Drawn()
    line = drawn.show("w/lc", 1, 9).removeprefix(ERASE)
    assert drawn.written(lambda: drawn.line.write("logged\n")) == f"{ERASE}logged\n{line}"
    assert drawn.written(lambda: drawn.line.end("other")) == ""
    assert drawn.written(lambda: drawn.line.end("w/lc")) == ERASE
    assert drawn.written(lambda: drawn.line.write("logged\n")) == "logged\n"
    assert drawn.written(drawn.line.clear) == ""


def test_a_name_does_not_move_the_cursor() -> None:
    """Ids come from the service."""
    assert "Reading w/?[2J??x [" in Drawn().show("w/\x1b[2J\r\u202ex", 1, 9)


@pytest.mark.parametrize(("columns", "length"), [(20, 19), (200, None), (0, None)])
def test_it_is_cut_where_the_window_ends(columns: int, length: int | None) -> None:
    """A line that wraps could not be taken away again."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with os.fdopen(side, "w") as terminal:
        ProgressLine(terminal).show("w/lc", 1, 9)
        written = os.read(main, 1000).decode()
    os.close(main)
    text = written.removeprefix(ERASE)
    whole = f"Reading w/lc [###{'.' * 27}] 1 of 9 pages"
    assert text == whole[:length]


def test_a_terminal_that_is_gone_harms_nobody() -> None:
    """A window is closed, and the daemon that was begun in it goes on without."""
    main, side = pty.openpty()
    clock = itertools.count()
    terminal = os.fdopen(side, "w")
    line = ProgressLine(terminal, monotonic=lambda: next(clock))
    line.show("w/lc", 1, 9)
    os.close(main)
    with pytest.raises(OSError, match="Input/output error"):
        os.write(side, b"it is gone")
    line.show("w/lc", 2, 9)
    line.end("w/lc")
    line.show("w/lc", 3, 9)
    line.clear()
    line.flush()
    with suppress(OSError):  # what it could not write is still in there
        terminal.close()


def test_a_stopped_terminal_stops_nobody() -> None:
    """Who has pressed Ctrl-S sees nothing new, and nothing waits for him; later it goes on."""
    main, side = pty.openpty()
    clock = itertools.count()
    with os.fdopen(side, "w") as terminal:
        line = ProgressLine(terminal, monotonic=lambda: next(clock))
        termios.tcflow(terminal, termios.TCOOFF)
        for page in range(5000):
            line.show("w/lc", page, 5000)
        termios.tcflow(terminal, termios.TCOON)
        line.show("w/lc", 4999, 5000)
        written = os.read(main, 1000).decode()
    os.close(main)
    assert written.count("Reading") == 1
    assert "4999 of 5000 pages" in written
