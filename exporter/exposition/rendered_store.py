"""The store of the current snapshot and its page, which is rendered when it is published."""

import asyncio

from exporter.exposition.renderer import RenderedPage, Renderer, Rendering
from exporter.snapshot import Snapshot, SnapshotStore


class RenderedSnapshotStore(SnapshotStore):
    """Holds the current snapshot and its page.

    The first change in a while is rendered at once, in steps between which the event loop runs
    other tasks; the previous page stays until the new one is complete. Renderings begin at
    least `interval` seconds apart, and only the newest snapshot is rendered then, so that the
    cost does not grow with the number of polls.
    """

    def __init__(self, first: Snapshot, *, interval: float = 0.5) -> None:
        super().__init__(first)
        self._interval = interval
        self._renderer = Renderer()
        self._page = self._renderer.render(first)
        self._rendering: Rendering | None = None
        self._begun_at = float("-inf")
        self._is_scheduled = False

    @property
    def page(self) -> RenderedPage:
        """The rendered page: of the current snapshot, or of one shortly before."""
        return self._page

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the snapshot and begin to render it; outside of an event loop, render it."""
        super().publish(snapshot)
        if not self._is_scheduled:
            self._go_on()

    def finish(self) -> None:
        """Render until the page is that of the current snapshot."""
        while not self._is_finished_after_a_step():
            pass

    def _go_on(self) -> None:
        """Do one step of the rendering, or schedule the start of the next one."""
        self._is_scheduled = False
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.finish()
            return
        if self._rendering is None:
            wait = self._begun_at + self._interval - loop.time()
            if wait > 0:
                self._is_scheduled = self._page.snapshot is not self.current
                if self._is_scheduled:
                    loop.call_later(wait, self._go_on)
                return
            self._begun_at = loop.time()
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
            self._rendering = None  # the next publish starts again
            self._begun_at = float("-inf")
            raise
        return self._page.snapshot is self.current
