"""The bytes that answer a scrape: the page, joined with the exporter's own metrics."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exporter.exposition.board import RenderedBoard
from exporter.exposition.formats import Form
from exporter.exposition.gzipped import Row, member
from exporter.exposition.own import OwnMetrics, OwnPart
from exporter.exposition.page import Page


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole page in one form: `parts`, which together have `size` bytes."""

    page: Page
    own: OwnPart
    form: Form
    size: int
    parts: Iterable[bytes]

    def read(self) -> bytes:
        """Give all of it."""
        return b"".join(self.parts)


class Answers:
    """Answers scrapes from what is ready."""

    def __init__(self, board: RenderedBoard, own: OwnMetrics) -> None:
        """Join the page of `board` that is ready, and `own` as it was last refreshed."""
        self._board = board
        self._own = own
        self._last: dict[Form, Answer] = {}

    def answer(self, form: Form) -> Answer:
        """Give the page of now; the same answer as long as the page is the same."""
        page, own = self._board.page, self._own.current
        last = self._last.get(form)
        if last is None or last.page is not page or last.own is not own:
            last = self._last[form] = _joined(page, own, form)
        return last

    def catch_up(self) -> None:
        """Render all that has happened, however long that takes."""
        self._board.finish()
        self._own.refresh()


def _joined(page: Page, own: OwnPart, form: Form) -> Answer:
    rows = page.row(form.format), own[form.format]
    if form.is_gzipped:
        body = member(rows)
        return Answer(page, own, form, len(body), (body,))
    return Answer(page, own, form, sum(row.size for row in rows), _Plain(rows))


class _Plain:
    """The lines as they are, put together while they are sent: they exist only once."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = tuple(rows)

    def __iter__(self) -> Iterator[bytes]:
        for row in self._rows:
            for chunk in row.chunks:
                yield b"".join(chunk.pieces)
