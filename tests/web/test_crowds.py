"""The real process, at the limit of its connections: what it holds in memory, and who is served."""

from pathlib import Path

import pytest

from tests.support.crowds import crowd
from tests.support.large_daemons import large_daemon

pytestmark = [pytest.mark.anyio, pytest.mark.process, pytest.mark.timeout(150)]

MEGABYTES = 256
"""What the documentation advises."""


@pytest.mark.parametrize(
    ("crowds", "has_tls", "has_passwords"),
    [
        ({"idle": 150, "silent": 1}, True, False),
        ({"heads": 150}, True, True),
        ({"pipelined": 150}, True, False),
        ({"unread": 511, "silent": 1}, False, False),
        ({"page": 150}, True, False),
        ({"names": 150}, True, False),
        ({"status": 150}, True, False),
        ({"passwords": 150}, True, True),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
async def test_scrapes_get_through_a_crowd_within_bounded_memory(
    tmp_path: Path, crowds: dict[str, int], *, has_tls: bool, has_passwords: bool
) -> None:
    """Every scrape is in time, also the first one after a start."""
    async with large_daemon(tmp_path, has_tls=has_tls, has_passwords=has_passwords) as daemon:
        before = daemon.megabytes
        async with crowd(daemon.url, crowds):
            seconds = await daemon.scrapes(50)
        megabytes = daemon.megabytes
    print(f"{before:.0f} to {megabytes:.0f} MB, {seconds[24]:.3f} to {seconds[-1]:.3f} s")  # noqa: T201
    assert megabytes < MEGABYTES
    assert b"level=error" not in daemon.process.output
    assert b"level=warning" not in daemon.process.output
