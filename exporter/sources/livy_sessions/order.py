"""In which order a history is listed: not documented, so it is observed."""

from collections.abc import Sequence
from enum import Enum
from itertools import pairwise

NO_TIME = -1
"""Stands for a create time that is not known."""

_TOLERATED = 100
"""One step in so many may go the wrong way: a create time may be set before its row is."""


class Order(Enum):
    """How a listing goes on from its first row."""

    NEWEST_FIRST = "newest first"
    OLDEST_FIRST = "oldest first"


def observe(created: Sequence[int]) -> Order | None:
    """Tell the order of a listing by its create times; `None` where there is none to rely on.

    Steps between equal times, and rows without one, say nothing. A few steps in the wrong
    direction do no harm: what a poll relies on is that new rows come in at one end, and every
    poll checks that.
    """
    known = [each for each in created if each != NO_TIME]
    up = sum(later > earlier for earlier, later in pairwise(known))
    down = sum(later < earlier for earlier, later in pairwise(known))
    if down > up * _TOLERATED:
        return Order.NEWEST_FIRST
    if up > down * _TOLERATED:
        return Order.OLDEST_FIRST
    return None
