"""The real process, at the limit of its connections: what it holds in memory, and who is served."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.crowds import crowd
from tests.support.large_daemons import large_daemon

pytestmark = [pytest.mark.anyio, pytest.mark.process, pytest.mark.timeout(150)]

MEGABYTES = 256
"""What the documentation advises."""

# More than the 128 that may be connected. Those that are dropped come again twice a second, and who
# is the 129th to come after a scrape drops it: many more would leave less than 0.3 s between the
# connection of a scrape and its request, which a client on a busy machine may need.


@pytest.mark.parametrize(
    ("crowds", "has_tls", "has_passwords"),
    [
        ([{"unread": 150, "silent": 1}], False, False),
        ([{"idle": 150, "silent": 1}, {"pipelined": 150}, {"page": 150}], True, False),
        ([{"names": 150}, {"status": 150}], True, False),
        ([{"heads": 150}, {"passwords": 150}], True, True),
    ],
    ids=["unread", "idle", "names", "passwords"],
)
async def test_scrapes_get_through_crowds_within_bounded_memory(
    tmp_path: Path, crowds: Sequence[Mapping[str, int]], *, has_tls: bool, has_passwords: bool
) -> None:
    """Every scrape is in time, also the first one after a start, whatever crowds come in turn."""
    async with large_daemon(tmp_path, has_tls=has_tls, has_passwords=has_passwords) as daemon:
        for clients in crowds:
            before = daemon.megabytes
            async with crowd(daemon.url, clients):
                seconds = await daemon.scrapes(50)
            print(  # noqa: T201
                f"{clients}: {before:.0f} to {daemon.megabytes:.0f} MB,"
                f" {seconds[24]:.3f} to {seconds[-1]:.3f} s"
            )
        assert daemon.megabytes < MEGABYTES
    assert b"level=error" not in daemon.process.output
    assert b"level=warning" not in daemon.process.output
