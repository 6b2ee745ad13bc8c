"""From what a poll has read to the history after it. Pure."""

from collections.abc import Mapping

from exporter.sources.livy_sessions.history import History, Row, Watched
from exporter.sources.livy_sessions.planner import Outcome
from exporter.sources.livy_sessions.watching import Watch


def absorb(history: History, outcome: Outcome, rows: Mapping[int, Row], watch: Watch) -> History:
    """Give the history as `outcome` and the `rows` that were read (by digest) say it is now."""
    watched = watch.unread(history.watched)
    kept, gone = outcome.kept, outcome.gone
    former = {digest: kept + at for at, digest in enumerate(history.digests[kept:])}
    for digest, place in outcome.places.items():
        index = place if place < kept else former.get(digest)
        found = _judged(history, index, rows[digest], watch)
        watched.pop(digest, None)
        if found is not None:
            watched[digest] = found
    for digest in (*history.digests[: min(gone, kept)], *outcome.tail[: max(0, gone - kept)]):
        watched.pop(digest, None)
    return history.advanced(outcome, rows, watched).renamed(rows.values())


def _judged(history: History, index: int | None, row: Row, watch: Watch) -> Watched | None:
    if index is None:
        return watch.first_sight(row)
    kind = history.legend[history.kinds[index]]
    return watch.again(history.watched.get(row.digest), row, is_changed=kind != row.kind)
