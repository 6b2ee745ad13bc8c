"""Both ways of paging, and all that the vendor leaves open about them."""

import base64
import binascii
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from exporter.demo.jsontext import Encoding
from exporter.demo.refusals import invalid_parameter

MAX_PAGE = 100
"""Documented for `pageSize`; taken for `maxResults` too, where nothing is documented."""


class LastToken(enum.Enum):
    """What `nextToken` looks like on the last page."""

    ABSENT = "absent"
    NULL = "null"
    EMPTY = "empty"


class TokenStyle(enum.Enum):
    """What a token remembers: a place in the list, or the row after which to go on."""

    PLACE = "place"
    ROW = "row"


class TotalCount(enum.Enum):
    """How `totalCount` is served."""

    PRESENT = "present"
    ABSENT = "absent"
    NON_NUMERIC = "non_numeric"


class PastEnd(enum.Enum):
    """What a numbered page past the end returns."""

    EMPTY = "empty"
    REPEAT_LAST = "repeat_last"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What no source tells about the real service: one value for each way it may be."""

    last_token: LastToken = LastToken.ABSENT
    token_style: TokenStyle = TokenStyle.PLACE
    token_after_full_page: bool = False
    """A scan that ends exactly on a full page has one more page, an empty one."""
    token_page_cap: int | None = None
    """Rows on a token page at most, whatever was asked for."""
    total_count: TotalCount = TotalCount.PRESENT
    past_end: PastEnd = PastEnd.EMPTY
    reachable_rows: int | None = None
    """Livy rows that can be read; deeper pages are empty although `totalCount` says more."""
    unknown_status: int = 404
    """HTTP status for an unknown or foreign workspace: 403 or 404."""
    denial_code: str = "Forbidden.RAM"
    """Or `NoPermission`."""
    camel_case_errors: bool = False
    encoding: Encoding = Encoding.UTF8


class Listed(Protocol):
    """A row that has a place in a list and a text."""

    @property
    def sort_key(self) -> tuple[int, str]:
        """Order of listing."""

    @property
    def text(self) -> str:
        """The row as JSON text."""


_Row = TypeVar("_Row", bound=Listed)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a token page begins: page from 1, place from 0, the row before it."""

    page: int = 1
    place: int = 0
    after: tuple[int, str] | None = None


def write_token(position: Position) -> str:
    """Make an opaque token; its alphabet `+/=` is one that a query must encode."""
    created, name = position.after or (0, "")
    text = f"{position.page}:{position.place}:{int(position.after is not None)}:{created}:{name}"
    return base64.b64encode(text.encode()).decode()


def read_token(token: str | None) -> Position:
    """Take a token apart, or refuse it; none means the first page."""
    if not token:
        return Position()
    try:
        text = base64.b64decode(token, validate=True).decode()
        page, place, has_row, created, name = text.split(":", 4)
        after = (int(created), name) if int(has_row) else None
        return Position(int(page), int(place), after)
    except (binascii.Error, ValueError):
        raise invalid_parameter("nextToken") from None


def token_page(
    rows: Sequence[_Row], position: Position, size: int, behaviour: Behaviour
) -> tuple[list[_Row], Position | None]:
    """Cut a page out of sorted rows; give it with the position of the next, None = no more."""
    size = min(size, behaviour.token_page_cap or size)
    start = position.place
    if behaviour.token_style is TokenStyle.ROW and position.after is not None:
        start = sum(row.sort_key <= position.after for row in rows)
    page = list(rows[start : start + size])
    stop = start + len(page)
    full = behaviour.token_after_full_page and len(page) == size
    if stop >= len(rows) and not full:
        return page, None
    after = page[-1].sort_key if page else position.after
    return page, Position(position.page + 1, stop, after)


def numbered_page(total: int, page: int, size: int, behaviour: Behaviour) -> tuple[int, int]:
    """Return the first place and the one after the last of a page from 1."""
    depth = behaviour.reachable_rows
    reachable = total if depth is None else min(total, depth)
    start = (page - 1) * size
    if start >= total and page > 1:
        if behaviour.past_end is PastEnd.ERROR:
            raise invalid_parameter("pageNum")
        if behaviour.past_end is PastEnd.REPEAT_LAST:
            start = max(total - 1, 0) // size * size
    return min(start, reachable), min(start + size, reachable)
