"""One page as it was read: its rows in order of listing."""

from exporter.model import LivySession, Page
from exporter.sources.livy_sessions.history import Row


def rows_of(page: Page[LivySession]) -> list[Row]:
    """Give the rows of a page, those that could not be read at their places."""
    rows = [*map(Row.of, page.records)]
    unplaced = len(page.malformed) - len(page.malformed_at)
    places = [*page.malformed_at, *([len(rows) + len(page.malformed)] * unplaced)]
    for at, name in zip(places, page.malformed, strict=True):
        rows.insert(at, Row.unreadable(name))
    return rows
