"""Memory and scrapes at the limit of connections, with 60,000 samples on the page."""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench.rows import Row
from tests.support.crowds import crowd
from tests.support.large_daemons import large_daemon

_SCRAPES = 200
_MIXED = {"idle": 30, "heads": 20, "unread": 20, "page": 20, "names": 10, "status": 10}
"""They fit in together, so that all of them are connected during each scrape."""
_KINDS = ("idle", "heads", "pipelined", "unread", "page", "names", "status", "passwords")
_AT_THE_LIMIT = 150


def rows() -> Iterator[Row]:
    """Measure scrapes without and with a crowd, then the memory with each kind of client."""
    for what, is_secured in (("plain HTTP", False), ("TLS and a password", True)):
        for crowds in ({}, _MIXED):
            _, seconds = asyncio.run(
                _crowded(crowds, _SCRAPES, has_tls=is_secured, has_passwords=is_secured)
            )
            whose = f"{sum(crowds.values())} slow clients connected" if crowds else "alone"
            yield Row(
                f"scrape by {what}, {whose}: p50, p99",
                f"{_at(seconds, 50):.1f} ms, {_at(seconds, 99):.1f} ms",
                f"{_SCRAPES} scrapes, each on a new connection",
            )
    for kind in _KINDS:
        has_passwords = kind == "passwords"
        megabytes, seconds = asyncio.run(
            _crowded({kind: _AT_THE_LIMIT}, 50, has_tls=True, has_passwords=has_passwords)
        )
        yield Row(
            f"memory at the limit of connections: {kind}",
            f"{megabytes:.0f} MB",
            f"{_AT_THE_LIMIT} clients by TLS; 50 of 50 scrapes, p50 {_at(seconds, 50):.0f} ms;"
            " allowed are 256 MB",
        )


async def _crowded(
    crowds: Mapping[str, int], count: int, *, has_tls: bool, has_passwords: bool
) -> tuple[float, Sequence[float]]:
    """Return the most memory in MB, and the seconds of the scrapes, sorted."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            large_daemon(Path(folder), has_tls=has_tls, has_passwords=has_passwords) as daemon,
            crowd(daemon.url, crowds),
        ):
            seconds = await daemon.scrapes(count)
            return daemon.megabytes, seconds


def _at(seconds: Sequence[float], percent: int) -> float:
    """Return a percentile in milliseconds."""
    return seconds[min(len(seconds) - 1, len(seconds) * percent // 100)] * 1e3
