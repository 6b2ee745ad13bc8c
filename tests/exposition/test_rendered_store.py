"""When a published snapshot is on the page."""

import asyncio
import gc
import time
from collections.abc import Iterator

import pytest

from exporter import catalog
from exporter.exposition import PageFormat, RenderedSnapshotStore, Renderer
from exporter.snapshot import GroupedSamples, Sample, Samples, Snapshot

pytestmark = pytest.mark.anyio


def group(number: int, value: float) -> Samples:
    """Return the series of one of many sessions."""
    labels = ("w", "lc", f"livy-{number}")
    return {
        catalog.LIVY_SESSION_CU_HOURS: (Sample(labels, value),),
        catalog.LIVY_SESSION_MB_SECONDS: (Sample(labels, value * 2),),
    }


def snapshot_of(sessions: int, value: float = 1.0) -> Snapshot:
    """Return a snapshot of so many sessions."""
    return Snapshot(infos=GroupedSamples(group(n, value) for n in range(sessions)))


async def test_a_small_change_is_on_the_page_at_once() -> None:
    """It is rendered by the time `publish` returns."""
    snapshots = RenderedSnapshotStore(Snapshot())
    snapshots.publish(snapshot_of(10))
    assert snapshots.page.snapshot is snapshots.current


async def test_a_large_change_is_rendered_in_time_slices() -> None:
    """The old page is served whole until then; other tasks run between the slices."""
    snapshots = RenderedSnapshotStore(Snapshot())
    before = snapshots.page
    snapshots.publish(snapshot_of(20_000))
    turns = 0
    while snapshots.page is before:
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
    assert snapshots.page.snapshot is snapshots.current


async def test_snapshots_published_during_a_rendering_are_skipped_but_the_last() -> None:
    """Pages appear in the order of publication."""
    snapshots = RenderedSnapshotStore(Snapshot(), interval=0)
    shown: list[int] = [0]
    for value in range(1, 6):
        snapshots.publish(snapshot_of(20_000, value))
    while snapshots.page.snapshot is not snapshots.current:
        await asyncio.sleep(0)
        if snapshots.page.snapshot.version != shown[-1]:
            shown.append(snapshots.page.snapshot.version)
    assert shown == [0, 1, 5]


async def test_changes_within_the_interval_are_rendered_once() -> None:
    """The first is rendered at once; after the interval, the latest of the others."""
    snapshots = RenderedSnapshotStore(Snapshot(), interval=0.05)
    shown = {snapshots.page.snapshot.version}
    for value in range(1, 101):
        snapshots.publish(snapshot_of(1, value))
        shown.add(snapshots.page.snapshot.version)
    assert shown == {0, 1}
    async with asyncio.timeout(20):
        while snapshots.page.snapshot is not snapshots.current:
            await asyncio.sleep(0.001)
            shown.add(snapshots.page.snapshot.version)
    assert shown == {0, 1, 100}


async def test_finish_renders_the_latest_snapshot_at_once() -> None:
    """Used where the page is read only once; the slices that were scheduled then do nothing."""
    snapshots = RenderedSnapshotStore(Snapshot())
    snapshots.publish(snapshot_of(20_000))
    snapshots.finish()
    page = snapshots.page
    await asyncio.sleep(0)
    assert (page.snapshot, snapshots.page) == (snapshots.current, page)


def test_without_an_event_loop_a_snapshot_is_rendered_at_once() -> None:
    """There are no other tasks to run between slices."""
    snapshots = RenderedSnapshotStore(Snapshot())
    snapshots.publish(snapshot_of(20_000))
    assert snapshots.page.snapshot is snapshots.current


async def test_a_failed_rendering_does_not_stop_later_ones() -> None:
    """The page stays as it was; the next snapshot is rendered."""
    snapshots = RenderedSnapshotStore(Snapshot())
    before = snapshots.page
    with pytest.raises(KeyError):
        snapshots.publish(
            Snapshot(counters={catalog.Metric("x", "gauge", (), ""): (Sample((), 1),)})
        )
    assert snapshots.page is before
    snapshots.publish(snapshot_of(1))
    assert snapshots.page.snapshot is snapshots.current


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """Leave out what a collection of all of pytest's objects takes."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collection")
def test_no_time_slice_exceeds_10_ms() -> None:
    """CPU time of the thread is measured, so that a busy machine does not matter."""
    renderer = Renderer()
    work = renderer.steps(snapshot_of(20_000))
    longest = 0.0
    while True:
        begin = time.thread_time()
        is_done = next(work, renderer) is renderer
        longest = max(longest, time.thread_time() - begin)
        if is_done:
            break
    assert longest < 0.010


def test_unchanged_lines_and_chunks_are_reused() -> None:
    """When one session changes, the new page shares everything else with the page before."""
    groups = [group(n, 1.0) for n in range(20_000)]
    renderer = Renderer()
    first = renderer.render(Snapshot(infos=GroupedSamples(groups)))
    groups[15_000] = group(15_000, 2.0)
    second = renderer.render(Snapshot(infos=GroupedSamples(groups)))
    old, new = (page.sequences[PageFormat.TEXT].chunks for page in (first, second))
    assert len(old) == len(new) > 10
    assert sum(a is not b for a, b in zip(old, new, strict=True)) == 2
    pieces = {id(piece) for chunk in old for piece in chunk.pieces}
    assert sum(id(piece) not in pieces for chunk in new for piece in chunk.pieces) == 2


def test_both_formats_share_their_chunks() -> None:
    """Only chunks with the header of a counter exist twice."""
    counters = {catalog.LIVY_CU_HOURS: (Sample(("w", "lc", "q"), 1.0),)}
    page = Renderer().render(Snapshot(infos=snapshot_of(20_000).infos, counters=counters))
    pairs = list(zip(*(sequence.chunks for sequence in page.sequences.values()), strict=True))
    assert sum(a is not b for a, b in pairs) == 1
