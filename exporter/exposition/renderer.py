"""From pictures to pages, in steps, keeping what did not change from one to the next."""

from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

from exporter.catalog import CATALOG, Metric
from exporter.exposition.groups import groups
from exporter.exposition.gzipped import Chunk, Row
from exporter.exposition.layout import Family, Pieces, stretches
from exporter.exposition.lines import line_writer, openmetrics_header, text_header
from exporter.exposition.page import Page
from exporter.exposition.steps import Steps, finished
from exporter.snapshot import Samples, Snapshot

_BLOCK = 256
"""Samples that are written at a time."""

Rendering = Generator[None, None, Page]
"""A page that is being made; each `next` does a step of it."""

_RUN = 64
"""Groups whose lines are put on the page at a time."""


class _Entry(NamedTuple):
    """The lines of a group in pieces, and for each the place of its family on the page."""

    group: Samples
    places: tuple[int, ...]
    pieces: tuple[bytes, ...]


class Renderer:
    """Renders pictures one after the other, each before the next.

    The lines of a group of samples are kept as long as the group is the same object, and a
    compressed chunk as long as its lines are the same.
    """

    def __init__(self, metrics: Sequence[Metric] = CATALOG) -> None:
        """Render the families of `metrics`, in this order."""
        self._places = {metric: place for place, metric in enumerate(metrics)}
        self._writers = [line_writer(metric) for metric in metrics]
        self._headers = [(text_header(metric), openmetrics_header(metric)) for metric in metrics]
        # By the identity of the group, which lives as long as it stands here.
        self._groups: dict[int, _Entry] = {}
        self._chunks: dict[bytes, Chunk] = {}

    def render(self, snapshot: Snapshot) -> Page:
        """Render `snapshot` at once."""
        return finished(self.steps(snapshot))

    def steps(self, snapshot: Snapshot) -> Rendering:
        """Render `snapshot`, with a pause after about every millisecond of work."""
        steps = Steps()
        families = yield from self._families(snapshot, steps)
        text: list[Chunk] = []
        openmetrics: list[Chunk] = []
        for stretch in stretches(families):
            chunk = self._chunk(stretch.text, steps)
            text.append(chunk)
            is_same = stretch.openmetrics is stretch.text
            openmetrics.append(chunk if is_same else self._chunk(stretch.openmetrics, steps))
            if steps.is_pause_due():
                yield
        self._chunks = {chunk.pieces[0]: chunk for chunk in (*openmetrics, *text)}
        return Page(snapshot, Row.of(text), Row.of(openmetrics))

    def _chunk(self, pieces: Pieces, steps: Steps) -> Chunk:
        """Compress `pieces`, unless the last page had the same."""
        steps.did(len(pieces) >> 3)
        known = self._chunks.get(pieces[0])
        if known is not None and known.pieces == pieces:
            return known
        chunk = Chunk.of(pieces)
        steps.did(chunk.size >> 10)
        return chunk

    def _families(
        self, snapshot: Snapshot, steps: Steps
    ) -> Generator[None, None, Iterator[Family]]:
        """Write the groups that are new, and put the lines of each family together."""
        kept: dict[int, _Entry] = {}
        lines = _Lines(len(self._headers))
        for group in groups(snapshot):
            key = id(group)
            entry = kept.get(key) or self._groups.pop(key, None)
            if entry is None:
                entry = yield from self._written(group, steps)
            kept[key] = entry
            if lines.add(entry):
                steps.did(_RUN)
                if steps.is_pause_due():
                    yield
        self._groups = kept
        return (
            Family(*headers, pieces)
            for headers, pieces in zip(self._headers, lines.finished(), strict=True)
            if pieces
        )

    def _written(self, group: Samples, steps: Steps) -> Generator[None, None, _Entry]:
        places: list[int] = []
        pieces: list[bytes] = []
        for metric, samples in group.items():
            place = self._places[metric]
            for start in range(0, len(samples), _BLOCK):
                block = samples[start : start + _BLOCK]
                places.append(place)
                pieces.append("".join(map(self._writers[place], block)).encode())
                steps.did(len(block))
                if steps.is_pause_due():
                    yield
        return _Entry(group, tuple(places), tuple(pieces))


class _Lines:
    """Puts the pieces of groups under their families.

    Most groups are those of sessions, and have pieces of the same families: so runs of such
    groups are put there column by column, which takes half the time.
    """

    def __init__(self, families: int) -> None:
        self._lines: list[list[bytes]] = [[] for _ in range(families)]
        self._places: tuple[int, ...] = ()
        self._run: list[tuple[bytes, ...]] = []

    def add(self, entry: _Entry) -> bool:
        """Add a group; tell whether a run ended."""
        is_end = entry.places != self._places or len(self._run) == _RUN
        if is_end:
            self._end_run()
            self._places = entry.places
        self._run.append(entry.pieces)
        return is_end

    def finished(self) -> list[list[bytes]]:
        """Give the pieces of each family."""
        self._end_run()
        return self._lines

    def _end_run(self) -> None:
        run, self._run = self._run, []
        if len({*self._places}) == len(self._places):
            for place, column in zip(self._places, zip(*run, strict=True), strict=False):
                self._lines[place] += column
            return
        for pieces in run:  # a long group, with several pieces of one family
            for place, piece in zip(self._places, pieces, strict=True):
                self._lines[place].append(piece)
