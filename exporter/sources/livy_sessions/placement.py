"""Where rows stand in the line from old to new, in the ledger's terms. Pure."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from operator import lt

from exporter.ledger import Place
from exporter.sources.livy_sessions.columns import Columns

_START = Place(0, 0)
"""Before all rows: no session was created then."""


def places_of(created: Sequence[int]) -> dict[int, Place]:
    """Return the place of each row that its create time does not tell, by index.

    These are as few as possible: a row whose create time is far ahead is one, rather than all
    that came in after it.
    """
    places: dict[int, Place] = {}
    in_order = iter((*_longest_rise(created), len(created)))
    upcoming, last = next(in_order), _START
    for index, created_ms in enumerate(created):
        if index == upcoming:
            upcoming, last = next(in_order), Place(created_ms, 0)
        else:
            places[index] = last = _next_to(last)
    return places


def places_from(start: int, rows: Columns, known: Mapping[int, Place]) -> dict[int, Place]:
    """Return the places that the rows from index `start` on need, by index.

    `known` are places of rows by their keys: they stay as they are where they fit.
    """
    places: dict[int, Place] = {}
    last = _known_place(start - 1, rows, known) if start else _START
    for index in range(start, len(rows)):
        own = _known_place(index, rows, known)
        if own <= last:
            own = places[index] = _next_to(last)
        last = own
    return places


def _known_place(index: int, rows: Columns, known: Mapping[int, Place]) -> Place:
    return known.get(rows.key(index)) or Place(rows.created(index), 0)


def _next_to(place: Place) -> Place:
    return Place(place.listed_ms, place.rank + 1)


def _longest_rise(created: Sequence[int]) -> Sequence[int]:
    """Return the indices of as many rows as possible whose create times rise one by one."""
    if created and created[0] > 0 and all(map(lt, created, created[1:])):
        return range(len(created))
    lowest: list[int] = []
    """The lowest last create time of a rise of each length."""
    ends: list[int] = []
    before: dict[int, int] = {}
    for index, created_ms in enumerate(created):
        if created_ms <= 0:
            continue
        length = bisect_left(lowest, created_ms)
        if length:
            before[index] = ends[length - 1]
        lowest[length : length + 1] = [created_ms]
        ends[length : length + 1] = [index]
    rise = ends[-1:]
    while rise and rise[-1] in before:
        rise.append(before[rise[-1]])
    return rise[::-1]
