"""The Livy sessions of one gateway: a history in which ended sessions stay.

Read naively, 100,000 sessions are 1,000 calls a poll. So the history is scanned completely
once, and what is learned from that (the order of listing, where each open session stands) lets
the next polls be short. What holds:

    What is published after a short poll equals what a full scan would have published, as
    long as rows appear only at the new end, vanish only at the old end, and settled rows do
    not change. A violation that changes the count is noticed within one poll, any other at
    the next full scan (`livy.full-walk-interval`).

Settled is a session that ended and did not change for `livy.settle-after`. One in a state
outside the documented vocabulary is open until it has an end time, and settles from then on.

    source            chooses the scan, drives it, and publishes
    driver            the I/O of a scan: reads its pages, records in the ledger what they report

    full_scan         all pages from nothing
    incremental_scan  the pages that may have changed: with `head_scan`, `alignment`;
                      a verification is one that wants all pages, beside the polls

    history           what is remembered
    columns           its rows, in chunks that one history shares with the next
    rows              what makes a row of a page the row of a session
    warm_start        what the ledger remembers of a history, so that a restart begins with it
    settling          which rows have to be read again
    trust             whether the order of the listing is believed, and its end
    series            from sessions to samples

After a restart the history is built from the rows of the ledger: the listed ones, sorted by create
time, but for those that have a place of their own there. Rows that run, or ended lately, are
watched without a record, and an ordinary incremental scan reads them. What the ledger has wrong of
the pages that are read, or of their count, is a `ListingDiverged`; the rest is found by the
verification, which is due at once. Until then settled rows have the queue and the end that the
ledger has of them.

A scan is a value without I/O: `next_page()` is the number of the page to read, or `None` at the
end; `take(number, page)` takes it; then comes the result. A scan that fails is kept, and goes
on where it was. Whatever disproves the order is a `ListingDiverged`, and a full scan follows.
"""

from exporter.sources.livy_sessions.series import SeriesLimits, sample_cache, samples
from exporter.sources.livy_sessions.source import LivySessions, ScanTiming

__all__ = ["LivySessions", "ScanTiming", "SeriesLimits", "sample_cache", "samples"]
