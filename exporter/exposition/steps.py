"""Work in steps of about a millisecond, between which an event loop gets its turn."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

_STEP = 1000
"""Units of work, each about a microsecond, after which a pause is due."""


class Steps:
    """Tells when a pause is due, by the work that was done: the same in every run."""

    def __init__(self) -> None:
        self._done = 0

    def did(self, units: int) -> None:
        """Note that work was done."""
        self._done += units

    def is_pause_due(self) -> bool:
        """Tell whether it was enough for one step, and if so begin the next."""
        if self._done < _STEP:
            return False
        self._done = 0
        return True


def finished(work: Generator[None, None, T]) -> T:
    """Do all of `work` without a pause, and give its result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
