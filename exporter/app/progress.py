"""A bar on a terminal that shows how far the reading of long Livy histories has come."""

import os
import select
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, TextIO

from exporter.model import Target
from exporter.snapshot import ScanProgress, Snapshot, SnapshotStore
from exporter.terminal import printable, takes_redrawing

if TYPE_CHECKING:
    from tqdm import tqdm

Scans = Mapping[Target, ScanProgress]
"""The histories that are being read now."""

_SHORT_PAGES: Final = 3
"""A history of so many pages is read before anybody has looked."""

_FORMAT: Final = "Reading {desc} [{bar:30}] {n_fmt} of {total_fmt} pages, {remaining} left"
_FORMAT_OF_NO_TOTAL: Final = "Reading {desc}: {n_fmt} pages"


@contextmanager
def watching(snapshots: SnapshotStore, stream: TextIO) -> Iterator[None]:
    """Draw on `stream` the progress of full scans as told by each snapshot that is published."""
    with progress_on(stream) as update:
        if takes_redrawing(stream, os.environ):  # otherwise searching each snapshot would be wasted
            snapshots.watch(lambda snapshot: update(_scans_of(snapshot)))
        yield


@contextmanager
def progress_on(stream: TextIO) -> Iterator[Callable[[Scans], None]]:
    """Draw on `stream` what the function is told, if that is a terminal; the log goes above it."""
    if not takes_redrawing(stream, os.environ):
        yield lambda _: None
        return
    # Late: most processes run without a terminal.
    from tqdm import tqdm  # noqa: PLC0415
    from tqdm.contrib.logging import logging_redirect_tqdm  # noqa: PLC0415

    class Bar(tqdm):  # type: ignore[type-arg]  # only its types take one
        monitor_interval = 0  # no thread that redraws

    Bar.set_lock(threading.RLock())  # tqdm's own is shared between processes
    shown = _Shown(partial(Bar, file=stream, leave=False, ascii=".#", dynamic_ncols=True), stream)
    with logging_redirect_tqdm(tqdm_class=Bar):
        try:
            yield shown.update
        finally:
            shown.update({})


class _Shown:
    """One bar for all histories; those that are done count until all of them are."""

    def __init__(self, new_bar: "Callable[..., tqdm[None]]", stream: TextIO) -> None:
        self._new_bar = new_bar
        self._stream = stream
        self._bar: tqdm[None] | None = None
        self._scans: dict[Target, ScanProgress] = {}

    def update(self, scans: Scans) -> None:
        if not scans:
            self._scans.clear()
            if self._bar is not None:
                self._bar.close()
            self._bar = None
            return
        self._scans |= scans
        if _is_writable(self._stream):
            self._draw()

    def _draw(self) -> None:
        pages = sum(scan.pages for scan in self._scans.values())
        totals = [max(scan.pages, scan.expected or 0) for scan in self._scans.values()]
        if max(totals) <= _SHORT_PAGES:
            return
        has_total = all(scan.expected for scan in self._scans.values())
        total = sum(totals) if has_total else None
        bar_format = _FORMAT if has_total else _FORMAT_OF_NO_TOTAL
        if self._bar is None:
            self._bar = self._new_bar(
                desc=_names(self._scans), initial=pages, total=total, bar_format=bar_format
            )
            return
        self._bar.n, self._bar.total, self._bar.bar_format = pages, total, bar_format
        self._bar.set_description_str(_names(self._scans))


def _scans_of(snapshot: Snapshot) -> Scans:
    return {view.target: view.scan for view in snapshot.targets.values() if view.scan is not None}


def _names(scans: Scans) -> str:
    if len(scans) > 1:
        return f"{len(scans)} histories"
    target = next(iter(scans))
    return printable(f"{target.workspace_id}/{target.livy_compute_id}")


def _is_writable(stream: TextIO) -> bool:
    """Whether the terminal takes something now; Ctrl-S stops it, and nothing else."""
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except (OSError, ValueError):
        return False
