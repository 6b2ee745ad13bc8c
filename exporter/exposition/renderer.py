"""Renders snapshots to pages, in steps, and only what has changed since the last one."""

from collections.abc import Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import is_

from exporter import catalog
from exporter.catalog import CATALOG, Metric
from exporter.exposition.formats import (
    PageFormat,
    line_writer,
    openmetrics_header,
    text_header,
)
from exporter.exposition.gzip_chunks import ChunkSequence
from exporter.exposition.layout import Cells, Header, Layout, PageChunk, Timeslice
from exporter.snapshot import Samples, SampleSet, Snapshot, TargetView, groups_of

_BLOCK = 256
"""Samples that are written at a time."""

_UNITS_OF_A_LOOK = 1
"""What it takes to see that a part did not change; to write a sample is one unit."""


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """The rendered snapshot, without the exporter's own live metrics and without end marks.

    Sample lines exist once: both formats, compressed or not, are made of the same pieces.
    """

    snapshot: Snapshot
    sequences: Mapping[PageFormat, ChunkSequence]


Rendering = Generator[None, None, RenderedPage]
"""A page that is being made; each `next` does about a millisecond of work."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A rendered part of a snapshot: one column of the page, or one for each run of its groups.

    `lines` are those of single groups by their identity, where there are several runs: a group
    that is there again in the next snapshot, in whatever run, is not written again.
    """

    source: object
    runs: tuple[tuple[Samples, ...], ...]
    columns: tuple[Cells, ...]
    lines: Mapping[int, tuple[Samples, Cells]]


_NO_PART = _Part(None, (), (), {})


class Renderer:
    """Renders snapshots one after the other, each before the next.

    A part of a snapshot that is the same object as before costs a look-up; one that changed is
    written again, and the chunks with lines that changed are compressed again.
    """

    def __init__(
        self, metrics: Sequence[Metric] = CATALOG, *, run: int = 64, chunk_bytes: int = 1 << 18
    ) -> None:
        """Render the families of `metrics`, in this order.

        The lines of `run` groups of a part, such as sessions of a gateway, are one column of the
        page. A chunk is full at `chunk_bytes`: enough to compress well, little enough to be
        compressed quickly, and to stay the same when other parts change.
        """
        self._run = run
        self._chunk_bytes = chunk_bytes
        self._rows = {metric: row for row, metric in enumerate(metrics)}
        self._writers = [line_writer(metric) for metric in metrics]
        self._headers = [
            Header(text_header(metric), openmetrics_header(metric)) for metric in metrics
        ]
        self._parts: dict[Hashable, _Part] = {}
        self._layout: Layout | None = None
        self._chunks: Sequence[PageChunk] = ()

    def render(self, snapshot: Snapshot) -> RenderedPage:
        """Render `snapshot` at once."""
        rendering = self.steps(snapshot)
        while True:
            try:
                next(rendering)
            except StopIteration as end:
                page: RenderedPage = end.value
                return page

    def steps(self, snapshot: Snapshot) -> Rendering:
        """Render `snapshot`, with a pause after about every millisecond of work."""
        time = Timeslice()
        parts: dict[Hashable, _Part] = {}
        for key, source in parts_of(snapshot):
            part = self._parts.get(key, _NO_PART)
            if part.source is not source:
                part = yield from self._part(source, samples_of(source), part, time)
            parts[key] = part
            if time.spend(_UNITS_OF_A_LOOK):
                yield
        # If a step fails, the layout is between two snapshots: the next rendering makes a new one.
        layout, self._layout = self._layout, None
        changes = yield from _changed_columns(self._parts, parts, time)
        if layout is not None and changes is not None:
            yield from layout.update(changes, time)
        if layout is None or changes is None or layout.is_lopsided:
            columns = [cells for part in parts.values() for cells in part.columns]
            layout = Layout(self._headers, len(columns), self._chunk_bytes)
            yield from layout.fill(columns, self._chunks, time)
        self._parts, self._layout, self._chunks = parts, layout, layout.chunks
        sequences = {
            PageFormat.TEXT: ChunkSequence.of(chunk.text for chunk in layout.chunks),
            PageFormat.OPENMETRICS: ChunkSequence.of(chunk.openmetrics for chunk in layout.chunks),
        }
        return RenderedPage(snapshot, sequences)

    def _part(
        self, source: object, samples: Samples, before: _Part, time: Timeslice
    ) -> Generator[None, None, _Part]:
        """Write a part; pieces that are equal to those of `before` are the same objects."""
        groups = groups_of(samples)
        if len(groups) <= self._run:
            cells = yield from self._cells(groups, time)
            return _Part(source, (), (_shared(cells, before.columns[:1]),), {})
        runs = tuple(
            groups[start : start + self._run] for start in range(0, len(groups), self._run)
        )
        lines: dict[int, tuple[Samples, Cells]] = {}
        columns: list[Cells] = []
        for index, run in enumerate(runs):
            for group in run:
                known = before.lines.get(id(group))
                if known is None:
                    known = group, (yield from self._cells((group,), time))
                lines[id(group)] = known
            column = before.columns[index : index + 1]
            if column and before.runs and _is_same(run, before.runs[index]):
                columns += column
            else:
                columns.append(_shared(_joined(lines[id(group)][1] for group in run), column))
            if time.spend(len(run)):
                yield
        return _Part(source, runs, tuple(columns), lines)

    def _cells(
        self, groups: Sequence[Samples], time: Timeslice
    ) -> Generator[None, None, dict[int, bytes]]:
        lines: dict[int, list[str]] = {}
        for group in groups:
            for metric, samples in group.items():
                row = self._rows[metric]
                written = lines.setdefault(row, [])
                for start in range(0, len(samples), _BLOCK):
                    block = samples[start : start + _BLOCK]
                    written += map(self._writers[row], block)
                    if time.spend(len(block)):
                        yield
        return {row: "".join(written).encode() for row, written in lines.items()}


def parts_of(snapshot: Snapshot) -> Iterator[tuple[Hashable, Samples | TargetView]]:
    """Yield the parts of a snapshot by their keys: a part that is the same object has not changed.

    Within a family, samples stand in the order of the parts.
    """
    yield "infos", snapshot.infos
    for target, view in snapshot.targets.items():
        yield ("polls", target), view
    for target, view in snapshot.targets.items():
        yield ("gauges", target), view.gauges
    yield "counters", snapshot.counters


def samples_of(part: Samples | TargetView) -> Samples:
    """Return the samples of a part; of a target, those of its polls."""
    return _of_polls(part) if isinstance(part, TargetView) else part


def _of_polls(view: TargetView) -> Samples:
    found = SampleSet()
    target = view.target
    labels = (target.source, target.workspace_id, target.livy_compute_id)
    found.add(catalog.TARGET_UP, labels, view.up)
    if view.failure is not None:
        found.add(catalog.TARGET_ERROR_INFO, (*labels, view.failure.reason), 1)
    found.add(catalog.TARGET_LAST_SUCCESS, labels, view.last_success_at)
    found.add(catalog.TARGET_STALE_AFTER, labels, view.stale_after)
    found.add(catalog.TARGET_POLL_DURATION, labels, view.last_duration)
    found.add(catalog.TARGET_POLL_REQUESTS, labels, view.last_requests)
    if view.scan is not None:
        found.add(catalog.WALK_PAGES, labels[1:], view.scan.pages)
        found.add(catalog.WALK_PAGES_EXPECTED, labels[1:], view.scan.expected)
    return found.freeze()


def _changed_columns(
    before: Mapping[Hashable, _Part], after: Mapping[Hashable, _Part], time: Timeslice
) -> Generator[None, None, dict[int, tuple[Cells, Cells]] | None]:
    """Return the columns that changed, as they were and are; `None` if columns came or went."""
    if len(before) != len(after):
        return None
    changes: dict[int, tuple[Cells, Cells]] = {}
    first = 0
    for (old_key, old), (new_key, new) in zip(before.items(), after.items(), strict=True):
        if old_key != new_key or len(old.columns) != len(new.columns):
            return None
        if new is not old:
            changes.update(enumerate(zip(old.columns, new.columns, strict=True), first))
        first += len(new.columns)
        if time.spend(_UNITS_OF_A_LOOK):
            yield
    return changes


def _is_same(run: Sequence[Samples], before: Sequence[Samples]) -> bool:
    return len(run) == len(before) and all(map(is_, run, before))


def _joined(cells_of_groups: Iterator[Cells]) -> dict[int, bytes]:
    pieces: dict[int, list[bytes]] = {}
    for cells in cells_of_groups:
        for row, piece in cells.items():
            pieces.setdefault(row, []).append(piece)
    return {row: b"".join(lines) for row, lines in pieces.items()}


def _shared(cells: Mapping[int, bytes], before: Sequence[Cells]) -> Cells:
    """Return `cells` with the pieces of the column before where they are equal: they exist once."""
    if not before:
        return cells
    known = before[0]
    return {row: known[row] if known.get(row) == piece else piece for row, piece in cells.items()}
