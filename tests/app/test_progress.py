"""The bar at the foot of a terminal; tests/cli has it around real commands."""

import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TextIO

import pytest

from exporter.app.progress import progress_on
from exporter.model import Source, Target
from exporter.snapshot import ScanProgress

BAR = "#" * 3 + "." * 27


def target(compute_id: str) -> Target:
    """Make a gateway."""
    return Target(Source.LIVY_SESSIONS, "", "cn-hangzhou", "w", compute_id)


@contextmanager
def terminal(columns: int = 100) -> Iterator[tuple[TextIO, int]]:
    """Open a terminal, and the end at which its reader sits."""
    reader, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    stream = os.fdopen(side, "w")
    try:
        yield stream, reader
    finally:
        for close in (stream.close, partial(os.close, reader)):
            with suppress(OSError):  # a test may have closed the other end
                close()


def drawn(reader: int) -> list[str]:
    """Return what has been in the line, one after the other."""
    data = b""
    while select.select([reader], [], [], 0.2)[0]:  # a terminal hands over its text piece by piece
        data += os.read(reader, 100_000)
    lines = data.decode().split("\r")
    return [line.rstrip() for line in lines if line.strip()]


@pytest.fixture(autouse=True)
def _xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_several_histories_share_a_bar() -> None:
    """One that is done counts until all are; one whose length is unknown takes the bar away."""
    with terminal() as (stream, reader), progress_on(stream) as update:
        update({target("a"): ScanProgress(1, 10), target("b"): ScanProgress(2, 20)})
        update({target("b"): ScanProgress(3, 20)})
        update({target("c"): ScanProgress(1, None)})
        update({})
        update({target("a"): ScanProgress(1, 10)})
        lines = drawn(reader)
    texts = [line.partition(" pages")[0] for line in lines]
    assert list(dict.fromkeys(texts)) == [
        f"Reading 2 histories [{BAR}] 3 of 30",
        f"Reading 2 histories [#{BAR[:-1]}] 4 of 30",
        "Reading 3 histories: 5",
        f"Reading w/a [{BAR}] 1 of 10",
    ]


def test_a_short_history_is_not_drawn() -> None:
    """It is read before anybody has looked."""
    with terminal() as (stream, reader):
        with progress_on(stream) as update:
            update({target("a"): ScanProgress(1, 3)})
            update({})
        stream.write("nothing\n")
        stream.flush()
        assert drawn(reader) == ["nothing"]


def test_more_pages_than_expected_are_no_harm() -> None:
    """A history that grows while it is read fills the bar, and not more."""
    with terminal() as (stream, reader), progress_on(stream) as update:
        update({target("a"): ScanProgress(13, 12)})
        assert f"[{'#' * 30}] 13 of 13 pages" in drawn(reader)[-1]


def test_a_name_does_not_move_the_cursor() -> None:
    """Ids come from the service."""
    with terminal() as (stream, reader), progress_on(stream) as update:
        update({target("\x1b[2J\r\u202ex"): ScanProgress(1, 10)})
        assert "Reading w/\\x1b[2J\\x0d\\u202ex [" in drawn(reader)[-1]


@pytest.mark.parametrize("columns", [20, 60, 0])
def test_it_is_cut_where_the_window_ends(columns: int) -> None:
    """A line that wraps could not be taken away again; some terminals do not tell their width."""
    with terminal(columns) as (stream, reader), progress_on(stream) as update:
        update({target("a"): ScanProgress(1, 10)})
        (line,) = set(drawn(reader))
    assert line.startswith("Reading w/a")
    assert len(line) <= (columns or 100)


def test_a_closed_terminal_is_harmless() -> None:
    """A window is closed, and the daemon that was begun in it goes on without."""
    with terminal() as (stream, reader), progress_on(stream) as update:
        update({target("a"): ScanProgress(1, 10)})
        os.close(reader)
        for pages in range(2, 10):
            update({target("a"): ScanProgress(pages, 10)})
        update({})


def test_a_stopped_terminal_does_not_block() -> None:
    """Who has pressed Ctrl-S sees nothing new, and nothing waits for him; later it goes on."""
    with terminal() as (stream, reader), progress_on(stream) as update:
        termios.tcflow(stream, termios.TCOOFF)
        for pages in range(5000):
            update({target("a"): ScanProgress(pages, 5000)})
        termios.tcflow(stream, termios.TCOON)
        update({target("a"): ScanProgress(4999, 5000)})
        lines = drawn(reader)
    assert len(set(lines)) == 1
    assert "4999 of 5000 pages" in lines[0]
