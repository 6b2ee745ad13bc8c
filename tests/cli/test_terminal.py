"""What a long scan looks like on a real terminal, and that a file gets none of it."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import termios
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exporter.demo import DEMO_KEY_ID, DEMO_KEY_SECRET, Cloud, SimulatedGateway, faults, serve
from exporter.demo.faults import Delay
from tests.support.forked import run
from tests.support.harness import targets_of
from tests.support.processes import CREDENTIAL, EXPORTER, eventually, search_path
from tests.support.worlds import GATEWAY, WORKSPACE, empty_world, session

pytestmark = [pytest.mark.anyio, pytest.mark.process]

ROWS = 2000
PAGES = ROWS // 100
LIVY = "ListLivyComputeSessions"
COLUMNS = 100

_CONTROL = re.compile(r"\r|\n|\x1b\[[0-9;]*m")
_BAR = re.compile(rf"Reading {WORKSPACE}/{GATEWAY} \[([#.]+)\] (\d+) of {PAGES} pages")


class Screen:
    """A terminal as its reader sees it: whole lines above, and what stands in the last one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.foot = ""
        self.feet: list[str] = []
        """All that stood in the last line, one after the other."""
        self.raw = ""
        self._at = 0

    def feed(self, data: str) -> None:
        """Take what a program writes; it may use nothing but what is known here."""
        self.raw += data
        plain = _CONTROL.split(data)
        for text, control in zip(plain, [*_CONTROL.findall(data), ""], strict=True):
            assert text.isprintable(), text
            self.foot = self.foot[: self._at] + text + self.foot[self._at + len(text) :]
            self._at += len(text)
            assert self._at < COLUMNS or not self.foot.startswith("Reading"), self.foot
            self.feet.append(self.foot)
            self._obey(control)

    def _obey(self, control: str) -> None:
        if control == "\r":
            self._at = 0
        elif control == "\n":
            self.lines.append(self.foot.rstrip())
            self.foot, self._at = "", 0

    def bars(self) -> list[tuple[int, int]]:
        """Return each bar that was drawn: its length of 30, and the pages that it told."""
        found = filter(None, map(_BAR.match, self.feet))
        return list(dict.fromkeys((each[1].count("#"), int(each[2])) for each in found))


class OnTerminal:
    """A program that runs with stderr on a pseudo-terminal."""

    def __init__(self, process: asyncio.subprocess.Process, main: int) -> None:
        self.process = process
        self.screen = Screen()
        self._main = main
        self._is_read = asyncio.Event()
        asyncio.get_running_loop().add_reader(main, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._main, 65536)
        except OSError:  # Linux says so when the last one has closed the other end
            data = b""
        if data:
            self.screen.feed(data.decode())
        else:
            asyncio.get_running_loop().remove_reader(self._main)
            self._is_read.set()

    async def until(self, pattern: str) -> None:
        """Wait until something has been on the last line, or stands above it."""

        async def is_shown() -> bool:
            seen = (*self.screen.lines, *self.screen.feet)
            return any(re.search(pattern, each) for each in seen)

        await eventually(is_shown, pause=0.02)

    async def wait(self) -> int:
        """Return the exit code, once all that was written is on the screen."""
        code = await asyncio.wait_for(self.process.wait(), 30)
        await asyncio.wait_for(self._is_read.wait(), 30)
        return code


@asynccontextmanager
async def on_terminal(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[OnTerminal]:
    """Run a program with stderr on a terminal of 100 columns, and stdout into a file."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    with (folder / "stdout").open("wb") as stdout:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdout=stdout,
            stderr=side,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": search_path(), "TERM": "xterm", **environment},
        )
    os.close(side)
    try:
        yield OnTerminal(process, main)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        with contextlib.suppress(ValueError):
            asyncio.get_running_loop().remove_reader(main)
        os.close(main)


def long_cloud(*gateways: str) -> Cloud:
    """Make a cloud with long histories, each page of which takes a while."""
    world = empty_world()
    for compute_id in (GATEWAY, *gateways):
        world.put_gateway(SimulatedGateway(WORKSPACE, compute_id))
        for row in range(ROWS):
            world.put_session(session(f"livy-{row}", 1, age=row, compute_id=compute_id))
    cloud = Cloud(world, clock=time.time, access_keys={DEMO_KEY_ID: DEMO_KEY_SECRET})
    cloud.faults.add(Delay(0.15), action=LIVY)
    return cloud


def command(cloud: Cloud, endpoint: str, name: str, *flags: str) -> list[str]:
    """Write the command line of an exporter that reads as fast as it can."""
    return [
        *EXPORTER,
        name,
        *flags,
        f"--targets={json.dumps(targets_of(cloud.world))}",
        f"--api.endpoint={endpoint}",
        "--api.max-requests-per-second=1000",
    ]


async def test_a_progress_bar_shows_how_far_a_scan_has_come(tmp_path: Path) -> None:
    """It grows with the pages, log lines appear whole above it, and it is erased at the end."""
    cloud = long_cloud()
    # A line of the log in the middle of the scan.
    cloud.faults.add(Delay(0.7, faults.FORBIDDEN), action="ListSessionClusters")
    async with (
        serve(cloud.app) as endpoint,
        on_terminal(command(cloud, endpoint, "once"), tmp_path, CREDENTIAL) as program,
    ):
        assert await program.wait() == 1
    bars = program.screen.bars()
    pages = [pages for _, pages in bars]
    assert len(bars) > 3
    assert pages == sorted(pages)
    assert all(length == 30 * pages // PAGES for length, pages in bars)
    assert any("left" in each for each in program.screen.feet)
    assert program.screen.foot.strip() == ""
    (line,) = program.screen.lines
    assert "poll_failed" in line
    assert "Reading" not in line
    before, _, after = program.screen.raw.partition("poll_failed")
    assert "Reading" in before
    assert "Reading" in after


async def test_several_scans_share_the_bar_and_a_signal_removes_it(tmp_path: Path) -> None:
    """Only the log stays on the terminal."""
    cloud = long_cloud("lc-2", "lc-3")
    flags = ("--web.listen-address=127.0.0.1:0", "--log.format=logfmt")
    async with (
        serve(cloud.app) as endpoint,
        on_terminal(command(cloud, endpoint, "serve", *flags), tmp_path, CREDENTIAL) as program,
    ):
        await program.until(r"^Reading 3 histories \[#+\.+\] \d+ of 60 pages, \d\d:\d\d left$")
        program.process.send_signal(signal.SIGTERM)
        assert await program.wait() == 0
    assert program.screen.foot.strip() == ""
    logged = re.findall(r"event=(\w+)", "\n".join(program.screen.lines))
    assert [each for each in logged if each != "poll_failed"] == ["started", "stopping", "stopped"]
    assert all(each.startswith("timestamp=") for each in program.screen.lines)


async def test_reconcile_shows_a_progress_bar(tmp_path: Path) -> None:
    """While it reads the full history of each gateway."""
    cloud = long_cloud()
    ledger = f"--ledger.path={tmp_path / 'ledger.db'}"
    async with serve(cloud.app) as endpoint:
        code, _ = await run(command(cloud, endpoint, "once", ledger), tmp_path, CREDENTIAL)
        assert code == 0
        arguments = command(cloud, endpoint, "reconcile", ledger)
        async with on_terminal(arguments, tmp_path, CREDENTIAL) as program:
            assert await program.wait() == 0
    assert len(program.screen.bars()) > 5
    assert (program.screen.foot.strip(), program.screen.lines) == ("", [])


@pytest.mark.parametrize(
    ("environment", "has_bar", "has_colour"),
    [({}, True, True), ({"NO_COLOR": "1"}, True, False), ({"TERM": "dumb"}, False, False)],
    ids=["xterm", "NO_COLOR", "dumb"],
)
async def test_colour_and_bar_depend_on_the_terminal(
    tmp_path: Path, environment: Mapping[str, str], *, has_bar: bool, has_colour: bool
) -> None:
    """No colour with NO_COLOR, no bar where a line cannot be overwritten."""
    cloud = long_cloud()
    cloud.faults.add(faults.FORBIDDEN, action="ListSessionClusters")
    async with (
        serve(cloud.app) as endpoint,
        on_terminal(
            command(cloud, endpoint, "once"), tmp_path, {**CREDENTIAL, **environment}
        ) as program,
    ):
        assert await program.wait() == 1
    raw = program.screen.raw
    assert "poll_failed" in raw
    assert ("Reading" in raw) is has_bar
    assert bool(re.search(r"\x1b\[[0-9;]*m", raw)) is has_colour


@pytest.mark.parametrize("log_format", ["console", "logfmt"])
async def test_a_file_gets_no_control_character(tmp_path: Path, log_format: str) -> None:
    """If stderr is not a terminal, it gets the log only."""
    cloud = long_cloud()
    cloud.faults.add(faults.FORBIDDEN, action="ListSessionClusters")
    async with serve(cloud.app) as endpoint:
        arguments = command(cloud, endpoint, "once", f"--log.format={log_format}")
        code, process = await run(arguments, tmp_path, {**CREDENTIAL, "TERM": "xterm"})
    assert code == 1
    text = process.stderr.read_text()
    assert "poll_failed" in text
    assert all(line.isprintable() for line in text.splitlines())
    assert "Reading" not in text
