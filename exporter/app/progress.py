"""Shows on a terminal how far the reading of long Livy histories has come."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from exporter import logs
from exporter.model import Target
from exporter.poller import OnWalk
from exporter.snapshot import WalkProgress
from exporter.terminal import ProgressLine, takes_redrawing

_SHORT_PAGES: Final = 3
"""A walk of so many pages is over before anybody has read the line."""


@contextmanager
def progress_on(stream: TextIO) -> Iterator[OnWalk]:
    """Draw on `stream` what is told, where that is a terminal; log lines go above it."""
    if not takes_redrawing(stream, os.environ):
        yield lambda *_: None
        return
    line = ProgressLine(stream)

    def on_walk(target: Target, walked: WalkProgress | None) -> None:
        name = f"{target.workspace_id}/{target.livy_compute_id}"
        if walked is None:
            line.end(name)
        elif max(walked.pages, walked.expected or 0) > _SHORT_PAGES:
            line.show(name, walked.pages, walked.expected)

    with logs.written_through(stream, line):
        try:
            yield on_walk
        finally:
            line.clear()
