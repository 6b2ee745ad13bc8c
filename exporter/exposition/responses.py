"""Responses to scrapes: the page, joined with the exporter's own live metrics."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from exporter.exposition.formats import Form, PageFormat
from exporter.exposition.gzip_chunks import Chunk, ChunkSequence, gzip_member
from exporter.exposition.rendered_store import RenderedSnapshotStore
from exporter.exposition.renderer import RenderedPage, Renderer
from exporter.snapshot import Samples, Snapshot

_PART_BYTES = 1 << 16
"""Of an uncompressed page, that are put together at least: more would wait for a slow client."""

_END = b"# EOF\n"

OwnPart = Mapping[PageFormat, ChunkSequence]
"""The end of the page in each format: compressed as the last of its member."""


class OwnMetrics:
    """What is in a registry, as it was when last refreshed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._current: OwnPart
        self.refresh()

    @property
    def current(self) -> OwnPart:
        """The end of the page; another object after each refresh."""
        return self._current

    def refresh(self) -> None:
        """Render what the registry holds now, at once."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[None]:
        """Render what the registry holds now, family by family, with a pause after each."""
        pages: dict[PageFormat, list[bytes]] = {page_format: [] for page_format in PageFormat}
        for family in [*self._registry.collect()]:
            for page_format, page in pages.items():
                page.append(encoded(_Family(family), page_format).removesuffix(_END))
            yield
        pages[PageFormat.OPENMETRICS].append(_END)
        self._current = {
            page_format: ChunkSequence.of([Chunk.of(tuple(page), is_last=True)])
            for page_format, page in pages.items()
        }


@dataclass(frozen=True, slots=True)
class PageResponse:
    """A whole page in one form, as `parts` of `size` bytes in total."""

    page: RenderedPage
    own: OwnPart
    size: int
    parts: Iterable[bytes]

    def read(self) -> bytes:
        """Return all of it."""
        return b"".join(self.parts)


class PageResponses:
    """Builds the responses to scrapes from the rendered page."""

    def __init__(
        self,
        snapshots: RenderedSnapshotStore,
        own: OwnMetrics,
        may_show: Callable[[Samples], bool] = lambda _: True,
    ) -> None:
        """Join the page that is ready, and `own` as it was last refreshed.

        Where `may_show` says no of a page's counters, another process may show them: the page is
        not sent, not even once, however long this process was stopped in between.
        """
        self._may_show = may_show
        self._blank = Renderer().render(Snapshot())
        self._snapshots = snapshots
        self._own = own
        self._last: dict[Form, PageResponse] = {}

    def answer(self, form: Form) -> PageResponse:
        """Return the current page; the same object as long as the page is the same."""
        page, own = self._snapshots.page, self._own.current
        if page.snapshot.counters and not self._may_show(page.snapshot.counters):
            page = self._blank
        last = self._last.get(form)
        if last is None or last.page is not page or last.own is not own:
            last = self._last[form] = _joined(page, own, form)
        return last

    def catch_up(self) -> None:
        """Render everything that is outstanding, however long that takes."""
        self._snapshots.finish()
        self._own.refresh()


def filtered(answer: PageResponse, names: Collection[str]) -> Iterator[bytes]:
    """Return the lines of an uncompressed page whose samples bear one of `names`, part by part.

    As in prometheus-client, it is the name in the line that counts, `x_total` or `x_bucket`; and
    a family is described where at least one of its samples is there.
    """
    wanted = frozenset(name.encode() for name in names)
    headers: list[bytes] = []
    for part in answer.parts:
        yield _kept(part, wanted, headers)


def _kept(part: bytes, wanted: Collection[bytes], headers: list[bytes]) -> bytes:
    """Return the wanted lines; `headers` are those of the family in which the part begins."""
    kept: list[bytes] = []
    for line in part.split(b"\n"):
        if not line.startswith(b"#"):
            if line.partition(b"{")[0].partition(b" ")[0] in wanted:
                kept += (*headers, line)
                headers.clear()
        elif line == b"# EOF":
            kept.append(line)
        else:
            if headers and not _is_same_family(headers[-1], line):
                headers.clear()
            headers.append(line)
    return b"".join(line + b"\n" for line in kept)


def encoded(registry: Collector, page_format: PageFormat) -> bytes:
    """Return a whole page as prometheus-client writes it."""
    if page_format is PageFormat.TEXT:
        return exposition.generate_latest(registry)
    # All names are legal, so that no escaping changes them; this one takes half of the time.
    page: bytes = openmetrics.generate_latest(  # type: ignore[no-untyped-call]
        registry, escaping=openmetrics.ALLOWUTF8
    )
    return page


def _joined(page: RenderedPage, own: OwnPart, form: Form) -> PageResponse:
    sequences = page.sequences[form.format], own[form.format]
    if form.is_gzipped:
        body = gzip_member(sequences)
        return PageResponse(page, own, len(body), (body,))
    return PageResponse(page, own, sum(part.size for part in sequences), _Plain(sequences))


def _is_same_family(before: bytes, line: bytes) -> bool:
    """Whether two lines `# HELP name …` and `# TYPE name …` describe the same family."""
    return before.split(b" ", 3)[2] == line.split(b" ", 3)[2]


class _Family(Collector):
    """Hands a ready family to prometheus-client's renderers."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterable[Family]:
        return (self._family,)


class _Plain:
    """The lines as they are, put together while they are sent: they exist only once."""

    def __init__(self, sequences: Iterable[ChunkSequence]) -> None:
        self._sequences = tuple(sequences)

    def __iter__(self) -> Iterator[bytes]:
        part: list[bytes] = []
        size = 0
        for sequence in self._sequences:
            for piece in chain.from_iterable(chunk.pieces for chunk in sequence.chunks):
                part.append(piece)
                size += len(piece)
                if size >= _PART_BYTES:
                    yield b"".join(part)
                    part, size = [], 0
        yield b"".join(part)
