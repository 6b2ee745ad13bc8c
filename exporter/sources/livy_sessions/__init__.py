"""The Livy sessions of one gateway: a history in which ended sessions stay.

Read naively, 100,000 sessions are 1,000 calls a poll. So the history is walked completely
once, and what is learned from that (the order of listing, where each open session stands) lets
the next polls be short. What holds:

    What is published after a short poll equals what a complete walk would have published, as
    long as rows appear only at the new end, vanish only at the old end, and settled rows do
    not change. A violation that changes the count is noticed within one poll, any other at
    the next complete walk (`livy.full-walk-interval`).

Settled is a session that ended and did not change for `livy.settle-after`. One in a state
outside the documented vocabulary is open until it has an end time, and settles from then on.

    planner      which page a short poll reads next (with `front` and `aligning`): pure
    history      what is remembered, in columns; `watching`: what must be read again: pure
    checking     a complete walk beside the polls, against what is remembered: pure
    walking      a complete walk from nothing: staged in the ledger as it goes
    source       who asks which of them, and does the I/O
    series       from sessions to samples: pure
"""

from exporter.sources.livy_sessions.series import kept_series, samples
from exporter.sources.livy_sessions.source import LivySessions, SeriesLimits, WalkTiming

__all__ = ["LivySessions", "SeriesLimits", "WalkTiming", "kept_series", "samples"]
