"""From pictures to pages, in steps, keeping what did not change from one to the next."""

from collections.abc import Generator, Iterator, Sequence

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

_Written = Sequence[tuple[int, bytes]]
"""The lines of a group in pieces, each with the place of its family on the page."""

_Entry = tuple[Samples, _Written]


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
        lines: list[list[bytes]] = [[] for _ in self._headers]
        for group in groups(snapshot):
            key = id(group)
            entry = kept.get(key) or self._groups.pop(key, None)
            if entry is None:
                entry = group, (yield from self._written(group, steps))
            kept[key] = entry
            for place, piece in entry[1]:
                lines[place].append(piece)
            steps.did(1)
            if steps.is_pause_due():
                yield
        self._groups = kept
        return (
            Family(*headers, pieces)
            for headers, pieces in zip(self._headers, lines, strict=True)
            if pieces
        )

    def _written(self, group: Samples, steps: Steps) -> Generator[None, None, _Written]:
        written: list[tuple[int, bytes]] = []
        for metric, samples in group.items():
            place = self._places[metric]
            for start in range(0, len(samples), _BLOCK):
                block = samples[start : start + _BLOCK]
                piece = "".join(map(self._writers[place], block)).encode()
                written.append((place, piece))
                steps.did(len(block))
                if steps.is_pause_due():
                    yield
        return written
