"""The Livy sessions of one gateway: a history in which ended sessions stay.

To list 100,000 sessions takes 1,000 requests. So the whole history is read once; from then on the
order of the listing and the places of open sessions are known, and polls read a few pages. As long
as sessions appear only at the new end, vanish only at the old end, and settled ones do not change,
such a poll publishes what a full scan would publish. A violation that changes the service's count
is noticed within one poll, any other at the next verification (`livy.full-walk-interval`).

A session has settled when it ended and did not change for `livy.settle-after`. One in a state
outside the documented vocabulary is open until it has an end time, and settles from then on.

    source            chooses the scan, drives it, and publishes
    driver            the I/O of scans: reads their pages, records sessions in the ledger

    full_scan         reads all pages, and knows nothing beforehand
    incremental_scan  reads the pages that may have changed, by `head_scan` and `alignment`;
                      a verification is one that reads all pages beside the polls

    history           the known rows of a listing
    columns           the memory of these rows, in chunks that one history shares with the next
    rows              the rows of a page, and the sessions that they are of
    warm_start        the history of the ledger, with which a restart begins
    settling          which rows have to be read again
    trust             whether the order and the end of the listing are believed
    series            from sessions to samples

A scan is a value without I/O: `next_page()` is the number of the page to read, or `None` at the
end; `take(number, page)` takes that page; then there is a result. A scan that fails is kept, and
resumed. If a listing does not fit the known order, a `ListingDiverged` is raised, and a full scan
follows.
"""

from exporter.sources.livy_sessions.full_scan import MAX_SESSIONS
from exporter.sources.livy_sessions.series import SeriesLimits
from exporter.sources.livy_sessions.source import LivySessions, ScanTiming

__all__ = [
    "MAX_SESSIONS",
    "LivySessions",
    "ScanTiming",
    "SeriesLimits",
]
