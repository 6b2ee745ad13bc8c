"""The board whose pictures are rendered when they are published, not when they are read."""

import asyncio

from exporter.exposition.page import Page
from exporter.exposition.renderer import Renderer, Rendering
from exporter.snapshot import Board, Snapshot


class RenderedBoard(Board):
    """Holds the page of the current picture.

    A small change is on the page when `publish` returns. A large one is rendered in steps,
    between which the event loop gets its turn; the page of before stays until the new one is
    complete. What is published meanwhile waits, and only the newest of it is rendered.
    """

    def __init__(self, first: Snapshot) -> None:
        super().__init__(first)
        self._renderer = Renderer()
        self._page = self._renderer.render(first)
        self._rendering: Rendering | None = None
        self._is_scheduled = False

    @property
    def page(self) -> Page:
        """Give the page that is ready, of the current picture or of one shortly before."""
        return self._page

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the picture and begin to render it; outside of an event loop, render it."""
        super().publish(snapshot)
        if not self._is_scheduled:
            self._go_on()

    def finish(self) -> None:
        """Render what is left to be rendered: the page is then that of the current picture."""
        while not self._is_finished_after_a_step():
            pass

    def _go_on(self) -> None:
        self._is_scheduled = False
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.finish()
            return
        if not self._is_finished_after_a_step():
            self._is_scheduled = True
            loop.call_soon(self._go_on)

    def _is_finished_after_a_step(self) -> bool:
        if self._rendering is None:
            if self._page.snapshot is self.current:
                return True
            self._rendering = self._renderer.steps(self.current)
        try:
            next(self._rendering)
        except StopIteration as end:
            self._rendering, self._page = None, end.value
        except BaseException:
            self._rendering = None  # the next publish begins anew
            raise
        return self._page.snapshot is self.current
