"""Which worker runs which test, and in which order."""

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

BUILT_ONCE = (
    "tests/deploy/test_image.py",
    "tests/deploy/test_package.py",
    "tests/sources/test_long_scans.py",
)
"""Modules whose tests share what takes long to build: one worker runs them all."""


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist publishes no types
    """Gives each test to the worker that is free next."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, _ = nodeid.partition("::")
        return path if path in BUILT_ONCE else nodeid


def longest_first(item: pytest.Item) -> tuple[float, bool]:
    """Sort tests that may take long before others, so that none is left alone at the end."""
    marker = item.get_closest_marker("timeout")
    return -float(marker.args[0]) if marker else 0.0, not is_outside(item)


def is_outside(item: pytest.Item) -> bool:
    """Whether a test runs more than its own process."""
    return any(item.get_closest_marker(name) for name in ("process", "real"))
